"""The settings themselves: whether they are valid, and whether their secrets are the installation's own."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
from collections import Counter
from pathlib import Path

from doctor.check import Check
from doctor.report import Judgement, combine, fail, ok, paste, skip, warn
from doctor.subject import SECRET_KEYS, Subject
from service.settings.placeholders import find_placeholders
from service.settings.values import EMBEDDED, MEMORY
from wechat.domain.errors import Bilingual

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
MAKE_RANDOM = "python3 -c 'import secrets; print(secrets.token_hex(32))'"
MAKE_API_KEY = (
    "KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))'); echo \"API key: $KEY\"; "
    'printf %s "$KEY" | sha256sum'
)
GIT_S = 5


def check_file(subject: Subject) -> Judgement:
    """Check that the file is readable, is YAML, and repeats no key."""
    found = [fail(text.zh, text.en, paste(f"ls -l {subject.file}")) for text in subject.file_problems]
    return combine(found, ok(f"{subject.file} 可读", f"{subject.file} can be read"))


def check_values(subject: Subject) -> Judgement:
    if subject.file_problems:
        return skip("先修正配置文件", "fix the settings file first")
    found = [fail(text.zh, text.en, paste(f"{_key(text)}: …")) for text in subject.value_problems]
    return combine(found, ok("每一项都有效", "every value is valid"))


def check_placeholders(subject: Subject) -> Judgement:
    """Name the keys that still hold a sample."""
    found = find_placeholders(subject.values)
    if not found:
        return ok("没有示例值", "no sample values are left")
    keys = ", ".join(found)
    fix = Bilingual("\n".join(f"{key}: …" for key in found), "\n".join(f"{key}: …" for key in found))
    return fail(f"还是示例值：{keys}", f"still sample values: {keys}", fix)


def check_simulator(subject: Subject) -> Judgement:
    """Check for the demo's simulator and stores, which must not be used with real money."""
    url = subject.text("simulator_url")
    stores = [
        key for key in ("mongo.url", "redis.url") if subject.production and subject.text(key) in ("", EMBEDDED, MEMORY)
    ]
    if not subject.production:
        return (
            ok("演示环境，使用微信模拟器", "the demo, with the WeChat simulator") if url else ok("演示环境", "the demo")
        )
    if url:
        return fail(
            "生产环境接着微信模拟器", "production is connected to the WeChat simulator", paste("# simulator_url: …")
        )
    if stores:
        named = ", ".join(stores)
        fix = paste("mongo:\n  url: mongodb://127.0.0.1:27017/?replicaSet=rs0\nredis:\n  url: redis://127.0.0.1:6379/0")
        return fail(f"{named} 是自带的演示数据库", f"{named}: the database that is bundled for the demo", fix)
    return ok("没有用模拟器", "the simulator is not used")


def check_session_secret(subject: Subject) -> Judgement:
    """Check that the secret is long and was not typed by a person."""
    secret = subject.text("session.secret")
    if len(secret) < 32:
        return fail(
            f"session.secret 只有 {len(secret)} 个字符",
            f"session.secret has {len(secret)} characters",
            paste(MAKE_RANDOM),
        )
    if len(set(secret)) < 10:
        return fail(
            "session.secret 只由几个字符重复而成", "session.secret repeats a few characters", paste(MAKE_RANDOM)
        )
    return ok(f"{len(secret)} 个字符", f"{len(secret)} characters")


def check_api_keys(subject: Subject) -> Judgement:
    """Check that there is an API key, that none is the hash of an empty text, and that no two are equal."""
    given = [each for each in subject.value("merchants") or () if isinstance(each, dict)]
    hashes = [str(each.get("sha256", "")) for each in given]
    found = []
    if any(hmac.compare_digest(each.encode(), EMPTY_SHA256.encode()) for each in hashes):
        found.append(
            fail(
                "有一个 Fenpay API Key 是空字符串的哈希",
                "one API key is the hash of an empty string",
                paste(MAKE_API_KEY),
            )
        )
    if max(Counter(hashes).values(), default=0) > 1:
        found.append(
            fail("两个业务系统用同一个 Fenpay API Key", "two systems have the same API key", paste(MAKE_API_KEY))
        )
    if not given:
        return warn(
            "没有 Fenpay API Key，命令行和业务系统都用不了",
            "there is no API key, so the command line and your systems cannot send requests",
            paste(f"{MAKE_API_KEY}\nmerchants:\n  - {{name: shop, sha256: …}}"),
        )
    return combine(found, ok(f"{len(given)} 个", f"{len(given)}"))


def check_git(subject: Subject) -> Judgement:
    """Check that no secret is in a git repository, where everybody who clones it reads it."""
    if not subject.production:
        return skip("演示环境", "the demo")
    keys = [given.path for setting in SECRET_KEYS if (given := subject.key(setting)) and given.path]
    return combine(
        [found for file in (subject.file, *keys) if (found := _in_git(file))],
        ok("不在 Git 仓库里", "not in a Git repository"),
    )


def _in_git(file: Path) -> Judgement | None:
    def git(*arguments: str) -> bool:
        command = ("git", "-C", str(file.parent), *arguments, "--", file.name)
        try:
            return subprocess.run(command, capture_output=True, timeout=GIT_S, check=False).returncode == 0  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return False

    if git("ls-files", "--error-unmatch"):
        fix = Bilingual(
            f"git -C {file.parent} rm --cached {file.name}，再更换里面的密钥",
            f"git -C {file.parent} rm --cached {file.name}, then change the secrets in it",
        )
        return fail(f"{file} 已提交到 Git", f"{file} is committed to Git", fix)
    return None


def _key(problem: Bilingual) -> str:
    """Return the setting at the beginning of a sentence."""
    return problem.en.partition(":")[0]


CHECKS = (
    Check(
        "settings.file",
        Bilingual(
            "服务读不了它就不启动；写了两次的键只有后一个生效",
            "the service cannot start without it; if a setting is given twice, the last value is used",
        ),
        check_file,
        stops=True,
        bare=True,
    ),
    Check(
        "settings.values",
        Bilingual("无效的配置会让服务拒绝启动", "the service does not start with an invalid setting"),
        check_values,
        stops=True,
        bare=True,
    ),
    Check(
        "settings.placeholders",
        Bilingual(
            "示例值属于别人或不存在，第一笔支付就会失败",
            "a sample value belongs to nobody or to another merchant, so the first payment fails",
        ),
        check_placeholders,
        stops=True,
        bare=True,
    ),
    Check(
        "settings.simulator",
        Bilingual("模拟器里的付款不是钱", "payments in the simulator are not real money"),
        check_simulator,
        stops=True,
        bare=True,
    ),
    Check(
        "settings.session_secret",
        Bilingual("能猜到它的人可以冒充任何用户", "a person who guesses it can pose as any payer"),
        check_session_secret,
        bare=True,
    ),
    Check(
        "settings.api_keys",
        Bilingual("拿到 Fenpay API Key 的人可以退款", "a person with an API key can refund"),
        check_api_keys,
        stops=True,
        bare=True,
    ),
    Check(
        "settings.git",
        Bilingual("提交过的密钥等于公开", "a secret that was committed is no longer secret"),
        check_git,
        bare=True,
    ),
)
