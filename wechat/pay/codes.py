"""WeChat Pay's error codes: one spelling, which of them leave the outcome open, and what helps.

v2 and old v3 pages write ORDERPAID, new pages ORDER_PAID; answers carry either. Inside, the new spelling is used.
Sources: the error tables of each call, and https://pay.weixin.qq.com/doc/v3/merchant/4012070424 (错误码).
"""

from __future__ import annotations

from wechat.domain.errors import NO_ADVICE, Advice, Bilingual, GatewayRefused, OutcomeUnknown, RemoteError

ORDER_PAID = "ORDER_PAID"
ORDER_CLOSED = "ORDER_CLOSED"
ORDER_NOT_EXIST = "ORDER_NOT_EXIST"
REFUND_NOT_EXIST = "REFUND_NOT_EXIST"

SPELLINGS = {
    "ORDERPAID": ORDER_PAID,
    "ORDERCLOSED": ORDER_CLOSED,
    "ORDERNOTEXIST": ORDER_NOT_EXIST,
    "REFUNDNOTEXIST": REFUND_NOT_EXIST,
    "SYSTEMERROR": "SYSTEM_ERROR",
    "BANKERROR": "BANK_ERROR",
    "SIGNERROR": "SIGN_ERROR",
    "NOAUTH": "NO_AUTH",
    "NOTENOUGH": "NOT_ENOUGH",
    "RULELIMIT": "RULE_LIMIT",
    "USERPAYING": "USER_PAYING",
    "ACCOUNTERROR": "ACCOUNT_ERROR",
    "MCHID_NOT_EXIST": "MCH_NOT_EXISTS",
    "FREQUENCY_LIMIT": "FREQUENCY_LIMITED",
    "RATELIMIT_EXCEEDED": "FREQUENCY_LIMITED",
}

SPELLINGS_OF = {("refund_query", "RESOURCE_NOT_EXISTS"): REFUND_NOT_EXIST}
"""What a code that means many things means as the answer to one call."""

OPEN = frozenset(
    {"SYSTEM_ERROR", "BANK_ERROR", "BIZERR_NEED_RETRY", "FREQUENCY_LIMITED", "USER_PAYING", "SERVICE_UNAVAILABLE"}
)
"""Codes that do not prove that the request had no effect."""

NOT_NOW = frozenset(
    {
        "SIGN_ERROR",
        "NO_AUTH",
        "CERT_ERROR",
        "MCH_NOT_EXISTS",
        "APPID_NOT_EXIST",
        "APPID_MCHID_NOT_MATCH",
        "FREQUENCY_LIMITED",
        "COMMUNICATION_FAIL",
        "INVALID_REQ_TOO_MUCH",
        "NOT_ENOUGH",
        "ORDER_NOT_READY",
    }
)
"""Codes after which WeChat may do the very same thing later, so nothing ends by them: who asks is not known, may not or
asks too often; there is too little money for a refund; the order is still being worked on. After NOT_ENOUGH, WeChat
wants the refund sent again under its original number (错误码 of 申请退款)."""

_SIGN_V3 = Advice(
    (
        Bilingual(
            "商户 API 私钥与证书序列号不是一对", "The merchant key and the certificate's serial do not belong together"
        ),
        Bilingual("商户号填错", "The merchant number is wrong"),
        Bilingual("服务器时钟偏差超过 5 分钟", "This server's clock is more than 5 minutes off"),
    ),
    Bilingual(
        "核对 pay.v3.merchant_key 与 merchant_cert，并校准时钟",
        "Check pay.v3.merchant_key and merchant_cert, and the clock",
    ),
)
_PAIRING = Advice(
    (
        Bilingual("公众号 AppID 没有绑定到这个商户号", "The AppID is not bound to this merchant number"),
        Bilingual("AppID 或商户号填错", "The AppID or the merchant number is wrong"),
    ),
    Bilingual(
        "在 商户平台 → 产品中心 → AppID账号管理 绑定，并在公众平台确认",
        "Bind them under 产品中心 → AppID账号管理 in the merchant console, and confirm in the Official Account console",
    ),
)
_REUSED = Advice(
    (Bilingual("同一订单号以不同参数下过单", "The order number was used with other parameters"),),
    Bilingual("换一个订单号，或用首次的参数重试", "Use another order number, or the first parameters again"),
)

ADVICE: dict[str, Advice] = {
    "SIGN_ERROR": _SIGN_V3,
    "APPID_MCHID_NOT_MATCH": _PAIRING,
    "APPID_NOT_EXIST": _PAIRING,
    "MCH_NOT_EXISTS": _PAIRING,
    "OUT_TRADE_NO_USED": _REUSED,
    "INVALID_REQUEST": Advice(
        (
            *_REUSED.causes,
            Bilingual("参数组合不被允许", "The parameters do not go together"),
            Bilingual("openid 属于另一个 AppID", "The openid belongs to another AppID"),
        ),
        Bilingual("对照微信返回的说明检查参数", "Compare the parameters with WeChat's message"),
    ),
    "PARAM_ERROR": Advice(
        (Bilingual("某个字段的类型、长度或取值不对", "A field has the wrong type, length or value"),),
        Bilingual("微信的说明指出了字段", "WeChat's message names the field"),
    ),
    "NO_AUTH": Advice(
        (Bilingual("商户号没有开通这个产品", "The product is not switched on for this merchant number"),),
        Bilingual("在 商户平台 → 产品中心 开通", "Switch it on under 产品中心 in the merchant console under 交易中心"),
    ),
    "TRADE_STATE_ERROR": Advice(
        (
            Bilingual(
                "v2 订单下单不足 5 分钟，还不能关闭", "A v2 order can be closed only five minutes after it was placed"
            ),
        ),
        Bilingual("稍后再关", "Close it later"),
    ),
    ORDER_PAID: Advice((Bilingual("订单已支付", "The order is paid"),), Bilingual("查询订单即可", "Query the order")),
    ORDER_CLOSED: Advice(
        (Bilingual("订单已关闭", "The order is closed"),), Bilingual("用新的订单号下单", "Place a new order")
    ),
    ORDER_NOT_EXIST: Advice(
        (Bilingual("微信没有收到过这个订单号", "WeChat has never received this order number"),),
        Bilingual("重新下单", "Place it again"),
    ),
    "NOT_ENOUGH": Advice(
        (Bilingual("商户号里可用于退款的余额不足", "The merchant's balance does not cover the refund"),),
        Bilingual(
            "请在 商户平台 → 交易中心 → 资金管理 → 充值/转入 充值，本系统会用原商户退款单号重试",
            "Top it up in the merchant console (交易中心 → 资金管理); the refund is sent again under its number",
        ),
    ),
    "TRADE_OVERDUE": Advice(
        (Bilingual("支付已超过一年", "The payment is over a year old"),),
        Bilingual("用其他方式把钱还给付款人", "Return the money in another way"),
    ),
    "USER_ACCOUNT_ABNORMAL": Advice(
        (Bilingual("付款人的账户已注销或异常", "The payer's account is closed or abnormal"),),
        Bilingual("与付款人联系，用其他方式退款", "Contact the payer and return the money in another way"),
    ),
    "CERT_ERROR": Advice(
        (
            Bilingual("API 证书已过期或被吊销", "The client certificate has ended or was revoked"),
            Bilingual("证书属于另一个商户号", "The client certificate is another merchant's"),
        ),
        Bilingual(
            "核对 pay.v2.client_cert 与 client_key，或设 pay.refund_api: v3",
            "Check pay.v2.client_cert and client_key, or set pay.refund_api: v3",
        ),
    ),
    REFUND_NOT_EXIST: Advice(
        (Bilingual("微信没有收到过这个退款单号", "WeChat has never received this refund number"),),
        Bilingual("用同一个退款单号重试", "Repeat with the same out_refund_no"),
    ),
    "RESOURCE_NOT_EXISTS": Advice(
        (Bilingual("新商户号没有平台证书", "New merchant numbers have no platform certificate"),),
        Bilingual(
            "在 商户平台 → 账户中心 → API安全 申请微信支付公钥，填入 pay.v3.public_key 与 public_key_id",
            "Get the WeChat Pay public key under 账户中心 → API安全, and set pay.v3.public_key and public_key_id",
        ),
    ),
}

V2_SIGN = Advice(
    (
        Bilingual("pay.v2.key 不是这个商户号的 APIv2 密钥", "pay.v2.key is not this merchant's APIv2 key"),
        Bilingual("商户号填错", "The merchant number is wrong"),
    ),
    Bilingual(
        "在 商户平台 → 账户中心 → API安全 核对或重设 APIv2 密钥",
        "Check or reset the APIv2 key under 账户中心 → API安全",
    ),
)


def normal(call: str, wire_code: str) -> str:
    """``wire_code``, as ``call`` means it, in the new spelling."""
    return SPELLINGS_OF.get((call, wire_code)) or SPELLINGS.get(wire_code, wire_code)


def failure(call: str, wire_code: str, message: str, *, http_status: int = 200, request_id: str = "") -> RemoteError:
    """The error that a trustworthy answer with this code means."""
    code = normal(call, wire_code)
    kind = OutcomeUnknown if code in OPEN or http_status >= 500 else GatewayRefused
    return kind(
        call,
        code=code if kind is GatewayRefused else None,
        wire_code=wire_code,
        wire_message=message,
        http_status=http_status,
        request_id=request_id,
        advice=ADVICE.get(code, NO_ADVICE),
    )


def is_final(error: GatewayRefused) -> bool:
    """Whether a refusal decides the thing asked for. v2's communication failures are not even signed."""
    return error.public_code not in NOT_NOW and error.http_status not in (401, 429)
