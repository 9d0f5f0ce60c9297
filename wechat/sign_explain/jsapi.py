"""Explain paySign, the signature in a page's parameters of WeixinJSBridge or ``wx.chooseWXPay``.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012365340 (RSA), .../doc/v2/merchant/4011985891 (MD5, HMAC-SHA256).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import partial
from itertools import permutations

from wechat.pay.signing import SignType, v3_pay_message
from wechat.sign_explain import variants
from wechat.sign_explain.bundle import EATEN, Bundle, read_bundle
from wechat.sign_explain.conclusion import end, slip
from wechat.sign_explain.field_changes import Fields, present
from wechat.sign_explain.fields import explain_fields
from wechat.sign_explain.messages import Capture
from wechat.sign_explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.rsa import certificate_for_key, explain_rsa
from wechat.sign_explain.search import Try, dimension
from wechat.sign_explain.slips import SlipCode

PREFIX = "prepay_id="
RSA = "RSA"
NAMES = {
    "appId": ("appId",),
    "timeStamp": ("timeStamp", "timestamp"),
    "nonceStr": ("nonceStr",),
    "package": ("package",),
    "signType": ("signType",),
    "paySign": ("paySign",),
}
"""Each signed name, with its permitted spellings: ``wx.chooseWXPay`` has ``timestamp``, the signature ``timeStamp``."""


def explain_jsapi(capture: Capture, keys: Keys) -> Explanation:
    """Explain a bundle with paySign."""
    bundle = read_bundle(capture.text)
    if bundle is None:
        return Explanation(Kind.JSAPI, Verdict.UNRECOGNISED)
    fields = {name: bundle.get(*spellings) for name, spellings in NAMES.items()}
    given = fields["paySign"]
    visible = [*_check_bundle(bundle, fields)]
    hexadecimal = re.fullmatch(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}", given)
    if hexadecimal and fields["signType"] != RSA:
        return _explain_v2(fields, keys, visible, capture.text)
    if hexadecimal:
        note = (
            "APIv3 订单的 paySign 是商户API私钥的 RSA 签名",
            "paySign of an APIv3 order is an RSA signature by the merchant API private key",
        )
        base = Explanation(Kind.JSAPI, Verdict.WRONG, (), _text(fields), given=given)
        return end(base, [*visible, slip(SlipCode.KEY_OF_OTHER_API, *note)])
    if fields["signType"] in list(SignType):
        note = (
            "signType 声明为 APIv2 的签名类型，paySign 却是 RSA 签名",
            "signType is one of APIv2, and paySign is an RSA signature",
        )
        base = Explanation(Kind.JSAPI, Verdict.WRONG, (), _text(fields), given=given)
        return end(base, [*visible, slip(SlipCode.KEY_OF_OTHER_API, *note)])
    return _explain_v3(fields, keys, visible, capture.text)


def _check_bundle(bundle: Bundle, fields: Fields) -> Iterator[Slip]:
    """Yield the slips that are visible in the bundle, whatever text was signed."""
    for name, spellings in NAMES.items():
        written = bundle.spelt(*spellings)
        if written and written not in spellings:
            yield slip(SlipCode.WRONG_PARAMETER_CASE, f"{written} → {name}", wrong=written, right=name)
            break
    else:
        yield from _check_call(bundle)
    if bundle.eaten:
        yield slip(SlipCode.HTML_ENTITY, bundle.eaten, wrong=bundle.eaten, right=EATEN[bundle.eaten])
    if "timeStamp" in bundle.numbers:
        time = fields["timeStamp"]
        yield slip(SlipCode.NUMBER_FOR_TEXT, "timeStamp", wrong=f'"timeStamp": {time}', right=f'"timeStamp": "{time}"')
    if bundle.values and not fields["signType"]:
        zh, en = "不传 signType 时微信按 SHA1 验签", "without signType WeChat takes SHA1"
        yield slip(SlipCode.SIGN_TYPE_MISSING, zh, en, right="signType")
    yield from _check_package(fields["package"])


def _check_call(bundle: Bundle) -> Iterator[Slip]:
    """Yield the slip of ``timestamp`` for WeixinJSBridge, or of ``timeStamp`` for wx.chooseWXPay."""
    if bundle.call == "bridge" and "timeStamp" not in bundle.values:
        yield slip(SlipCode.WRONG_PARAMETER_CASE, "timestamp → timeStamp", wrong="timestamp", right="timeStamp")
    if bundle.call == "choose" and "timestamp" not in bundle.values:
        yield slip(SlipCode.WRONG_PARAMETER_CASE, "timeStamp → timestamp", wrong="timeStamp", right="timestamp")


def _check_package(package: str) -> Iterator[Slip]:
    if package.startswith(PREFIX * 2):
        yield slip(
            SlipCode.PREPAY_ID_PREFIX_DOUBLED, wrong=f"package={package}", right=f"package={package[len(PREFIX) :]}"
        )
    elif not package.startswith(PREFIX):
        yield slip(SlipCode.PREPAY_ID_PREFIX_MISSING, wrong=f"package={package}", right=f"package={PREFIX}{package}")
    elif package[len(PREFIX) :] in ("", "undefined", "null", "None"):
        zh, en = f"{package}：没有取到 prepay_id", f"{package}: there is no prepay_id"
        yield slip(SlipCode.VALUE_CHANGED, zh, en, wrong=f"package={package}")


def _packages(package: str) -> Iterator[Try]:
    bare = package.removeprefix(PREFIX).removeprefix(PREFIX)
    if package.startswith(PREFIX) and not package.startswith(PREFIX * 2):
        yield Try(SlipCode.PREPAY_ID_PREFIX_MISSING, bare, f"{bare}")
        yield Try(SlipCode.PREPAY_ID_PREFIX_DOUBLED, PREFIX + package)
    else:
        visible = SlipCode.PREPAY_ID_PREFIX_DOUBLED if package.startswith(PREFIX) else SlipCode.PREPAY_ID_PREFIX_MISSING
        yield Try(visible, PREFIX + bare)
    for other in (f'"{package}"', f"package={package}", package.replace("=", "%3D"), package.replace("=", "\\u003d")):
        yield Try(SlipCode.URL_ENCODED_VALUES if "%" in other else SlipCode.VALUE_CHANGED, other, other)
    yield Try(SlipCode.HTML_ENTITY, html.unescape(package), package)


def _explain_v2(fields: Fields, keys: Keys, visible: list[Slip], text: str) -> Explanation:
    given, declared = fields["paySign"], fields["signType"]
    known = SignType(declared) if declared in list(SignType) else None
    signed = dict(fields)
    if not declared:
        signed["signType"] = "MD5" if len(given) == 32 else "HMAC-SHA256"
    more = [
        *(_change("timeStamp", one) for one in variants.timestamps(fields["timeStamp"], text)),
        *(_change("nonceStr", one) for one in variants.nonces(fields["nonceStr"], text)),
        *(_change("package", one) for one in _packages(fields["package"])),
    ]
    return explain_fields(Kind.JSAPI, signed, given, known, keys, visible, more)


def _change(name: str, one: Try) -> Try:
    return Try(one.slip, partial(_set, name, one.value), one.note, one.alone)


def _set(name: str, value: str, fields: Fields) -> Fields:
    return present({**fields, name: value})


def _explain_v3(fields: Fields, keys: Keys, visible: list[Slip], text: str) -> Explanation:
    appid, time, nonce, package, given = (
        fields[name] for name in ("appId", "timeStamp", "nonceStr", "package", "paySign")
    )
    packages = dimension(
        package,
        *_packages(package),
        *(Try(SlipCode.SIGN_TYPE_SIGNED, f"{package}\n{end_of}") for end_of in (RSA, f"signType={RSA}")),
    )
    accounts = re.findall(r"wx[0-9a-f]{16}", text)
    lines = [
        dimension(appid, *(Try(SlipCode.VALUE_CHANGED, other, "appId") for other in ("", *accounts))),
        dimension(time, *variants.timestamps(time, text)),
        dimension(nonce, *variants.nonces(nonce, text)),
        packages,
    ]
    orders = [v3_pay_message(*order) for order in permutations((appid, time, nonce, package))]
    extra = [Try(SlipCode.NOT_SORTED, message) for message in orders[1:]]
    pem = keys.private_key or keys.certificate or keys.public_key
    seen = [*visible, *certificate_for_key(keys)]
    return explain_rsa(Kind.JSAPI, lines, given, pem, seen, SlipCode.VALUE_CHANGED, extra)


def _text(fields: Fields) -> str:
    return v3_pay_message(*(fields[name] for name in ("appId", "timeStamp", "nonceStr", "package"))).decode(
        "utf-8", "replace"
    )
