"""WeChat Pay's refund calls on real ports, written by hand: v2 over TLS that requires the merchant's certificate.

It checks requests by rules of its own and answers what a test puts into ``v2`` and ``v3``.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import secrets
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.keys import certificate_pem, key, private_pem
from tests.support.platform import Fields, Platform, v2_sign, v2_xml

AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')


class RefundWeChat:
    """``v2`` and ``v3`` make the answers; ``asked`` lists (path, request). With ``hangs_up`` it closes the connection
    after reading a request."""

    def __init__(self, platform: Platform, directory: Path) -> None:
        self.platform = platform
        self.known = platform.known
        self._directory = directory
        self.reset()

    def reset(self) -> None:
        """Restore the initial state, on the same ports."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.v2: Callable[[Fields], Fields] = lambda fields: {}
        self.v3: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = lambda data: (200, {})
        self.sign_with = self.known["api_v2_key"]
        self.v3_headers: dict[str, str] = {}
        self.hangs_up = False

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/pay/refundquery", self._answer_v2)
        app.router.add_route("*", "/v3/{path:.*}", self._answer_v3)
        secure = web.Application()
        secure.router.add_post("/secapi/pay/refund", self._answer_v2)
        self._runners = [web.AppRunner(one, access_log=None) for one in (app, secure)]
        for runner, tls in zip(self._runners, (None, self._tls()), strict=True):
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        plain, guarded = (runner.addresses[0][1] for runner in self._runners)
        self.url, self.secure_url = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{guarded}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _answer_v2(self, request: web.Request) -> web.Response:
        fields = {element.tag: element.text or "" for element in ElementTree.fromstring(await request.read())}  # noqa: S314
        self._note(request, request.path, fields)
        assert fields["sign"] == v2_sign(fields, self.known["api_v2_key"], fields["sign_type"])
        payload = self.v2(fields)
        if "return_code" in payload:
            return web.Response(body=v2_xml(payload))
        head = {"return_code": "SUCCESS", "appid": self.known["appid"], "mch_id": self.known["mchid"]}
        answer = head | {"nonce_str": secrets.token_hex(8), "result_code": "SUCCESS"} | payload
        return web.Response(body=v2_xml(answer | {"sign": v2_sign(answer, self.sign_with)}))

    async def _answer_v3(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._check(request, body)
        self._note(request, request.raw_path, json.loads(body) if body else {})
        status, payload = self.v3(json.loads(body) if body else {})
        message = self.platform.v3_signed(json.dumps(payload).encode())
        headers = message.headers | self.v3_headers if status == 200 else {"Content-Type": "application/json"}
        return web.Response(status=status, body=message.body, headers=headers)

    def _note(self, request: web.Request, path: str, sent: dict[str, Any]) -> None:
        self.asked.append((path, sent))
        if self.hangs_up and request.transport:
            request.transport.abort()

    def _check(self, request: web.Request, body: bytes) -> None:
        items = dict(AUTHORIZATION.findall(request.headers["Authorization"]))
        head = f"{request.method}\n{request.raw_path}\n{items['timestamp']}\n{items['nonce_str']}\n"
        signature = base64.b64decode(items["signature"])
        key("ours").public_key().verify(signature, head.encode() + body + b"\n", PKCS1v15(), SHA256())

    def _tls(self) -> ssl.SSLContext:
        file = self._directory / "server.pem"
        file.write_text(server_pem() + private_pem("server"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.load_verify_locations(cadata=certificate_pem("ours"))
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@cache
def server_pem() -> str:
    """Return a certificate of 127.0.0.1 that passes a strict client's checks."""
    name, public = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wechat")]), key("server").public_key()
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(public)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(usage, True)
        .add_extension(subject_key, False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), False)
    )
    return builder.sign(key("server"), SHA256()).public_bytes(Encoding.PEM).decode()
