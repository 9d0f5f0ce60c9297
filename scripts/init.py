"""``manage.py init``: ask for what production needs, check each answer at once, write settings and key files.

The checks are the doctor's. Nothing is written before the last answer, and no existing file is overwritten.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import secrets
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from doctor.checks.console import COMPARED
from doctor.report import Result, Status
from doctor.run import examine_values, tick
from doctor.subject import read
from scripts.steps import ROOT
from wechat.domain.errors import Bilingual
from wechat.pay.key_files import break_lines, read_text

TEMPLATE = ROOT / "deploy" / "settings.production.yml"
HEAD = "# 由 manage.py init 写成，含义见 settings.yml · Written by manage.py init; meanings: settings.yml\n"


class Question(NamedTuple):
    """A question. ``checks`` are the doctor's checks of the answer; ``file``: the answer is a path, whose content is
    stored under this name; ``default`` is the answer of an empty line; with ``optional`` an empty line is accepted."""

    key: str
    text: Bilingual
    checks: tuple[str, ...]
    secret: bool = False
    file: str = ""
    default: str = ""
    optional: bool = False


class Aborted(Exception):
    """The input ended, or a file exists already; ``text`` explains it."""

    def __init__(self, text: Bilingual) -> None:
        super().__init__(text.en)
        self.text = text


API_SECURITY = Bilingual("商户平台 → 账户中心 → API安全", "merchant console, 账户中心 → API安全")
DEVELOPERS = Bilingual(
    "微信开发者平台 → 我的业务 → 服务号 → 基础信息 → 开发密钥",
    "WeChat Developer Platform, 我的业务 → 服务号 → 基础信息 → 开发密钥",
)
QUESTIONS = (
    Question(
        "http.public_base_url",
        Bilingual("公网地址，如 https://pay.你的域名", "public address, such as https://pay.your-domain"),
        ("web.base_url", "settings.placeholders"),
    ),
    Question(
        "account.appid",
        Bilingual(f"服务号 AppID（{DEVELOPERS.zh}）", f"AppID ({DEVELOPERS.en})"),
        ("settings.placeholders",),
    ),
    Question(
        "account.appsecret", Bilingual("AppSecret（同上）", "AppSecret (same place)"), ("keys.appsecret",), secret=True
    ),
    Question("pay.mchid", Bilingual("商户号", "merchant number"), ("settings.placeholders",)),
    Question(
        "pay.v3.key",
        Bilingual(f"APIv3密钥，32 个字符（{API_SECURITY.zh}）", f"APIv3 key, 32 characters ({API_SECURITY.en})"),
        ("keys.v3_key", "keys.different"),
        secret=True,
    ),
    Question(
        "pay.v3.merchant_key",
        Bilingual("apiclient_key.pem 的路径", "path of apiclient_key.pem"),
        ("files.key_files", "keys.merchant_key"),
        file="apiclient_key.pem",
    ),
    Question(
        "pay.v3.merchant_cert",
        Bilingual("apiclient_cert.pem 的路径", "path of apiclient_cert.pem"),
        ("files.key_files", "keys.merchant_cert", "keys.merchant_pair", "keys.merchant_number", "keys.certificate_end"),
        file="apiclient_cert.pem",
    ),
    Question(
        "pay.v3.public_key",
        Bilingual("微信支付公钥 pub_key.pem 的路径", "path of pub_key.pem, the WeChat Pay public key"),
        ("files.key_files", "keys.public_key"),
        file="pub_key.pem",
    ),
    Question(
        "pay.v3.public_key_id",
        Bilingual("微信支付公钥 ID，PUB_KEY_ID_…", "its id, PUB_KEY_ID_…"),
        ("keys.public_key_id", "settings.placeholders"),
    ),
    Question(
        "mongo.url",
        Bilingual("MongoDB 地址", "address of MongoDB"),
        ("mongo.answers", "mongo.roles"),
        default="mongodb://127.0.0.1:27017/?replicaSet=rs0",
    ),
    Question(
        "redis.url",
        Bilingual("Redis 地址", "address of Redis"),
        ("redis.answers", "redis.mode"),
        default="redis://127.0.0.1:6379/0",
    ),
    Question(
        "books.directory",
        Bilingual("保存账单的目录", "folder for bills"),
        ("folders.bills",),
        default="/var/lib/fenpay/bills",
    ),
)


class Init:
    """A run of ``init``. ``folder`` is the folder of the settings and the key files; ``user`` runs the service."""

    def __init__(self, file: Path, user: str, lang: str) -> None:
        self._file = file
        self._user = user
        self._lang = lang
        self._values: dict[str, Any] = {}
        self._files: dict[str, str] = {}

    def run(self) -> str:
        """Ask all questions, then write. Return the API key, which is shown once. Raises Aborted."""
        self._must_be_free(self._file)
        self._values = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
        self._blank()
        for number, question in enumerate(QUESTIONS, 1):
            self._ask(question, f"[{number}/{len(QUESTIONS)}]")
        api_key = secrets.token_urlsafe(32)
        self._set("session.secret", secrets.token_hex(32))
        self._values["merchants"] = [{"name": "shop", "sha256": hashlib.sha256(api_key.encode()).hexdigest()}]
        self._write()
        return api_key

    def _ask(self, question: Question, number: str) -> None:
        while True:
            answer = self._read(question, number) or question.default
            self._set(question.key, answer)
            results = examine_values(self._values, question.checks, self._file)
            bad = [each for each in results if each.judgement.status in (Status.FAIL, Status.WARN)]
            for result in bad:
                self._say(result)
            if answer and not any(result.failed for result in bad):
                self._keep(question, answer)
                return

    def _read(self, question: Question, number: str) -> str:
        default = f" [{question.default}]" if question.default else ""
        prompt = f"{number} {question.text.to(self._lang)}{default}: "
        if question.secret and sys.stdin.isatty():
            return getpass.getpass(prompt).strip()
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise Aborted(Bilingual("输入结束，没有写任何文件", "the input ended; nothing was written"))
        return line.strip()

    def _keep(self, question: Question, answer: str) -> None:
        """Store a key file's content for ``_write``; the settings name its future path."""
        print(f"  ✔ {question.key}", file=sys.stderr)
        if question.file:
            target = self._file.parent / question.file
            if Path(answer).resolve() != target.resolve():
                self._must_be_free(target)
                self._files[question.file] = break_lines(read_text(Path(answer).read_bytes()))

    def _say(self, result: Result) -> None:
        judgement = result.judgement
        print(f"  {judgement.status.mark} {judgement.seen.to(self._lang)}", file=sys.stderr)
        for line in judgement.fix.to(self._lang).splitlines():
            print(f"    {line}", file=sys.stderr)

    def _write(self) -> None:
        """Write key files first, so that settings never name a missing one."""
        self._file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for question in QUESTIONS:
            if question.file:
                self._set(question.key, str(self._file.parent / question.file))
        for name, text in self._files.items():
            self._create(self._file.parent / name, text)
        settings = HEAD + yaml.safe_dump(self._values, allow_unicode=True, sort_keys=False)
        self._create(self._file, settings)

    def _create(self, path: Path, text: str) -> None:
        """Create a file: owned by root and readable by the service's user if root runs this, otherwise our own."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            if os.geteuid() == 0 and self._user != "root":
                os.fchown(file.fileno(), 0, pwd.getpwnam(self._user).pw_gid)
                os.fchmod(file.fileno(), 0o640)

    def _must_be_free(self, path: Path) -> None:
        if path.exists():
            raise Aborted(
                Bilingual(f"{path} 已存在，不覆盖；请移走它", f"{path} exists and is not overwritten; move it away")
            )

    def _blank(self) -> None:
        """Remove the template's samples, which are no answers."""
        for question in QUESTIONS:
            self._set(question.key, "")
        self._set("http.verify_files", str(self._file.parent / "verify"))

    def _set(self, key: str, value: str) -> None:
        *sections, name = key.split(".")
        at = self._values
        for section in sections:
            at = at[section]
        at[name] = value


def main(file: Path, user: str, lang: str) -> int:
    """Ask and write; return 0 once everything is written; the doctor then runs."""
    try:
        if os.geteuid() == 0:
            pwd.getpwnam(user)
        api_key = Init(file.absolute(), user, lang).run()
    except KeyError:
        create = f"sudo useradd --system --no-create-home --shell /usr/sbin/nologin {user}"
        print(f"✘ 没有用户 {user} · there is no user {user}\n  {create}", file=sys.stderr)
        return 3
    except Aborted as error:
        print(f"✘ {error.text.to(lang)}", file=sys.stderr)
        return 3
    said = Bilingual("Fenpay API Key，只显示这一次", "the Fenpay API key, shown only now")
    print(f"✔ {file}\n  {said.to(lang)}: {api_key}", file=sys.stderr)
    return 0


def ask_ticks(file: Path, lang: str) -> None:
    """Ask whether each text that no API reports is in WeChat's console, and store each yes."""
    subject = read(file)
    for check_id, value in COMPARED.items():
        asked = Bilingual(f"微信后台已是这个值吗？{value(subject)}", f"Is this in WeChat's console? {value(subject)}")
        print(f"{check_id}  {asked.to(lang)} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes", "是"):
            tick(file, [check_id])
    print(file=sys.stderr)
