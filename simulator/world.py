"""All of the simulated WeChat, put together over one state directory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from simulator.cashier import Cashier
from simulator.clock import Clock
from simulator.console import Console
from simulator.courier import Courier
from simulator.credentials import Credentials
from simulator.faults import Faults
from simulator.journal import Journal
from simulator.keys import PlatformKeys
from simulator.messages import Writer
from simulator.orders import Book
from simulator.pki import Certified, Identity, load_certified, load_identity


@dataclass(frozen=True, slots=True)
class ClockMoved:
    """The operator moved the clock; every line of the log says where to, so that there is nothing to apply."""

    speed: float
    advance_s: float


@dataclass(frozen=True, slots=True)
class World:
    """The parts; ``open`` builds and replays them, ``close`` writes what is left."""

    identity: Identity
    merchant: Certified
    clock: Clock
    journal: Journal
    console: Console
    credentials: Credentials
    keys: PlatformKeys
    book: Book
    courier: Courier
    cashier: Cashier
    faults: Faults = field(default_factory=Faults)
    served: Counter[str] = field(default_factory=Counter)

    @classmethod
    def open(cls, directory: Path, speed: float) -> World:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        clock = Clock(speed)
        journal = Journal(directory / "truth.jsonl", clock)
        identity = load_identity(directory)
        keys = PlatformKeys(directory, identity, journal)
        book, console = Book(journal, clock), Console(journal)
        courier = Courier(journal, clock, book, Writer(identity, keys))
        merchant = load_certified(directory, "merchant")
        world = cls(
            identity=identity,
            merchant=merchant,
            clock=clock,
            journal=journal,
            console=console,
            credentials=Credentials(journal, clock),
            keys=keys,
            book=book,
            courier=courier,
            cashier=Cashier(identity, merchant, console, book, courier, journal),
        )
        journal.on(ClockMoved, lambda _: None)
        journal.open()
        return world

    def move_clock(self, speed: float | None = None, advance_s: float = 0.0) -> None:
        """Raises ValueError."""
        if speed is not None:
            self.clock.set_speed(speed)
        self.clock.advance(advance_s)
        self.journal.write(ClockMoved(self.clock.speed, advance_s))

    async def close(self) -> None:
        await self.courier.close()
        self.journal.close()
