"""A Node process with one SDK in it, unmodified, that finds the simulator where it looks for WeChat."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from simulator.control.console import WECHAT_HOSTS
from tests.support.simulator import SimulatorProcess

HERE = Path(__file__).parent / "node"
MISSING = "no Node here, or its packages are not installed: .venv/bin/python -m scripts.programs"


class NodeError(Exception):
    """An error that the SDK threw; ``code``, ``status`` and ``data`` are None where the SDK gave none."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["message"])
        self.message = str(told["message"])
        self.code = told.get("code")
        self.status = told.get("status")
        self.data = told.get("data")


class NodeSdk:
    """``call`` makes the SDK do something; see tests/interop/node/sdks.js for what there is."""

    def __init__(self, name: str, simulator: SimulatorProcess, notify_url: str, state: Path) -> None:
        node = shutil.which("node")
        assert node, MISSING
        assert (HERE / "node_modules" / name).is_dir(), MISSING
        known = simulator.credentials
        environment = os.environ | {
            "CREDENTIALS": json.dumps(known | {"pfx": pfx(known), "notify_url": notify_url}),
            "NODE_EXTRA_CA_CERTS": str(state / "server-wechat.cert.pem"),
            "SIMULATOR_PORT": str(urlsplit(known["secure_url"]).port),
            "WECHAT_HOSTS": " ".join(WECHAT_HOSTS),
        }
        command = [node, "--require", "./to_simulator.js", "drive.js", name]
        self._process = subprocess.Popen(
            command,
            cwd=HERE,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def call(self, name: str, *args: Any) -> Any:
        """Call ``name`` in the SDK and return the value of its promise. Raises NodeError when it is rejected."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"call": name, "args": args}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise NodeError(told["error"])
        return told["value"]

    def stop(self) -> None:
        self._process.communicate(timeout=10)


def pfx(known: dict[str, Any]) -> str:
    """apiclient_cert.p12 in base64; its password is the merchant number."""
    key = load_pem_private_key(known["merchant_private_key_pem"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    certificate = x509.load_pem_x509_certificate(known["merchant_cert_pem"].encode())
    password = BestAvailableEncryption(known["mchid"].encode())
    return base64.b64encode(serialize_key_and_certificates(b"apiclient", key, certificate, None, password)).decode()
