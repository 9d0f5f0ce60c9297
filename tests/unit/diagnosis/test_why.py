"""Why an order stands where it stands, as a table: what is known, and the sentence it makes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tests.contract.samples import TRANSACTION, a_message, a_refund, an_order
from tests.support.clock import ManualClock
from tests.support.ordering import COFFEE, OPENID, Service
from wechat.diagnosis.diagnosis import Diagnosis, explain
from wechat.diagnosis.snapshot import OrderSnapshot, Outcome, RemoteStatus, after
from wechat.diagnosis.unpaid import CLOSERS, UNPAID
from wechat.domain.errors import Bilingual, Conflict, FenpayError, GatewayRefused, NotFound, NotSent, OutcomeUnknown
from wechat.domain.facts import Api, Received, RefundState, RemoteState, Transaction
from wechat.domain.labels import MISMATCHES
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Payment, Refund, TimelineEntry, TradeState
from wechat.domain.refunds import CANCELLED

TEN = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)  # 10:00:00 in Beijing
HAN = re.compile("[\u4e00-\u9fff]")
NUMBER = "20260301100000abc"
CREATED = TimelineEntry(TEN, "created", "payer")


def at(text: str) -> datetime:
    """``10:02:11`` of the day, Beijing time."""
    hours, minutes, seconds = map(int, text.split(":"))
    return datetime(2026, 3, 1, hours - 8, minutes, seconds, tzinfo=UTC)


def event(text: str, what: str, source: str, **detail: str) -> TimelineEntry:
    return TimelineEntry(at(text), what, source, detail=detail)


PAID_AT, LATE_AT = at("10:02:11"), at("10:31:00")
PREPAY = event("10:00:01", "prepay", "v3")
BY_NOTICE = event("10:02:12", "paid", "notify")
BY_QUERY = event("10:03:00", "paid", "query")
EXPIRED = event("10:30:00", "closed", "worker")


def order(*events: TimelineEntry, **changes: Any) -> Order:
    return an_order(
        NUMBER,
        **{"total": Fen(1800), "created_at": TEN, "expires_at": at("10:30:00"), "close_after": at("10:30:00")}
        | {"timeline": (CREATED, *events)}
        | changes,
    )


def paid(*events: TimelineEntry, paid_at: datetime | None = PAID_AT, **changes: Any) -> Order:
    payments = (Payment(TRANSACTION, Fen(1800), paid_at),)
    return order(PREPAY, *events, payments=payments, **{"trade_state": TradeState.SUCCESS} | changes)


def late(*events: TimelineEntry, paid_at: datetime = LATE_AT, **changes: Any) -> Order:
    return paid(*events, paid_at=paid_at, trade_state=TradeState.PAID_LATE, **changes)


def there(state: RemoteState = RemoteState.SUCCESS, total: int = 1800, time: str = "10:02:11") -> RemoteStatus:
    if not state.paid:
        return RemoteStatus(Outcome.TOLD, Transaction("wx", "m", NUMBER, state))
    return RemoteStatus(Outcome.TOLD, Transaction("wx", "m", NUMBER, state, total, success_time=at(time)))


def message(first: str, verdict: str = "", seen: int = 1, kind: str = "payment") -> Received:
    return Received(f"{first}{verdict}", Api.V3, kind, seen, verdict, at(first), at(first))


def refund(state: RefundState, amount: int = 500, **changes: Any) -> Refund:
    done = at("10:05:00") if state is RefundState.SUCCESS else None
    return a_refund("R20260301-1", refund=Fen(amount), total=Fen(1800), state=state, **{"success_at": done} | changes)


def refused(code: str) -> RemoteStatus:
    return RemoteStatus(Outcome.REFUSED, error=GatewayRefused("query", code=code))


NOT_REACHED = RemoteStatus(Outcome.UNKNOWN, error=NotSent("query"))
NO_ANSWER = RemoteStatus(Outcome.UNKNOWN, error=OutcomeUnknown("query"))
NO_SUCH_ORDER = RemoteStatus(Outcome.NO_SUCH_ORDER)
API_OFF = RemoteStatus(Outcome.UNKNOWN, error=Conflict(Bilingual("设置里没有 pay.v2", "the settings have no pay.v2")))
NOTPAY = there(RemoteState.NOTPAY)
REFUNDED = paid(BY_NOTICE, event("10:05:00", "refund", "refund"), trade_state=TradeState.REFUND)
NOT_TAKEN = TimelineEntry(at("10:05:00"), "not_now", "answer", "SIGN_ERROR")
ON_TIME = (message("10:02:12"),)


class Row(NamedTuple):
    """The facts known at ``now``, and the expected diagnosis in both languages."""

    order: Order
    look: RemoteStatus
    zh: str
    en: str
    next_step: str = ""
    received: tuple[Received, ...] = ()
    refunds: tuple[Refund, ...] = ()
    now: str = "10:10:00"


QUERY, SHOW, AGAIN, CLOSE = (
    f"manage.py {verb} {NUMBER}" for verb in ("order query", "order show", "why", "order close")
)

ROWS = {
    "never handed over": Row(
        order(),
        NO_SUCH_ORDER,
        "尚未向微信支付下单；支付截止时间 10:30:00。",
        "The order was never sent to WeChat; it can be paid until 10:30:00.",
    ),
    "refused at the door": Row(
        order(event("10:00:01", "prepay_refused", "v3", code="APPID_MCHID_NOT_MATCH")),
        NO_SUCH_ORDER,
        "微信支付没有该订单：下单被拒绝（APPID_MCHID_NOT_MATCH）；支付截止时间 10:30:00。",
        "WeChat does not have the order: placing it was refused (APPID_MCHID_NOT_MATCH); it can be paid "
        "until 10:30:00.",
    ),
    "refused for a signature with a known slip": Row(
        order(event("10:00:01", "prepay_refused", "v3", code="SIGN_ERROR", slip="CLOCK_OFF")),
        NO_SUCH_ORDER,
        "微信支付没有该订单：下单被拒绝（SIGN_ERROR）：时钟偏差超过 5 分钟；支付截止时间 10:30:00。",
        "WeChat does not have the order: placing it was refused (SIGN_ERROR): The clock is more than five minutes off; "
        "it can be paid until 10:30:00.",
        "manage.py doctor --live",
    ),
    "placing it got no answer": Row(
        order(event("10:00:11", "prepay_unknown", "v3")),
        NO_SUCH_ORDER,
        "微信支付没有该订单：下单未收到应答；已于 10:30:00 超过支付时间，等待关闭。",
        "WeChat does not have the order: placing it got no response; its payment deadline passed at 10:30:00.",
        CLOSE,
        now="10:31:00",
    ),
    "gone from WeChat": Row(
        order(PREPAY),
        NO_SUCH_ORDER,
        "微信支付返回订单不存在；支付截止时间 10:30:00。",
        "WeChat reports that there is no such order; it can be paid until 10:30:00.",
    ),
    "waiting for payment": Row(
        order(PREPAY),
        NOTPAY,
        "微信支付已有该订单，用户未支付；支付截止时间 10:30:00。",
        "WeChat has the order, and the payer has not paid yet; it can be paid until 10:30:00.",
    ),
    "being paid": Row(
        order(PREPAY),
        there(RemoteState.USERPAYING),
        "用户支付中；支付截止时间 10:30:00。",
        "The payer is paying right now; it can be paid until 10:30:00.",
    ),
    "payment failed": Row(
        order(PREPAY),
        there(RemoteState.PAYERROR),
        "用户支付失败；支付截止时间 10:30:00。",
        "The payer's payment failed; it can be paid until 10:30:00.",
        received=(message("10:02:12", "not_paid"),),
    ),
    "out of time": Row(
        order(PREPAY),
        NOTPAY,
        "微信支付已有该订单，用户未支付；已于 10:30:00 超过支付时间，等待关闭。",
        "WeChat has the order, and the payer has not paid yet; its payment deadline passed at 10:30:00.",
        CLOSE,
        now="10:30:00",
    ),
    "close is scheduled": Row(
        order(PREPAY, event("10:01:00", "close_scheduled", "merchant"), close_after=at("10:05:00")),
        NOTPAY,
        "微信支付已有该订单，用户未支付；将于 10:05:00 关闭。",
        "WeChat has the order, and the payer has not paid yet; it will be closed at 10:05:00.",
        now="10:02:00",
    ),
    "closed at WeChat": Row(
        order(PREPAY),
        there(RemoteState.CLOSED),
        "微信支付已关闭该订单，本系统尚未更新。",
        "WeChat has closed the order, which is not recorded here yet.",
        QUERY,
    ),
    "paid, not known here, not told": Row(
        order(PREPAY),
        there(),
        "微信支付显示用户已于 10:02:11 支付 ¥18.00，本系统订单状态尚未更新；支付通知没有到达。",
        "WeChat reports that the payer paid ¥18.00 at 10:02:11, which is not recorded here yet; WeChat's "
        "notification never arrived.",
        QUERY,
    ),
    "paid, not known here, told wrongly": Row(
        order(PREPAY),
        there(),
        "微信支付显示用户已于 10:02:11 支付 ¥18.00，本系统订单状态尚未更新；支付通知因金额不一致被拒绝（3 次）。",
        "WeChat reports that the payer paid ¥18.00 at 10:02:11, which is not recorded here yet; WeChat's "
        "notification was refused 3 times because the amount differs.",
        QUERY,
        received=(message("10:02:12", "total", seen=3),),
    ),
    "paid another amount": Row(
        order(PREPAY),
        there(total=1801),
        "微信支付显示用户于 10:02:11 支付 ¥18.01，订单金额为 ¥18.00，不能更新为已支付；支付通知因金额不一致被拒绝（1 次）。",
        "WeChat reports that the payer paid ¥18.01 at 10:02:11; the order's amount is ¥18.00, so it is not "
        "recorded as paid; WeChat's notification was refused once because the amount differs.",
        SHOW,
        received=(message("10:02:12", "total"),),
    ),
    "told wrongly, WeChat not reached": Row(
        order(PREPAY),
        NOT_REACHED,
        "本系统没有支付记录；支付通知因AppID 不一致被拒绝（1 次）；支付截止时间 10:30:00；当前无法连接微信支付，以上仅为本系统的记录。",
        "No payment is recorded here; WeChat's notification was refused once because the AppID differs; it "
        "can be paid until 10:30:00; WeChat cannot be reached now, so this is only the record of this "
        "system.",
        AGAIN,
        received=(message("10:02:12", "appid"),),
    ),
    "no trustworthy answer": Row(
        order(PREPAY),
        NO_ANSWER,
        "本系统没有支付记录；支付截止时间 10:30:00；微信支付没有给出可用的应答，以上仅为本系统的记录。",
        "No payment is recorded here; it can be paid until 10:30:00; WeChat gave no usable response, so "
        "this is only the record of this system.",
        AGAIN,
    ),
    "refused the query": Row(
        order(PREPAY),
        refused("SIGN_ERROR"),
        "本系统没有支付记录；支付截止时间 10:30:00；微信支付拒绝了查询（SIGN_ERROR）。",
        "No payment is recorded here; it can be paid until 10:30:00; WeChat refused the query (SIGN_ERROR).",
        "manage.py doctor --live",
    ),
    "the settings have lost its API": Row(
        order(PREPAY),
        API_OFF,
        "本系统没有支付记录；支付截止时间 10:30:00；设置里没有 pay.v2，以上仅为本系统的记录。",
        "No payment is recorded here; it can be paid until 10:30:00; the settings have no pay.v2, so this "
        "is only the record of this system.",
        AGAIN,
    ),
    "closed by the worker": Row(
        order(PREPAY, EXPIRED, trade_state=TradeState.CLOSED),
        there(RemoteState.CLOSED),
        "10:30:00 超过支付时间未支付，订单自动关闭。",
        "At 10:30:00 the order was closed because the payment deadline passed.",
        now="11:00:00",
    ),
    "closed by the payer": Row(
        order(PREPAY, event("10:01:00", "closed", "payer"), trade_state=TradeState.CLOSED),
        there(RemoteState.CLOSED),
        "10:01:00 用户关闭了订单。",
        "At 10:01:00 the payer closed the order.",
    ),
    "closed by the merchant": Row(
        order(PREPAY, event("10:01:00", "closed", "merchant"), trade_state=TradeState.CLOSED),
        NO_SUCH_ORDER,
        "10:01:00 商户关闭了订单。",
        "At 10:01:00 the merchant closed the order.",
    ),
    "closed by WeChat": Row(
        order(PREPAY, event("10:01:00", "closed", "query"), trade_state=TradeState.CLOSED),
        NOT_REACHED,
        "10:01:00 查单确认微信支付已关闭该订单；当前无法连接微信支付，以上仅为本系统的记录。",
        "At 10:01:00 a query found that WeChat had closed the order; WeChat cannot be reached now, so this "
        "is only the record of this system.",
        AGAIN,
    ),
    "closed, and paid all the same": Row(
        order(PREPAY, EXPIRED, trade_state=TradeState.CLOSED),
        there(time="10:31:00"),
        "10:30:00 超过支付时间未支付，订单自动关闭；微信支付显示用户已于 10:31:00 支付 ¥18.00，本系统订单状态尚未更新；支付通知没有到达。",
        "At 10:30:00 the order was closed because the payment deadline passed; WeChat reports that the "
        "payer paid ¥18.00 at 10:31:00, which is not recorded here yet; WeChat's notification never "
        "arrived.",
        QUERY,
        now="10:40:00",
    ),
    "paid and told": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded.",
        received=ON_TIME,
    ),
    "paid and told late and often": Row(
        paid(event("10:35:14", "paid", "notify")),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 33 分 3 秒后到达，订单状态已更新，另有重复通知 2 次。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 33 min 3 s later and was "
        "recorded, and 2 more times.",
        received=(message("10:35:14", "applied", seen=3),),
        now="11:00:00",
    ),
    "told wrongly first": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知因币种不一致被拒绝（2 次）；支付通知 1 秒后到达，订单状态已更新。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification was refused 2 times because the currency "
        "differs; WeChat's notification arrived 1 s later and was recorded.",
        received=(message("10:02:11", "currency", seen=2), *ON_TIME),
    ),
    "paid and found by a query": Row(
        paid(BY_QUERY),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知没有到达；10:03:00 通过查单确认已支付。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification never arrived; a query at 10:03:00 found the payment.",
        received=(message("10:05:01", kind="refund"),),
    ),
    "found by a query, then told": Row(
        paid(BY_QUERY),
        there(),
        "用户于 10:02:11 支付 ¥18.00；10:03:00 通过查单确认已支付；支付通知 10:06:00 才到达。",
        "The payer paid ¥18.00 at 10:02:11; a query at 10:03:00 found the payment; WeChat's notification "
        "arrived only after that, at 10:06:00.",
        received=(message("10:06:00"),),
    ),
    "told wrongly, found by a query": Row(
        paid(BY_QUERY),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知因金额不一致被拒绝（1 次）；10:03:00 通过查单确认已支付。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification was refused once because the amount differs; a query at "
        "10:03:00 found the payment.",
        received=(message("10:02:12", "total"),),
    ),
    "paid, WeChat not reached": Row(
        paid(BY_NOTICE),
        NOT_REACHED,
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；当前无法连接微信支付，以上仅为本系统的记录。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; "
        "WeChat cannot be reached now, so this is only the record of this system.",
        AGAIN,
        received=ON_TIME,
    ),
    "paid, WeChat denies it": Row(
        paid(BY_NOTICE),
        NOTPAY,
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；与微信支付不一致：微信支付显示 NOTPAY，请人工核实。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; but "
        "WeChat reports NOTPAY; check this by hand.",
        received=ON_TIME,
    ),
    "paid, WeChat does not know it": Row(
        paid(BY_NOTICE),
        NO_SUCH_ORDER,
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；与微信支付不一致：微信支付返回订单不存在，请人工核实。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; but "
        "WeChat has no such order; check this by hand.",
        received=ON_TIME,
    ),
    "refunded where we do not see": Row(
        paid(BY_NOTICE),
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；微信支付有一笔本系统未记录的退款（可能是在商户平台操作的）；"
        "次日 10:05 账单可下载后，对今日对账即可补录。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; "
        "WeChat has a refund of this order that is not recorded here (perhaps made in the merchant "
        "console); today's bill is available tomorrow at 10:05; reconciling today then records it.",
        received=ON_TIME,
    ),
    "paid twice": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；10:04:00 又收到一笔重复支付。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; at "
        "10:04:00 a second payment arrived.",
        "manage.py reconcile 2026-03-01 --repair",
        received=(*ON_TIME, message("10:04:00", "second_payment", seen=2)),
    ),
    "paid twice, the second goes back": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；10:04:00 又收到一笔重复支付；重复支付的 ¥18.00 退款处理中。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; at "
        "10:04:00 a second payment arrived; the second payment of ¥18.00 is being refunded.",
        received=(*ON_TIME, message("10:04:00", "second_payment")),
        refunds=(refund(RefundState.PROCESSING, 1800, surplus=True),),
    ),
    "paid after close": Row(
        late(EXPIRED, event("10:31:01", "paid_late", "notify"), event("10:31:02", "needs_operator", "policy")),
        there(time="10:31:00"),
        "10:30:00 超过支付时间未支付，订单自动关闭；用户于 10:31:00 才支付 ¥18.00（关单后支付），不发货；支付通知 1 秒后到达，订单状态已更新；待人工确认是否退款。",
        "At 10:30:00 the order was closed because the payment deadline passed; ¥18.00 was paid at "
        "10:31:00, after the order was closed, so goods are not released; WeChat's notification arrived 1 "
        "s later and was recorded; a person has to decide whether to refund it.",
        f"manage.py refund create {NUMBER} --amount 1800 --reason '订单已关闭'",
        received=(message("10:31:01"),),
        now="10:40:00",
    ),
    "paid after close, going back": Row(
        late(EXPIRED, event("10:33:00", "paid_late", "query"), event("10:33:01", "money_goes_back", "policy")),
        there(time="10:31:00"),
        "10:30:00 超过支付时间未支付，订单自动关闭；用户于 10:31:00 才支付 ¥18.00（关单后支付），不发货；支付通知没有到达；10:33:00 通过查单确认已支付；"
        "正按配置原路退款。",
        "At 10:30:00 the order was closed because the payment deadline passed; ¥18.00 was paid at "
        "10:31:00, after the order was closed, so goods are not released; WeChat's notification never "
        "arrived; a query at 10:33:00 found the payment; it is being refunded, according to the settings.",
        now="10:40:00",
    ),
    "paid by somebody else": Row(
        late(event("10:02:12", "paid_late", "notify"), paid_at=at("10:02:11")),
        there(RemoteState.REFUND),
        "非下单用户于 10:02:11 支付 ¥18.00，不发货；支付通知 1 秒后到达，订单状态已更新；于 10:05:00 全额退款 ¥18.00。",
        "A person other than the order's payer paid ¥18.00 at 10:02:11, so goods are not released; "
        "WeChat's notification arrived 1 s later and was recorded; the full amount, ¥18.00, was refunded "
        "at 10:05:00.",
        received=ON_TIME,
        refunds=(refund(RefundState.SUCCESS, 1800),),
    ),
    "refunded in part": Row(
        REFUNDED,
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；于 10:05:00 退款 ¥5.00，剩余 ¥13.00。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; "
        "¥5.00 was refunded at 10:05:00, and ¥13.00 is left.",
        received=ON_TIME,
        refunds=(refund(RefundState.SUCCESS),),
    ),
    "refunded in full": Row(
        REFUNDED,
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；于 10:05:00 全额退款 ¥18.00。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; the "
        "full amount, ¥18.00, was refunded at 10:05:00.",
        received=ON_TIME,
        refunds=(refund(RefundState.SUCCESS, 800), refund(RefundState.SUCCESS, 1000)),
    ),
    "refunds under way": Row(
        REFUNDED,
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；退款处理中 ¥5.00；退款 ¥1.00 已提交，微信支付尚未返回结果。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; a "
        "refund of ¥5.00 is in progress; a refund of ¥1.00 is waiting for WeChat's response.",
        "manage.py refund query R20260301-1",
        received=ON_TIME,
        refunds=(refund(RefundState.PROCESSING), refund(RefundState.REQUESTED, 100, sends=1)),
    ),
    "a refund that waits for its minute": Row(
        REFUNDED,
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；于 10:05:00 退款 ¥5.00，剩余 ¥13.00；"
        "退款 ¥3.00 排队中，约 10:06:10 提交（同一订单两笔退款至少间隔 1 分钟）。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; "
        "¥5.00 was refunded at 10:05:00, and ¥13.00 is left; a refund of ¥3.00 is queued and is sent at "
        "about 10:06:10 (refunds of one order are at least a minute apart).",
        "manage.py refund show R20260301-1",
        received=ON_TIME,
        refunds=(
            refund(RefundState.SUCCESS),
            refund(RefundState.REQUESTED, 300, next_check_at=at("10:06:10")),
        ),
    ),
    "refund is stuck": Row(
        REFUNDED,
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；退款异常 ¥5.00：用户收款账户不可用，请到 商户平台 → 交易中心 处理该笔退款。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; the "
        "refund of ¥5.00 is ABNORMAL: the payer's account cannot receive it; handle it in the merchant "
        "console.",
        "manage.py refund query R20260301-1",
        received=ON_TIME,
        refunds=(refund(RefundState.ABNORMAL),),
    ),
    "refund that WeChat did not look at": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；"
        "退款 ¥5.00 暂未受理：微信支付拒绝了本次请求（SIGN_ERROR），将用同一商户退款单号重试。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; the "
        "refund of ¥5.00 is not accepted yet: WeChat refused this request (SIGN_ERROR); it is sent again "
        "with the same number.",
        "manage.py refund query R20260301-1",
        received=ON_TIME,
        refunds=(refund(RefundState.REQUESTED, sends=1, timeline=(NOT_TAKEN,)),),
    ),
    "refund was cancelled": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；退款 ¥5.00 已取消。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; the "
        "refund of ¥5.00 was cancelled.",
        "manage.py refund show R20260301-1",
        received=ON_TIME,
        refunds=(refund(RefundState.REFUSED, refusal=CANCELLED),),
    ),
    "refund was refused": Row(
        paid(BY_NOTICE),
        there(),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；退款 ¥5.00 未成功（NOT_ENOUGH）。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; the "
        "refund of ¥5.00 failed (NOT_ENOUGH).",
        "manage.py refund show R20260301-1",
        received=ON_TIME,
        refunds=(refund(RefundState.REFUSED, refusal="NOT_ENOUGH"),),
    ),
    "refund refused, then done": Row(
        REFUNDED,
        there(RemoteState.REFUND),
        "用户于 10:02:11 支付 ¥18.00；支付通知 1 秒后到达，订单状态已更新；于 10:05:00 全额退款 ¥18.00。",
        "The payer paid ¥18.00 at 10:02:11; WeChat's notification arrived 1 s later and was recorded; the "
        "full amount, ¥18.00, was refunded at 10:05:00.",
        received=ON_TIME,
        refunds=(refund(RefundState.CLOSED, 1800), refund(RefundState.SUCCESS, 1800)),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_what_is_known_makes_this_sentence(row: Row) -> None:
    sentence, next_step = explain(OrderSnapshot(row.order, row.look, row.received, row.refunds, at(row.now)))
    assert (sentence.zh, sentence.en, next_step) == (row.zh, row.en, row.next_step)


def test_no_two_cases_that_differ_in_kind_read_alike() -> None:
    sentences = [row.zh for name, row in ROWS.items() if name != "refund refused, then done"]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_english_has_no_chinese_in_it_and_neither_shows_a_bare_fen_amount(row: Row) -> None:
    assert not HAN.search(row.en)
    assert not re.search(r"\b1800\b", row.zh + row.en)


def test_another_days_time_has_its_date() -> None:
    case = OrderSnapshot(paid(BY_NOTICE), there(), ON_TIME, (), at("10:10:00") + timedelta(days=1))
    assert explain(case)[0].zh.startswith("用户于 2026-03-01 10:02:11 支付")


@pytest.mark.parametrize(
    ("days", "notified_at", "next_step"),
    [
        (1, None, "manage.py reconcile 2026-03-01 --repair"),
        (5, None, "manage.py reconcile 2026-03-05 --repair"),  # the last day that is over
        (5, "10:40:00", "manage.py reconcile 2026-03-01 --repair"),  # WeChat's message says on which it was made
        (0, "10:05:00", ""),
    ],
)
def test_a_refund_that_nobody_here_asked_for_is_booked_from_its_days_bill(
    days: int, notified_at: str | None, next_step: str
) -> None:
    received = (message(notified_at, "unknown_refund", kind="refund"),) if notified_at else ()
    case = OrderSnapshot(
        paid(BY_NOTICE), there(RemoteState.REFUND), received, (), at("10:10:00") + timedelta(days=days)
    )
    sentence, step = explain(case)
    assert step == next_step
    assert ("对退款当日对账即可补录" in sentence.zh) is bool(next_step)
    assert ("reconciling the day of the refund records it" in sentence.en) is bool(next_step)


def test_the_day_is_beijings() -> None:
    """22:00 UTC is the next day there, and 15:59 still is not."""
    evening, night = datetime(2026, 3, 1, 15, 59, tzinfo=UTC), datetime(2026, 3, 1, 16, 1, tzinfo=UTC)
    case = OrderSnapshot(paid(BY_NOTICE, paid_at=evening), there(), (), (), night)
    assert "2026-03-01 23:59:00" in explain(case)[0].zh


def test_a_payment_of_which_the_timeline_says_nothing_is_told_without_a_guess() -> None:
    case = OrderSnapshot(paid(paid_at=None), there(), (), (), at("10:10:00"))
    assert explain(case)[0] == Bilingual("用户支付 ¥18.00。", "The payer paid ¥18.00.")


def test_a_reason_without_words_of_its_own_is_shown_as_it_is() -> None:
    case = OrderSnapshot(order(PREPAY), NOTPAY, (message("10:02:12", "a_reason_to_come"),), (), at("10:10:00"))
    assert "支付通知因a_reason_to_come被拒绝" in explain(case)[0].zh


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (-5, "在 1 秒内", "within a second"),
        (0.9, "在 1 秒内", "within a second"),
        (1, " 1 秒后", "1 s later"),
        (61, " 1 分 1 秒后", "1 min 1 s later"),
        (120, " 2 分后", "2 min later"),
        (3600 + 59, " 1 小时 59 秒后", "1 h 59 s later"),
        (90061, " 1 天 1 小时后", "1 d 1 h later"),
    ],
)
def test_a_delay_is_said_in_its_two_largest_units(seconds: float, zh: str, en: str) -> None:
    assert after(timedelta(seconds=seconds)) == Bilingual(zh, en)


def test_there_are_words_for_every_state_of_wechats_that_is_neither_paid_nor_closed() -> None:
    assert set(UNPAID) == {state for state in RemoteState if not state.paid and not state.closed}


@pytest.mark.parametrize("text", [*CLOSERS.values(), *UNPAID.values(), *MISMATCHES.values()])
def test_words_are_chinese_in_chinese_and_english_in_english(text: Bilingual) -> None:
    assert HAN.search(text.zh)
    assert not HAN.search(text.en)


# -- gathering what is known ------------------------------------------------------------------------------------------


class Bench:
    """An inquiry over memory, and the WeChat that it asks."""

    def __init__(self) -> None:
        self.service = Service(ManualClock(TEN))
        stores = self.service.core.stores
        self.diagnosis = Diagnosis(
            self.service.orders,
            stores.notifications,
            self.service.core.refusals,
            stores.deliveries,
            self.service.clock,
        )

    async def order(self, openid: str = OPENID) -> Order:
        return (await self.service.basket(COFFEE, openid)).order


async def test_looking_at_a_payment_that_is_not_booked_does_not_book_it() -> None:
    bench = Bench()
    number = (await bench.order()).out_trade_no
    bench.service.v3.known[number] = RemoteState.SUCCESS
    before = bench.service.backend.orders[number]
    case = await bench.diagnosis.into(number)
    assert case.look.outcome is Outcome.TOLD
    assert case.look.transaction is not None
    assert case.look.transaction.state is RemoteState.SUCCESS
    assert bench.service.backend.orders[number] == before == case.order


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (NotSent("query"), Outcome.UNKNOWN),
        (OutcomeUnknown("query"), Outcome.UNKNOWN),
        (GatewayRefused("query", code="SIGN_ERROR"), Outcome.REFUSED),
        (GatewayRefused("query", code="ORDER_NOT_EXIST"), Outcome.NO_SUCH_ORDER),
    ],
)
async def test_a_wechat_that_does_not_tell_is_part_of_the_case(failure: FenpayError, outcome: Outcome) -> None:
    bench = Bench()
    number = (await bench.order()).out_trade_no
    bench.service.v3.failures = [failure]
    look = (await bench.diagnosis.into(number)).look
    assert (look.outcome, look.transaction) == (outcome, None)
    assert look.error is (None if outcome is Outcome.NO_SUCH_ORDER else failure)


async def test_our_side_is_never_older_than_wechats() -> None:
    """The payment is booked while WeChat is being asked; the case must not say that it is not."""
    bench = Bench()
    placed = await bench.order()
    number = placed.out_trade_no

    def book(asked: Order) -> Transaction:
        bench.service.backend.put(replace(asked, trade_state=TradeState.SUCCESS))
        return Transaction(asked.appid, asked.mchid, number, RemoteState.SUCCESS, asked.total)

    bench.service.v3.on_query = book
    assert (await bench.diagnosis.into(number)).order.trade_state is TradeState.SUCCESS


async def test_an_unknown_order_is_not_found_and_wechat_is_not_asked() -> None:
    bench = Bench()
    with pytest.raises(NotFound):
        await bench.diagnosis.into("20260301000000nobody")
    assert bench.service.v3.calls == []


async def test_refunds_and_messages_of_the_order_are_part_of_the_case_and_those_of_others_are_not() -> None:
    bench = Bench()
    placed, other = await bench.order(), await bench.order(openid="other")
    refunds = (a_refund("R20260301-1", out_trade_no=placed.out_trade_no, mchid=placed.mchid),)
    bench.service.backend.put(replace(placed, refunds=refunds))
    for number, event in ((placed.out_trade_no, "event-1"), (other.out_trade_no, "event-2")):
        message = a_message(event, number, mchid=placed.mchid, order_key=placed.key)
        await bench.service.core.stores.notifications.insert(message, "write-1")
    case = await bench.diagnosis.into(placed.out_trade_no)
    assert [refund.out_refund_no for refund in case.refunds] == ["R20260301-1"]
    assert [received.id for received in case.received] == ["event-1"]
