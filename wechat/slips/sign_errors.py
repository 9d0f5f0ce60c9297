"""Find out why WeChat refuses the signature of our request. The signed text is known, so only few causes are possible.

WeChat shows the text that it expected to be signed, at least its beginning (``sign_information``; source:
https://pay.weixin.qq.com/doc/v3/merchant/4012365336, 常见问题), and each answer has the time of WeChat's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wechat.catalogue.catalogue import advise
from wechat.domain.errors import Bilingual, Cause
from wechat.domain.facts import Api
from wechat.pay.gateway import RefusedRequest
from wechat.pay.signing import WINDOW_S
from wechat.sign_explain.conclusion import slip
from wechat.sign_explain.model import Keys, Slip
from wechat.sign_explain.slips import SlipCode

LINES = (SlipCode.METHOD_DIFFERS, SlipCode.URL_DIFFERS, SlipCode.TIMESTAMP_DIFFERS, SlipCode.NONCE_DIFFERS)
"""The slips of the lines of a signed request, before its body."""
CHANGED = "SIGN_ERROR: changed"
FIXES = {
    SlipCode.CLOCK_OFF: "SIGN_ERROR: timestamp",
    SlipCode.SERIAL_OF_OTHER_KEY: "SIGN_ERROR: serial",
    **dict.fromkeys((*LINES, SlipCode.BODY_CHANGED), CHANGED),
}
"""The catalogue's entries with the fix, by slip."""


@dataclass(frozen=True, slots=True)
class SignErrors:
    """Finds causes with the ``keys`` of the settings. It is fast, so it runs in the request."""

    keys: Keys
    mchid: str
    certificate_mchid: str = ""
    """The merchant number in the merchant API certificate; empty if it has none."""

    def name_cause(self, request: RefusedRequest) -> Cause:
        """Return the likeliest cause; if nothing else is wrong, it is the key itself."""
        found = next(self._find(request), None)
        if found is None:
            return Cause(SlipCode.WRONG_KEY.value, self._blame_key(request.api))
        advice = advise(Api.V3, FIXES.get(found.code, ""))
        return Cause(found.code.value, found.text, advice.next_step if advice else None)

    def _find(self, request: RefusedRequest) -> Iterator[Slip]:
        yield from _check_clock(request)
        yield from _check_changes(request)
        if request.api is Api.V2:
            yield from self._check_v2_key()
        else:
            yield from self._check_certificate(request)

    def _check_v2_key(self) -> Iterator[Slip]:
        for other, name in ((self.keys.v3, "pay.v3.key"), (self.keys.appsecret, "account.appsecret")):
            if other and other == self.keys.v2:
                zh, en = f"pay.v2.key 与 {name} 相同", f"pay.v2.key is the same as {name}"
                yield slip(SlipCode.KEY_OF_OTHER_API, zh, en)

    def _check_certificate(self, request: RefusedRequest) -> Iterator[Slip]:
        issued_to, mchid = self.certificate_mchid, self.mchid
        if issued_to.isdecimal() and issued_to != mchid:
            zh = f"pay.v3.merchant_cert 是商户号 {issued_to} 的，pay.mchid 是 {mchid}"
            en = f"pay.v3.merchant_cert is of the merchant number {issued_to}, and pay.mchid is {mchid}"
            yield slip(SlipCode.SERIAL_OF_OTHER_KEY, zh, en)
        elif "序列号" in request.said:
            serial = self.keys.certificate.serial if self.keys.certificate else ""
            zh = f"商户号 {mchid} 没有序列号为 {serial} 的有效商户API证书（已更换或作废）"
            en = f"the merchant number {mchid} has no valid certificate {serial}; it was replaced or revoked"
            yield slip(SlipCode.SERIAL_OF_OTHER_KEY, zh, en)

    def _blame_key(self, api: Api) -> Bilingual:
        if api is Api.V2:
            return Bilingual(
                f"算法和参数无误，pay.v2.key 不是商户号 {self.mchid} 的APIv2密钥",
                f"the algorithm is right; pay.v2.key is not the APIv2 key of the merchant number {self.mchid}",
            )
        return Bilingual(
            f"签名串无误，pay.v3.merchant_key 不是商户号 {self.mchid} 的商户API私钥",
            f"the text is right; pay.v3.merchant_key is not the merchant API private key of {self.mchid}",
        )


def _check_clock(request: RefusedRequest) -> Iterator[Slip]:
    """Compare this machine's clock with the Date of the answer."""
    if request.answered_s is None or abs(request.sent_s - request.answered_s) < WINDOW_S:
        return
    minutes = round((request.sent_s - request.answered_s) / 60)
    zh, en = (
        f"本机比微信支付{'快' if minutes > 0 else '慢'} {abs(minutes)} 分钟",
        (f"this machine is {abs(minutes)} minutes {'ahead of' if minutes > 0 else 'behind'} WeChat Pay"),
    )
    yield slip(SlipCode.CLOCK_OFF, zh, en)


def _check_changes(request: RefusedRequest) -> Iterator[Slip]:
    """Compare the signed text with the one that arrived. If they differ, a proxy or gateway changed the request."""
    if not request.seen:
        return
    signed_lines = request.signed.split(b"\n")
    seen_lines = request.seen.encode("utf-8", "replace").split(b"\n")
    zh, en = "出口代理或网关改动了请求", "a proxy on the way out changed the request"
    complete = seen_lines[:-1]  # the last line may have been cut
    for code, own, other in zip(LINES, signed_lines, complete, strict=False):
        if own != other:
            yield slip(code, zh, en)
    if request.seen_length and request.seen_length != len(request.signed):
        yield slip(SlipCode.BODY_CHANGED, zh, en)
