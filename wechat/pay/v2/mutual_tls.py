"""The TLS of v2's refunds, for which WeChat demands the merchant's certificate.

These requests use connections of their own, because WeChat refuses them on a connection opened without the certificate.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from wechat.pay.certificates import check_authorities, check_pair
from wechat.pay.key_files import break_lines

CERT = "pay.v2.client_cert"
KEY = "pay.v2.client_key"
CA = "pay.v2.ca"


def client_context(cert_pem: str, key_pem: str, ca_pem: str = "") -> ssl.SSLContext:
    """Build a context that presents apiclient_cert.pem; ``ca_pem`` is trusted in place of the system's authorities.

    Raises ConfigError for files of another kind, and for two that are not a pair.
    """
    check_pair(cert_pem, key_pem, CERT, KEY)
    if ca_pem:
        check_authorities(ca_pem, CA)
    context = ssl.create_default_context(cadata=ca_pem or None)
    with tempfile.TemporaryDirectory() as directory:  # OpenSSL reads them from files only
        pair = Path(directory, "pair.pem")
        with os.fdopen(os.open(pair, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(break_lines(f"{cert_pem}\n{key_pem}\n"))
        context.load_cert_chain(pair)
    return context
