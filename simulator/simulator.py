"""The parts of the simulated WeChat, composed over one state directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulator.account.credentials import Credentials
from simulator.bills.days import Bills
from simulator.bills.faults import InjectedDifferences
from simulator.browser.cashier import Cashier
from simulator.control.console import LOOPBACK, Console
from simulator.control.faults import Faults
from simulator.notify.messages import NotificationBuilder
from simulator.notify.sender import NotificationSender
from simulator.state.clock import Calendar, Clock, Followers
from simulator.state.journal import Journal
from simulator.state.orders import Order, OrderRegistry, Payment, RuleBroken
from simulator.state.pki import Certified, Identity, load_certificate, load_identity, load_server
from simulator.state.refund_outcomes import RefundDesk
from simulator.state.refunds import Denied, RefundDenied, Refunds
from simulator.state.wallet import Wallet
from simulator.wechatpay.keys import PlatformKeys


@dataclass(frozen=True, slots=True)
class ClockMoved:
    """The operator moved the clock; every line of the log has the clock's time, so nothing has to be applied."""

    speed: float
    advance_s: float


@dataclass(slots=True)
class Simulator:
    """The parts; ``open`` builds them and replays the log, ``close`` writes the rest.

    ``server`` is the certificate of the TLS port, whose address is ``secure_url`` once it listens. Requests name one of
    ``host_names``.
    """

    identity: Identity
    merchant: Certified
    server: Certified
    clock: Clock
    followers: Followers
    journal: Journal
    console: Console
    credentials: Credentials
    keys: PlatformKeys
    wallet: Wallet
    orders: OrderRegistry
    refunds: Refunds
    sender: NotificationSender
    cashier: Cashier
    refund_desk: RefundDesk
    injected: InjectedDifferences
    bills: Bills
    faults: Faults = field(default_factory=Faults)
    served: Counter[str] = field(default_factory=Counter)
    secure_url: str = ""
    host_names: frozenset[str] = frozenset(LOOPBACK)

    @classmethod
    def open(
        cls, directory: Path, speed: float, calendar: Calendar = Calendar.WALL, wechat_hosts: Sequence[str] = ()
    ) -> Simulator:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        clock = Clock(speed, calendar=calendar)
        journal = Journal(directory / "truth.jsonl", clock)
        identity = load_identity(directory)
        keys = PlatformKeys(directory, identity, journal)
        console, wallet, injected = Console(journal), Wallet(journal, clock), InjectedDifferences(journal)
        orders = OrderRegistry(journal, clock, wallet)
        refunds = Refunds(journal, clock, orders, wallet)
        sender = NotificationSender(journal, clock, orders, refunds, NotificationBuilder(identity, keys))
        merchant = load_certificate(directory, "merchant")
        simulator = cls(
            identity=identity,
            merchant=merchant,
            server=load_server(directory, wechat_hosts),
            host_names=frozenset((*LOOPBACK, *wechat_hosts)),
            clock=clock,
            followers=Followers(clock),
            journal=journal,
            console=console,
            credentials=Credentials(journal, clock),
            keys=keys,
            wallet=wallet,
            orders=orders,
            refunds=refunds,
            sender=sender,
            cashier=Cashier(identity, merchant, console, orders, sender, journal, clock),
            refund_desk=RefundDesk(console, refunds, sender),
            injected=injected,
            bills=Bills(clock, orders, refunds, wallet, injected),
        )
        journal.on(ClockMoved, lambda _: None)
        journal.open()
        return simulator

    def payment(self, transaction_id: str, out_trade_no: str) -> tuple[Order, Payment]:
        """Return the payment of either number, WeChat's first. Raises RefundDenied NO_PAYMENT."""
        try:
            if transaction_id:
                return self.orders.find_payment(transaction_id)
            order = self.orders.find(out_trade_no)
        except RuleBroken:
            raise RefundDenied(Denied.NO_PAYMENT) from None
        if order.payment is None:
            raise RefundDenied(Denied.NO_PAYMENT)
        return order, order.payment

    def move_clock(self, speed: float | None = None, advance_s: float = 0.0) -> None:
        """Set the clock's speed or move it ahead. Raises ValueError."""
        if speed is not None:
            self.clock.run_at(speed)
        self.clock.advance(advance_s)
        self.journal.write(ClockMoved(self.clock.speed, advance_s))

    async def close(self) -> None:
        await self.sender.close()
        self.journal.close()
