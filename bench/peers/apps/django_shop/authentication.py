"""Authenticate merchants by their API key."""

from __future__ import annotations

import hmac

from config import CONFIG
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request


class Merchant:
    """The caller behind a valid API key."""

    is_authenticated = True


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer KEY``."""

    def authenticate(self, request: Request) -> tuple[Merchant, None]:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {CONFIG['api_key']}".encode()):
            raise AuthenticationFailed
        return Merchant(), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
