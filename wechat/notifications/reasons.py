"""Why a notification is refused, in words: what is wrong with it, and what to do where the cause may be ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wechat.domain.errors import Bilingual

MALFORMED = "malformed"
"""Every reason about a message's shape that is not listed below."""
PROBE = "probe"


class Reason(NamedTuple):
    """``text`` completes "the notification was refused because …"; ``fix`` is a sentence of its own."""

    text: Bilingual
    fix: Bilingual


_CHECK_SENDER = Bilingual(
    "如果不是微信支付发送的，可以忽略；持续出现请检查谁能访问 /notify",
    "Ignore it if WeChat Pay did not send it; if it goes on, find out who posts to /notify",
)

REASONS: Mapping[str, Reason] = {
    "aead_tag": Reason(
        Bilingual("APIv3密钥解不开通知内容", "the APIv3 key does not open it"),
        Bilingual(
            "核对 pay.v3.key 与商户平台 → 账户中心 → API安全 中的APIv3密钥，改正后重启，再用 notify replay 处理",
            "Compare pay.v3.key with the APIv3 key under 账户中心 → API安全 in the merchant console, restart, then use "
            "notify replay",
        ),
    ),
    "req_info": Reason(
        Bilingual("APIv2密钥解不开退款通知", "the APIv2 key does not open the refund notification"),
        Bilingual(
            "核对 pay.v2.key 与商户平台 → 账户中心 → API安全 中的APIv2密钥",
            "Compare pay.v2.key with the APIv2 key under 账户中心 → API安全 in the merchant console",
        ),
    ),
    "unknown_serial": Reason(
        Bilingual("没有该序列号的微信支付公钥或平台证书", "no WeChat Pay key of its serial is known here"),
        Bilingual(
            "PUB_KEY_ID_ 开头：配置 pay.v3.public_key 与 public_key_id；其他：设 pay.v3.certificates: true",
            "A serial that begins with PUB_KEY_ID_: set pay.v3.public_key and public_key_id; any other: set "
            "pay.v3.certificates to true",
        ),
    ),
    "key_ended": Reason(
        Bilingual("签名所用的平台证书已过期", "the platform certificate that signed it has ended"),
        Bilingual(
            "核对本机时间；时间正确则改用微信支付公钥",
            "Check this machine's clock; if it is right, change to the WeChat Pay public key",
        ),
    ),
    "sign_wrong": Reason(
        Bilingual("签名验证失败", "its signature does not verify"),
        Bilingual(
            "如果是微信支付发送的，请核对 pay.v3.public_key（APIv3）或 pay.v2.key（APIv2）；否则检查谁能访问 /notify",
            "If WeChat Pay sent it, check pay.v3.public_key (APIv3) or pay.v2.key (APIv2); if not, find out who posts "
            "to /notify",
        ),
    ),
    "stale": Reason(
        Bilingual("通知时间与本机时间相差 5 分钟以上", "its time is five minutes or more off this machine's clock"),
        Bilingual(
            "用 chronyc tracking 或 timedatectl 检查本机时间并开启时间同步；微信支付会重发通知",
            "Check this machine's clock with chronyc tracking or timedatectl and switch time synchronisation on; "
            "WeChat Pay repeats the notification",
        ),
    ),
    "api_off": Reason(
        Bilingual("未配置该版本的接口", "its API version is not configured here"),
        Bilingual("补上设置中的 pay.v2 或 pay.v3", "Put the section pay.v2 or pay.v3 back into the settings"),
    ),
    "headers_mixed": Reason(
        Bilingual("Wechatpay- 请求头不完整", "its Wechatpay- headers are incomplete"),
        Bilingual(
            "检查反向代理是否删改了 Wechatpay-Signature、-Timestamp、-Nonce、-Serial",
            "Check whether a proxy removes Wechatpay-Signature, -Timestamp, -Nonce or -Serial",
        ),
    ),
    "header": Reason(
        Bilingual("Wechatpay- 请求头为空或过长", "one of its Wechatpay- headers is empty or too long"),
        Bilingual("检查反向代理是否改动了请求头", "Check whether a proxy changes the headers"),
    ),
    "signature_type": Reason(
        Bilingual("签名算法不受支持", "its signature algorithm is not supported"),
        Bilingual(
            "商户平台 → API安全 中的签名算法应为 RSA（WECHATPAY2-SHA256-RSA2048）",
            "The merchant console's API安全 must use RSA (WECHATPAY2-SHA256-RSA2048)",
        ),
    ),
    "timestamp_shape": Reason(Bilingual("时间戳格式错误", "its timestamp is no number"), _CHECK_SENDER),
    "sign_missing": Reason(Bilingual("没有签名", "it carries no signature"), _CHECK_SENDER),
    "sign_shape": Reason(Bilingual("签名格式错误", "its signature has the wrong form"), _CHECK_SENDER),
    "sign_type": Reason(Bilingual("sign_type 与签名不符", "its sign_type does not fit its signature"), _CHECK_SENDER),
    "mchid": Reason(
        Bilingual("商户号不是本系统的", "it names another merchant number"),
        Bilingual(
            "核对 pay.mchid，以及该商户号的回调地址", "Check pay.mchid, and the notify URL of that merchant number"
        ),
    ),
    PROBE: Reason(
        Bilingual("是微信支付的签名探测流量", "it is a signature probe of WeChat Pay's"),
        Bilingual("无需处理：拒绝它正是微信支付期望的", "Nothing: WeChat Pay expects it to be refused"),
    ),
    MALFORMED: Reason(
        Bilingual("报文格式错误", "it is malformed"),
        Bilingual(
            "用 notify verify 查看具体原因；如果是微信支付发送的，请把它告诉 Fenpay 的维护者",
            "See the exact reason with notify verify; if WeChat Pay sent it, tell the maintainers of Fenpay",
        ),
    ),
}


def group_of(reason: str) -> str:
    """``reason`` where it is one of the listed, which are few; ``malformed`` for every other."""
    return reason if reason in REASONS else MALFORMED
