"""Texts of the page about signatures."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual
from wechat.sign_explain.model import Verdict

TEXTS: Mapping[str, Bilingual] = {
    "signature": Bilingual("签名检查", "Signature"),
    "what_it_does": Bilingual(
        "粘贴带签名的完整报文：请求、应答、通知、调起支付或 wx.config 的参数、curl 命令、日志行。"
        "密钥取自本服务的配置，密钥和用它算出的签名都不会显示；报文不会保存。",
        "Paste a complete signed message: a request, a response, a notification, the parameters of a "
        "payment or of wx.config, a curl command or a log line. The check uses this service's own keys. "
        "Keys, and signatures made with them, are not shown. The message is not stored.",
    ),
    "message": Bilingual("报文", "Message"),
    "kind": Bilingual("种类", "Kind"),
    "any_kind": Bilingual("自动识别", "Detect automatically"),
    "check": Bilingual("检查", "Check"),
    "string_to_sign": Bilingual("待签名串", "String to sign"),
    "given": Bilingual("报文里的签名", "The signature in the message"),
    "wrong": Bilingual("错误", "wrong"),
    "right": Bilingual("正确", "right"),
    "document": Bilingual("官方文档", "WeChat's documentation"),
}
VERDICTS: Mapping[Verdict, tuple[str, Bilingual]] = {
    Verdict.CORRECT: ("good", Bilingual("签名正确", "The signature is right")),
    Verdict.WRONG: ("bad", Bilingual("签名不对", "The signature is wrong")),
    Verdict.UNRECOGNISED: ("wait", Bilingual("无法判断", "Cannot be determined")),
}
"""The class and the text of a verdict's badge."""
