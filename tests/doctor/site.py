"""An installation in production in which everything is in order, to break one thing of it."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from doctor.check import Check, look_all
from doctor.machine import Machine
from doctor.report import Judgement
from doctor.subject import Subject, read
from doctor.table import CHECKS
from tests.support.keys import START, YEAR, certificate_pem, private_pem, public_pem

MCHID = "1900000109"
NOW = START + YEAR / 2
VALUES: dict[str, Any] = {
    "environment": "production",
    "http": {"public_base_url": "https://pay.shop.test", "port": 0},
    "session": {"secret": "6f1c0d4e9ab7285361fe0c4d9ab72853"},
    "account": {"appid": "wx0123456789abcdef", "appsecret": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"},
    "pay": {
        "mchid": MCHID,
        "refund_api": "v3",
        "v2": {"key": "Abcdefgh0123456789abcdefgh012345"},
        "v3": {
            "key": "Zyxwvuts9876543210zyxwvuts987654",
            "public_key_id": "PUB_KEY_ID_0119000001092026010100112233445566",
        },
    },
    "mongo": {"url": "mongodb://127.0.0.1:1/?replicaSet=rs0"},
    "redis": {"url": "redis://127.0.0.1:1/0"},
    "merchants": [{"name": "shop", "sha256": "a1" * 32}],
    "shop": {"products": [{"sku": "coffee", "name": "咖啡", "name_en": "Coffee", "price": 1800}]},
    "plugins": ["handlers.ops.health", "handlers.wechat.notify"],
}
MACHINE = Machine(
    now=NOW,
    uid=os.geteuid() or 1000,
    groups=frozenset({os.getegid()}),
    utc_offset_s=8 * 3600,
    synchronised=True,
    open_files=8192,
    memory_mib=4096,
    python=(3, 11),
)
KEYS = {
    "pay.v3.merchant_key": "apiclient_key.pem",
    "pay.v3.merchant_cert": "apiclient_cert.pem",
    "pay.v3.public_key": "pub_key.pem",
}


class Site:
    """Its folder, its settings and its machine; each may be changed before the doctor looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = copy.deepcopy(VALUES)
        self.machine = MACHINE
        self.raw = ""
        for setting, name in KEYS.items():
            self.set(setting, str(folder / name))
        self.write("apiclient_key.pem", private_pem())
        self.write("apiclient_cert.pem", certificate_pem(MCHID, key_name="ours"))
        self.write("pub_key.pem", public_pem("theirs"))
        self.folders("bills", "verify")
        self.set("books.directory", str(folder / "bills"))
        self.set("http.verify_files", str(folder / "verify"))
        self.write("verify/MP_verify_abc123.txt", "abc123")

        self.file = folder / "settings.yml"

    def set_raw(self, text: str) -> None:
        """Use ``text`` as the settings file, in place of ``values``."""
        self.raw = text

    def set_file(self, name: str) -> None:
        """Have the doctor read a settings file that does not exist."""
        self.subject()
        self.file = self.folder / "elsewhere" / name

    def owned_by_another(self, path: Path) -> None:
        """Have the service run as another user than the owner of ``path``; neither of the two is root."""
        self.subject()
        if os.geteuid() == 0:
            os.chown(path, 4321, -1)
        self.change(uid=os.geteuid() + 1)

    def set(self, key: str, value: Any) -> Site:
        """Set ``value`` under a dotted key; None removes the key."""
        *sections, name = key.split(".")
        at = self.values
        for section in sections:
            at = at.setdefault(section, {})
        if value is None:
            at.pop(name, None)
        else:
            at[name] = value
        return self

    def open_settings(self, mode: int) -> None:
        """Write the settings file and give it another mode."""
        self.subject()
        self.file.chmod(mode)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def folders(self, *names: str) -> None:
        for name in names:
            (self.folder / name).mkdir(exist_ok=True)

    def change(self, **facts: Any) -> None:
        """Change facts of the machine."""
        self.machine = replace(self.machine, **facts)

    def expire_in(self, days: float) -> None:
        """Move the machine's clock to so many days before the merchant's certificate ends."""
        self.change(now=START + YEAR - timedelta(days=days))

    def subject(self) -> Subject:
        if not self.file.exists() and self.file.parent.exists():
            self.write("settings.yml", self.raw or yaml.safe_dump(self.values, allow_unicode=True))
        return read(self.file, self.machine)

    async def look(self, check_id: str) -> Judgement:
        """The judgement of the check ``check_id`` on this installation."""
        [check] = [check for check in CHECKS if check.id == check_id]
        return await look(check, self.subject())


async def look(check: Check, subject: Subject) -> Judgement:
    [result] = await look_all([check], subject, [check.part])
    return result.judgement
