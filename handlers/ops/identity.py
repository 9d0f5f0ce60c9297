"""Prove which service answers, and return the headers that a proxy passed on, for ``doctor``."""

from __future__ import annotations

from handlers.web.base import ApiHandler, takes_query
from wechat.domain.errors import BadRequest, Bilingual
from wechat.support.identity import NONCE, prove

NO_NONCE = Bilingual("nonce 是 32 位小写十六进制", "nonce is 32 of 0-9 a-f")


class IdentityHandler(ApiHandler):
    """GET /identity?nonce=…: ``{"proof", "host", "scheme", "real_ip", "address"}``.

    ``proof`` answers the nonce with a key derived from the session secret. The other fields show what a proxy passed
    on: the Host and X-Forwarded-Proto headers, whether X-Real-IP was sent, and the caller's address as this service
    sees it.
    """

    @takes_query("nonce")
    def get(self) -> None:
        nonce = self.get_query_argument("nonce", "")
        if not NONCE.fullmatch(nonce):
            raise BadRequest(NO_NONCE, field="nonce")
        headers = self.request.headers
        self.write_json(
            {
                "proof": prove(self.services.settings.session.secret.get_secret_value(), nonce),
                "host": headers.get("Host", ""),
                "scheme": headers.get("X-Forwarded-Proto", ""),
                "real_ip": "X-Real-IP" in headers,
                "address": self.client_ip,
            }
        )
