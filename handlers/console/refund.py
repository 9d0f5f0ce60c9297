"""The refund form: the refundable amount, a fixed refund number, a reason, step-up, and a second person above a sum.

``routes`` also registers ``carry_out`` as what carries out an approved REFUND.
"""

from __future__ import annotations

from collections.abc import Mapping

from handlers.console.base import StepUpRefused
from handlers.console.order import PATH, OrderPage
from handlers.console.routes import Page, console_routes
from handlers.console.states import REFUND_STATES
from handlers.console.summaries import summarize_order, summarize_refund
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.approvals import AND, AT_CONSOLE, Approval, refunded_alone
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, CallerError, GatewayRefused
from wechat.domain.money import Fen, parse_yuan, yuan
from wechat.domain.orders import Order, Refund
from wechat.domain.refunds import more_than_left, must_be_refundable, refundable
from wechat.domain.staff import Permission
from wechat.domain.times import to_v2
from wechat.refunds.requests import RefundRequest
from wechat.staff.approvals import PendingAct

FIELDS = ("amount", "reason", "number")


class RefundHandler(OrderPage):
    """The refund form and its submission."""

    async def get(self, out_trade_no: str) -> None:
        order = await self.services.orders.get(out_trade_no)
        left = refundable(order, order.transaction_id) if order.paid else 0
        number = f"{to_v2(self.services.clock.now())}{self.request_id}"
        await self.show_form(out_trade_no, {"amount": yuan(left), "reason": "", "number": number}, {})

    async def post(self, out_trade_no: str) -> None:
        form = {name: self.get_body_argument(name, "") for name in FIELDS}
        try:
            wanted = self.read_form(form)
            await self.require_step_up()
            await self.refund_or_ask(out_trade_no, wanted)
        except (StepUpRefused, BadRequest, CallerError, GatewayRefused) as error:
            field = FORM_FIELDS.get(getattr(error, "field", "") or "", "form")
            self.set_status(_status(error))
            await self.show_form(out_trade_no, form, {field: error.text.to(self.lang)})
        else:
            self.redirect(f"/console/orders/{out_trade_no}")

    def read_form(self, form: Mapping[str, str]) -> RefundRequest:
        """Return the refund that the form describes. Raises BadRequest."""
        try:
            amount = parse_yuan(form["amount"].strip().lstrip("¥￥"))
        except ValueError:
            raise BadRequest(TEXT_OF_AMOUNT, field="refund") from None
        body = {"refund": amount, "reason": form["reason"].strip(), "out_refund_no": form["number"]}
        return RefundRequest.parse(body)

    async def refund_or_ask(self, out_trade_no: str, wanted: RefundRequest) -> None:
        """Refund now, or request an approval. A form that is sent twice is one refund."""
        number = wanted.out_refund_no or ""
        approvals, before = self.services.staff.approvals, await self.services.orders.get(out_trade_no)
        if not approvals.is_needed(Fen(wanted.refund + refunded_alone(before, number))):
            told = f"{number} ¥{yuan(wanted.refund)}: {wanted.reason}"
            async with self.audit_act(Act.REFUND, out_trade_no, summarize_order(before), told) as after:
                refund = await request_refund(self.services, out_trade_no, wanted, self.staff.name)
                after.append(summarize_order(await self.services.orders.get(out_trade_no)))
                after.append(f"{summarize_refund(refund)}: {wanted.reason}")
            state = REFUND_STATES[refund.state].to(self.lang)
            self.put_flash(self.t("refund_sent", number=number, state=state))
            return
        self.must_be_left(before, wanted)
        data: dict[str, str | int] = wanted.model_dump(exclude_none=True)
        act = PendingAct(Act.REFUND, Permission.REFUND, out_trade_no, Fen(wanted.refund), wanted.reason, data)
        await approvals.request(act, self.actor)
        self.put_flash(self.t("refund_waits", number=number))

    def must_be_left(self, order: Order, wanted: RefundRequest) -> None:
        """Raise Conflict if the order cannot be refunded, or not by so much; checked before an approval is
        requested."""
        must_be_refundable(order, self.services.clock.now())
        left = refundable(order, order.transaction_id)
        if wanted.refund > left:
            raise more_than_left(left)

    async def show_form(self, out_trade_no: str, form: Mapping[str, str], errors: Mapping[str, str]) -> None:
        order = await self.services.orders.get(out_trade_no)
        above = self.services.settings.console.second_person_above
        waiting = await self.list_waiting(out_trade_no)
        self.show_order("order_refund.html", order, form=form, errors=errors, above=above, waiting=waiting)


FORM_FIELDS = {"refund": "amount", "reason": "reason", "out_refund_no": "number", "step_up": "step_up"}
"""The form's field for each field of the request."""
TEXT_OF_AMOUNT = OrderPage.texts["not_an_amount"]


async def request_refund(services: Services, out_trade_no: str, wanted: RefundRequest, by: str) -> Refund:
    """Request the refund. Repeating it has no further effect, since it has a number. Raises as ``Refunds.request``."""
    above = Fen(services.settings.console.second_person_above)
    return await services.refunds.request(out_trade_no, wanted, by=f"{AT_CONSOLE}{by}", alone_above=above)


async def carry_out(services: Services, approval: Approval) -> str:
    """Refund as approved by two people; return summaries of the refund and the order afterwards."""
    wanted = RefundRequest.parse(dict(approval.data))
    by = f"{approval.requested_by}{AND}{approval.decided_by}"
    refund = await request_refund(services, approval.subject, wanted, by)
    return f"{summarize_refund(refund)}; {summarize_order(await services.orders.get(approval.subject))}"


def _status(error: CallerError | GatewayRefused) -> int:
    return error.status if isinstance(error, CallerError) else 409


def routes(services: Services) -> list[Route]:
    services.staff.approvals.register(Act.REFUND, lambda approval: carry_out(services, approval))
    return console_routes(services, Page(f"{PATH}/refund", RefundHandler, "console_refund", Permission.REFUND))
