"""Every way a call can end badly, as one tree.

::

    FenpayError                 has a stable ``code`` and a ``text`` in both languages
    ├── CallerError             the caller asked for what cannot be done; ``status`` is its 4xx
    │   ├── BadRequest 400 · Unauthorized 401 · Forbidden 403 · NotFound 404
    │   ├── Conflict 409 · Gone 410 · IdempotencyMismatch 422 · TooMany 429
    ├── RemoteError             a request to WeChat failed
    │   ├── GatewayRefused      a trustworthy refusal: nothing happened there
    │   ├── AccountRefused      the same from the Official Account API (``errcode``)
    │   ├── NotSent             certainly never reached WeChat: safe to repeat
    │   └── OutcomeUnknown      sent, no trustworthy answer: query before anything else
    ├── NotifyError             a message on /notify is not accepted; ``status`` is the answer
    │   ├── SignatureInvalid 401 · Malformed 400 · Mismatch 409
    ├── StoreUnavailable        MongoDB did not answer in time: 503, nothing is lost by repeating
    │   └── NewerDocument       a newer release wrote the document: 503 until this process is upgraded
    └── ConfigError             the settings cannot work; names the key and the cure

The split under ``RemoteError`` decides whether money may have moved. Anybody may read a ``text``: it never contains
input, a key or WeChat's words. WeChat's message is kept in fields of its own, for merchants and logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, NamedTuple


class Bilingual(NamedTuple):
    """A sentence for a person, in Chinese and in English."""

    zh: str
    en: str

    def to(self, lang: str) -> str:
        """The sentence in ``lang``; anything but ``en`` reads Chinese."""
        return self.en if lang == "en" else self.zh


class Advice(NamedTuple):
    """The usual causes of WeChat's error code, likeliest first, and the next step."""

    causes: tuple[Bilingual, ...]
    next_step: Bilingual


class Cause(NamedTuple):
    """The cause of one error, as far as this system can tell: a code for scripts, a sentence, and the fix."""

    code: str
    text: Bilingual
    fix: Bilingual | None = None


NO_ADVICE = Advice(
    (),
    Bilingual(
        "按返回信息处理；结果未知的先查询再用同一单号重试，仍不明时向微信支付客服提供 Request-ID",
        "Follow WeChat Pay's message. If the outcome is unknown, query first, then retry with the same "
        "number. If it stays unclear, give the Request-ID to WeChat Pay's support",
    ),
)


class FenpayError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "ERROR"
    text = Bilingual("服务出错，请稍后再试", "Something went wrong, please try again later")

    def __init__(self, text: Bilingual | None = None, *, code: str | None = None) -> None:
        if text is not None:
            self.text = text
        self.public_code = code or self.code
        super().__init__(f"{self.public_code}: {self.text.en}")


class CallerError(FenpayError):
    """The caller's request is wrong; ``status`` is the HTTP status, ``field`` the wrong field, if there is one."""

    status: ClassVar[int] = 400

    def __init__(self, text: Bilingual | None = None, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(text, code=code)
        self.field = field


class BadRequest(CallerError):
    code = "BAD_REQUEST"
    text = Bilingual("请求格式不正确", "The request is malformed")


class Unauthorized(CallerError):
    status = 401
    code = "UNAUTHORIZED"
    text = Bilingual("请先授权登录", "Please authorise first")


class Forbidden(CallerError):
    status = 403
    code = "FORBIDDEN"
    text = Bilingual("没有权限", "This is not allowed")


class NotFound(CallerError):
    status = 404
    code = "NOT_FOUND"
    text = Bilingual("没有找到", "Not found")


class Conflict(CallerError):
    status = 409
    code = "CONFLICT"
    text = Bilingual("与当前状态冲突", "This conflicts with the current state")


class Gone(CallerError):
    status = 410
    code = "GONE"
    text = Bilingual("已失效", "This has expired")


class IdempotencyMismatch(CallerError):
    status = 422
    code = "IDEMPOTENCY_KEY_REUSED"
    text = Bilingual(
        "同一个 Idempotency-Key 带了不同的内容；新的请求请换一个新的键",
        "This Idempotency-Key was used with another body; use a new key for a new request",
    )


class TooMany(CallerError):
    status = 429
    code = "TOO_MANY_REQUESTS"
    text = Bilingual("操作过于频繁，请稍后再试", "Too many requests, please try again later")


class RemoteError(FenpayError):
    """The request ``call`` to WeChat did not succeed.

    ``wire_code`` and ``wire_message`` are WeChat's own, ``request_id`` its trace id (v3), ``advice`` ours.
    ``unverified`` is the ``NotifyError.reason`` of a response that could not be verified. ``cause`` is the particular
    cause, if found.
    """

    def __init__(
        self,
        call: str,
        *,
        code: str | None = None,
        wire_code: str = "",
        wire_message: str = "",
        http_status: int = 0,
        request_id: str = "",
        advice: Advice = NO_ADVICE,
        text: Bilingual | None = None,
        unverified: str = "",
    ) -> None:
        super().__init__(text, code=code)
        self.unverified = unverified
        self.cause: Cause | None = None
        self.call = call
        self.wire_code = wire_code
        self.wire_message = wire_message
        self.http_status = http_status
        self.request_id = request_id
        self.advice = advice

    def __str__(self) -> str:
        said = f" {self.wire_code} {self.wire_message}".rstrip()
        trace = f" (Request-ID {self.request_id})" if self.request_id else ""
        cause = f" {self.cause.text.en}." if self.cause else ""
        return f"{self.call}: {self.public_code}{said}{trace}.{cause} {self.advice.next_step.en}"

    def name_cause(self, cause: Cause) -> None:
        """Set the particular cause, in place of the usual causes of the code."""
        self.cause = cause
        self.advice = Advice((cause.text,), cause.fix or self.advice.next_step)


class GatewayRefused(RemoteError):
    """WeChat Pay gave a trustworthy refusal; ``public_code`` is its code in v3's spelling."""

    code = "REFUSED"
    text = Bilingual("微信支付拒绝了这次请求", "WeChat Pay refused the request")


class AccountRefused(RemoteError):
    """The Official Account API answered with an ``errcode`` other than 0."""

    code = "ACCOUNT_REFUSED"
    text = Bilingual("服务号接口拒绝了这次请求", "The Official Account API refused the request")

    def __init__(self, call: str, errcode: int, errmsg: str, *, advice: Advice = NO_ADVICE) -> None:
        super().__init__(call, wire_code=str(errcode), wire_message=errmsg, advice=advice)
        self.errcode = errcode


class NotSent(RemoteError):
    """No byte of the request reached WeChat."""

    code = "NOT_SENT"
    text = Bilingual("暂时连不上微信，请稍后再试", "WeChat cannot be reached right now, please try again")


class KeysMissing(NotSent):
    """The request was not sent, because WeChat Pay's certificates, which verify the response, are not fetched yet."""

    def __init__(self, call: str) -> None:
        super().__init__(call, wire_message="WeChat Pay's certificates have not been fetched yet")


class OutcomeUnknown(RemoteError):
    """The request was sent, and no trustworthy response came."""

    code = "OUTCOME_UNKNOWN"
    text = Bilingual(
        "结果确认中，请勿重复付款，请稍后查看", "The outcome is not known yet; do not pay again, check again later"
    )


class NotifyError(FenpayError):
    """A message on /notify is refused; WeChat gets the HTTP status ``status`` and FAIL.

    ``reason`` is a word for logs and metrics from a fixed set, never input. ``known_serials`` are the keys that could
    have verified the message (v3).
    """

    status: ClassVar[int] = 400
    known_serials: tuple[str, ...] = ()

    def __init__(self, reason: str, text: Bilingual | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class Unconfirmed(NotifyError):
    """The message differs from the result of a query made now, or WeChat could not be queried."""

    status = 503
    code = "UNCONFIRMED"
    text = Bilingual("暂时无法向微信支付确认这笔支付", "This payment cannot be confirmed with WeChat Pay right now")


class SignatureInvalid(NotifyError):
    status = 401
    code = "SIGN_ERROR"
    text = Bilingual("签名错误", "The signature is not valid")


class Malformed(NotifyError):
    code = "MALFORMED"
    text = Bilingual("报文格式错误", "The message is malformed")


class MismatchReason(StrEnum):
    """The reason why a genuine message is refused: the field that differs, or what the order does not allow."""

    APPID = "appid"
    MCHID = "mchid"
    TOTAL = "total"
    CURRENCY = "currency"
    TRADE_TYPE = "trade_type"
    TRADE_STATE = "trade_state"
    TRANSACTION_ID = "transaction_id"
    OUT_TRADE_NO = "out_trade_no"
    REFUND = "refund"
    REFUND_TOTAL = "refund_total"
    UNKNOWN_ORDER = "unknown_order"
    UNKNOWN_REFUND = "unknown_refund"
    TRANSACTION_USED = "transaction_used"
    SECOND_PAYMENT = "second_payment"
    TOO_MANY_PAYMENTS = "too_many_payments"
    REFUND_ENDED = "refund_ended"


class Mismatch(NotifyError):
    status = 409
    code = "MISMATCH"
    text = Bilingual("与订单不一致", "The message does not match the order")

    def __init__(self, reason: MismatchReason) -> None:
        super().__init__(reason)


class StoreUnavailable(FenpayError):
    """The store did not answer in time; the caller may repeat the same request."""

    code = "STORE_UNAVAILABLE"
    text = Bilingual("系统繁忙，请稍后再试", "The service is busy, please try again shortly")


class NewerDocument(StoreUnavailable):
    """A newer release wrote this document; this process must not overwrite fields that it does not understand."""

    code = "NEWER_DOCUMENT"
    text = Bilingual(
        "这条数据由更新版本的 Fenpay 写入，本进程不能改写；请升级所有进程后重试",
        "A newer release of Fenpay wrote this record, so this process cannot change it; upgrade every process, then "
        "retry",
    )


class ConfigError(FenpayError):
    """The settings cannot work, so the service does not start. Sentences name each wrong key and its fix, no value."""

    code = "CONFIG"

    def __init__(self, problems: Sequence[Bilingual]) -> None:
        self.problems = tuple(problems)
        super().__init__(Bilingual("；".join(p.zh for p in problems), "; ".join(p.en for p in problems)))
