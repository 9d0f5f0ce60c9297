"""Fetch bills over v2 and v3, behind one protocol.

A v3 bill needs two requests: a signed one, whose verified answer holds an address and a SHA-1, and a signed GET of that
address, whose answer is not signed; so the address must be on a pay host and the file must match the hash. A v2 trade
bill has neither signature nor hash, only TLS and gzip's own CRC. That is sufficient, because a bill only reports
differences and never moves money by itself.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4013071227 (trade bill), .../4013071235 (fund flow), .../4013071238
(download), v2 https://pay.weixin.qq.com/doc/v2/merchant/4011939598 (downloadbill), .../4011940230 (downloadfundflow).
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from wechat.domain.errors import Bilingual, Conflict, GatewayRefused, Malformed, OutcomeUnknown
from wechat.domain.facts import Api
from wechat.pay import codes
from wechat.pay.bills.file import MOST, BillSink, receiving
from wechat.pay.bills.parser import BillBroken, BillKind, read_lines
from wechat.pay.gateway import ApiContext, Merchant, RefusedRequest
from wechat.pay.signing import SignType, v2_sign
from wechat.pay.v2 import xmlcodec
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.connection import build_bare_status
from wechat.support.transport import Answer, Request

NO_BILL = frozenset({"NO_STATEMENT_EXIST", "NO_BILL_EXIST", "NO BILL EXIST", "20002"})
CREATING = frozenset({"STATEMENT_CREATING", "BILL_CREATING", "BILL CREATING"})
MAX_ADDRESS = 2048
FLOW_SIGN = SignType.HMAC_SHA256  # the only one that downloadfundflow takes

_SHA1 = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)
_XML = {"Content-Type": "text/xml; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Bill:
    """A verified bill on disk. ``path`` is None for a day without entries, for which WeChat makes no bill."""

    day: date
    kind: BillKind
    path: Path | None

    def lines(self) -> Iterator[str]:
        """Yield the lines. Raises BillBroken."""
        return read_lines(self.path) if self.path else iter(())


class NotYet(Conflict):
    """WeChat is still making the bill; try again later."""

    code = "BILL_NOT_READY"
    text = Bilingual(
        "微信还在生成这一天的账单，通常在次日北京时间 10 点以后可取；请一小时后再来",
        "WeChat is still making this day's bill, which mostly is there from 10:00 Beijing time on the next day;"
        " come back in an hour",
    )


class BillGateway(Protocol):
    """A source of bills."""

    async def fetch(self, day: date, kind: BillKind, into: Path) -> Bill:
        """Download the bill of a Beijing day to ``into`` and verify it.

        Raises NotYet, BillBroken (not what WeChat announced; nothing is kept), GatewayRefused, NotSent, OutcomeUnknown.
        """


class V3Bills:
    """Bills over v3. ``most`` is the maximal size of an unpacked bill, in bytes."""

    def __init__(self, wire: ApiContext, gateway: V3Gateway, most: int = MOST) -> None:
        self._wire = wire
        self._gateway = gateway
        self._most = most

    async def fetch(self, day: date, kind: BillKind, into: Path) -> Bill:
        """GET /v3/bill/{tradebill,fundflowbill}, then GET download_url."""
        path, parameter = ("fundflowbill", "account_type") if kind.flow else ("tradebill", "bill_type")
        target = f"/v3/bill/{path}?bill_date={day.isoformat()}&{parameter}={kind}&tar_type=GZIP"
        try:
            announcement = await self._gateway.ask(path, "GET", target)
        except GatewayRefused as error:
            return _absent(error, day, kind)
        host, target, sha1 = self._read_announcement(announcement)
        with receiving(into, self._most) as sink:
            await self._download(host, target, sink)
            _must_equal(sink.sha1, sha1)
        return Bill(day, kind, into)

    def _read_announcement(self, announcement: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return host, path with query, and hash of a verified announcement. Raises BillBroken."""
        address, sha1 = str(announcement.get("download_url", "")), str(announcement.get("hash_value", ""))
        if announcement.get("hash_type") != "SHA1" or not _SHA1.fullmatch(sha1):
            raise BillBroken("hash")
        host, target = _split(address)
        if host not in self._wire.hosts:
            raise BillBroken("host")
        return host, target, sha1.lower()

    async def _download(self, host: str, target: str, sink: BillSink) -> None:
        headers = self._gateway.sign("GET", target)
        request = Request("billdownload", "GET", target, headers=headers, api=Api.V3)
        answer = await self._wire.transport.download(host, request, sink.write, most=self._most)
        if answer.status != 200:
            raise build_bare_status("billdownload", answer.status, answer.host)
        sink.finish()


class V2Bills:
    """Bills over v2. Fund flow bills need ``secure``, the context with the merchant's client certificate."""

    def __init__(
        self,
        wire: ApiContext,
        merchant: Merchant,
        key: str,
        sign_type: SignType = SignType.HMAC_SHA256,
        *,
        secure: ApiContext | None = None,
        most: int = MOST,
    ) -> None:
        self._wire = wire
        self._merchant = merchant
        self._key = key
        self._sign_type = sign_type
        self._secure = secure
        self._most = most

    async def fetch(self, day: date, kind: BillKind, into: Path) -> Bill:
        """POST /pay/downloadbill or /pay/downloadfundflow."""
        wanted = {"bill_date": day.strftime("%Y%m%d")}
        if kind.flow:
            # Without gzip, so that the digest in the answer's header is that of the file.
            request = self._request("downloadfundflow", wanted | {"account_type": kind.capitalize()}, FLOW_SIGN)
            wire = self._secure_wire()
        else:
            wanted |= {"bill_type": kind.value, "tar_type": "GZIP"}
            request, wire = self._request("downloadbill", wanted, self._sign_type), self._wire
        with receiving(into, self._most) as sink:
            answer = await self._download(wire, request, sink)
            if sink.refusal:
                error = _refusal(request.call, sink.refusal)
                self._wire.explain_refusal(error, lambda: RefusedRequest(Api.V2, error.wire_message))
                return _absent(error, day, kind)
            if kind.flow:
                _must_equal(sink.sha1, _digest(answer.headers.get("Digest", "")))
        return Bill(day, kind, into)

    async def _download(self, wire: ApiContext, request: Request, sink: BillSink) -> Answer:
        answer = await wire.transport.download(wire.hosts[0], request, sink.write, most=self._most)
        if answer.status != 200:
            raise build_bare_status(request.call, answer.status, answer.host)
        sink.finish()
        return answer

    def _secure_wire(self) -> ApiContext:
        if self._secure is None:
            text = Bilingual("v2 的资金账单需要商户证书", "v2 fund flow bills need the merchant's client certificate")
            raise Conflict(text, code="NO_CLIENT_CERT")
        return self._secure

    def _request(self, call: str, wanted: Mapping[str, str], kind: SignType) -> Request:
        fields = {
            "appid": self._merchant.appid,
            "mch_id": self._merchant.mchid,
            "nonce_str": self._wire.nonce(),
            "sign_type": kind.value,
            **wanted,
        }
        body = xmlcodec.build(fields | {"sign": v2_sign(fields, self._key, kind)})
        return Request(call, "POST", f"/pay/{call}", body, _XML, api=Api.V2)


def _split(address: str) -> tuple[str, str]:
    """Split an address into scheme with host, and path with query, unchanged. Raises BillBroken."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise BillBroken("host") from None
    host = f"{parts.scheme}://{parts.netloc}"
    target = address[len(host) :]
    if len(address) > MAX_ADDRESS or not target.startswith("/") or parts.fragment or not address.isprintable():
        raise BillBroken("host")
    return host, target


def _absent(error: GatewayRefused | OutcomeUnknown, day: date, kind: BillKind) -> Bill:
    """Return an empty bill if the refusal says that there is none. Raises NotYet, or the refusal.

    v2's 20002 has both meanings, so the message decides: a day whose bill is still being made is not an empty day.
    """
    said = {error.wire_code.upper(), error.wire_message.upper()}
    if said & CREATING:
        raise NotYet from error
    if said & NO_BILL:
        return Bill(day, kind, None)
    raise error


def _refusal(call: str, body: bytes) -> GatewayRefused | OutcomeUnknown:
    """Build the error for v2's unsigned XML in place of a bill."""
    try:
        fields = xmlcodec.parse(body)
    except Malformed as error:
        return OutcomeUnknown(call, wire_message=error.reason)
    message = fields.get("return_msg", "")
    code = fields.get("err_code") or fields.get("error_code") or message
    if code.upper() in ("SYSTEMERROR", "SYSTEM ERROR") or message.upper() in ("SYSTEMERROR", "SYSTEM ERROR"):
        return OutcomeUnknown(call, wire_code=code, wire_message=message)
    return codes.communication_failure(call, code, message)


def _digest(header: str) -> str:
    """Return the hex of ``SHA=…``, which is hex in WeChat's samples and base64 in RFC 3230. Raises BillBroken."""
    value = header.removeprefix("SHA=")
    if _SHA1.fullmatch(value):
        return value.lower()
    try:
        raw = base64.b64decode(value, validate=True)
    except ValueError:
        raise BillBroken("hash") from None
    if not header.startswith("SHA=") or len(raw) != 20:
        raise BillBroken("hash")
    return raw.hex()


def _must_equal(found: str, announced: str) -> None:
    if not hmac.compare_digest(found.encode(), announced.encode()):
        raise BillBroken("hash")
