"""Collect from the settings the keys with which wrong signatures are explained."""

from __future__ import annotations

from pydantic import SecretStr

from service.settings.model import Settings
from wechat.pay.key_files import PemContent, describe_certificate, read_pem
from wechat.sign_explain.model import Keys
from wechat.slips.sign_errors import SignErrors


def find_slip_keys(settings: Settings) -> Keys:
    """Return all keys of ``settings``."""
    v2, v3 = settings.pay.v2, settings.pay.v3
    return Keys(
        v2=_text(v2.key if v2 else None),
        v3=_text(v3.key if v3 else None),
        appsecret=settings.account.appsecret.get_secret_value(),
        private_key=_pem(v3.merchant_key if v3 else None),
        certificate=_pem(v3.merchant_cert if v3 else None),
        public_key=_pem(v3.public_key if v3 else None),
        public_key_id=(v3.public_key_id if v3 else "") or "",
    )


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _pem(secret: SecretStr | None) -> PemContent | None:
    return read_pem(secret.get_secret_value()) if secret else None


def build_sign_errors(settings: Settings) -> SignErrors:
    """Build the explanations of requests whose signature WeChat Pay refused."""
    v3 = settings.pay.v3
    owner = describe_certificate(v3.merchant_cert.get_secret_value()).owner if v3 else ""
    return SignErrors(find_slip_keys(settings), settings.pay.mchid, owner)
