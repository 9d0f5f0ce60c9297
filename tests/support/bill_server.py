"""WeChat's bill calls on a port of their own: checks the requests, and answers as a test sets."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import secrets
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.support.clock import ManualClock
from tests.support.keys import certificate_pem, key, private_pem
from tests.support.odd_values import ABSENT
from tests.support.runtime import RecordedTelemetry
from wechat.pay.certificates import KeyRing, PlatformKey, load_signer
from wechat.pay.ciphers import AeadCipher
from wechat.pay.gateway import ApiContext, Merchant
from wechat.pay.signing import Signer, rsa_verify, v2_verify, v3_answer_message, v3_request_message
from wechat.pay.v2 import xmlcodec
from wechat.pay.v3.gateway import V3Gateway
from wechat.support.transport import Transport

KEY = "0123456789abcdef0123456789ABCDEF"
SERIAL = "PUB_KEY_ID_0114232134912410000000000000"
MERCHANT = Merchant("1900000109", "wx0123456789abcdef")
_PART = re.compile(r'(\w+)="([^"]*)"')


class BillServer:
    """``file`` is the bill. Each attribute below changes one detail of how it is downloaded."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.file = b""
        self.hash: str | None = None  # None: the right one
        self.hash_type = "SHA1"
        self.address: str | None = None  # None: here
        self.wire: bytes | None = None  # what is sent in place of the zipped file
        self.status = 200
        self.announced: dict[str, object] = {}  # fields of the announcement that are not the right ones
        self.refusal: tuple[int, dict[str, str]] | None = None  # v3: status and body
        self.xml: dict[str, str] | None = None  # v2: fields in place of the bill
        self.cut = 0  # bytes held back, against the announced length
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v3/bill/{name}", self._announce)
        app.router.add_get("/v3/billdownload/file", self._download)
        app.router.add_post("/pay/{name}", self._v2)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._token = secrets.token_hex(8)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._runner.cleanup()

    def gateway(self, transport: Transport) -> V3Gateway:
        """Return a v3 gateway that calls this server."""
        ring = KeyRing(self.clock, PlatformKey(SERIAL, key("platform").public_key()))
        signer = load_signer(MERCHANT.mchid, private_pem(), certificate_pem(), RecordedTelemetry())
        return V3Gateway(self.wired(transport), MERCHANT, signer, AeadCipher(KEY), ring)

    def wired(self, transport: Transport) -> ApiContext:
        return ApiContext(transport, (self.url,), self.clock)

    async def _announce(self, request: web.Request) -> web.Response:
        self._must_be_signed(request)
        self.asked.append(request.path_qs)
        if self.refusal:
            status, payload = self.refusal
            return web.json_response(payload, status=status)
        sha1 = hashlib.sha1(self.file, usedforsecurity=False).hexdigest()
        address = f"{self.url}/v3/billdownload/file?token={self._token}" if self.address is None else self.address
        payload = {"hash_type": self.hash_type, "hash_value": self.hash or sha1, "download_url": address}
        fields = {name: value for name, value in (payload | self.announced).items() if value is not ABSENT}
        return self._signed(json.dumps(fields).encode())

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self._must_be_signed(request)
        assert request.query["token"] == self._token
        return await self._send(request, gzip.compress(self.file) if self.wire is None else self.wire, {})

    async def _v2(self, request: web.Request) -> web.StreamResponse:
        fields = xmlcodec.parse(await request.read())
        kind = v2_verify(fields, KEY)
        assert (fields["appid"], fields["mch_id"]) == (MERCHANT.appid, MERCHANT.mchid)
        name = request.match_info["name"]
        self.asked.append(f"{name} {fields['bill_date']} {fields.get('bill_type') or fields['account_type']} {kind}")
        if self.xml is not None:
            return web.Response(body=xmlcodec.build(self.xml))
        zipped = fields.get("tar_type") == "GZIP"
        body = self.wire if self.wire is not None else gzip.compress(self.file) if zipped else self.file
        digest = self.hash or hashlib.sha1(self.file, usedforsecurity=False).hexdigest()
        return await self._send(request, body, {} if name == "downloadbill" else {"Digest": f"SHA={digest}"})

    async def _send(self, request: web.Request, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=self.status, headers=headers | {"Location": f"{self.url}/elsewhere"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) - self.cut])
        if self.cut and request.transport:
            request.transport.close()
        return response

    def _signed(self, body: bytes) -> web.Response:
        timestamp, nonce = str(int(self.clock.now().timestamp())), secrets.token_hex(8)
        platform = Signer("", "", key("platform"))
        headers = {
            "Wechatpay-Signature": platform.sign(v3_answer_message(timestamp, nonce, body)),
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": SERIAL,
        }
        return web.Response(body=body, headers=headers, content_type="application/json")

    def _must_be_signed(self, request: web.Request) -> None:
        """Check the signature of path and query exactly as sent, under the merchant's key."""
        parts: dict[str, Any] = dict(_PART.findall(request.headers["Authorization"]))
        target = request.raw_path
        message = v3_request_message("GET", target, parts["timestamp"], parts["nonce_str"], b"")
        rsa_verify(key("ours").public_key(), message, parts["signature"])
