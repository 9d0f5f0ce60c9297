"""Who may import whom, and what may stand in no file; a failure names the file, the line and the rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = (
    "server",
    "manage",
    "cli",
    "clocks",
    "gateways",
    "settings",
    "settings_webhooks",
    "logs",
    "handlers",
    "wechat",
    "storage",
    "simulator",
    "scripts",
    "bench",
    "drill",
    "tests",
)
SERVICE = ("server", "clocks", "gateways", "settings", "settings_webhooks", "logs", "handlers", "wechat", "storage")
SIMULATOR_MAY = (
    "wechat.account.jssdk",
    "wechat.domain.errors",
    "wechat.pay.ciphers",
    "wechat.pay.signing",
    "wechat.pay.xmlcodec",
    "wechat.domain.times",
)
CLI_MAY = (
    "wechat.book_words",
    "wechat.books",
    "wechat.commands",
    "wechat.domain.errors",
    "wechat.models",
    "wechat.pay.bills",
    "wechat.refund_models",
    "wechat.domain.times",
)


class Import(NamedTuple):
    """``module`` is imported on ``line`` of ``file``."""

    file: Path
    line: int
    module: str

    @property
    def importer(self) -> str:
        """The dotted name of the file."""
        return ".".join(self.file.relative_to(ROOT).with_suffix("").parts)

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: imports {self.module}"


def files(*packages: str) -> Iterator[Path]:
    for package in packages:
        path = ROOT / package
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(*packages: str) -> Iterator[Import]:
    """Every import, also those inside functions and under TYPE_CHECKING; ``from a import b`` counts as a and a.b."""
    for file in files(*packages):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Import):
                yield from (Import(file, node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}:{node.lineno}: relative imports are not used here"
                yield from (Import(file, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


class Rule(NamedTuple):
    """Of what ``who`` imports, nothing ``what`` may stand outside ``only_in``."""

    says: str
    who: tuple[str, ...]
    what: tuple[str, ...]
    only_in: tuple[str, ...] = ()


LIBRARIES = (*SERVICE, "simulator", "manage", "cli", "scripts")
RULES = [
    Rule("only the composition root and handlers import handlers", LIBRARIES, ("handlers",), ("server", "handlers")),
    Rule("only the composition root imports server", LIBRARIES, ("server",)),
    Rule("use cases know nothing of storage, handlers, settings or logs", ("wechat",), ("storage", "handlers", "settings", "logs", "server", "gateways")),
    Rule("handlers know ports, not storage", ("handlers",), ("storage", "server")),
    Rule("nothing in the service knows the simulator", SERVICE, ("simulator", "tests", "bench", "drill", "scripts", "manage", "cli")),
    Rule("the command line asks a service; it has no parts of one", ("cli",), ("storage", "handlers", "settings", "server", "gateways", "logs", "simulator", "scripts", "tests", "asyncio")),
    Rule("only manage imports the command line", LIBRARIES, ("cli",), ("manage", "cli")),
    Rule("typer and rich for people at a terminal only", LIBRARIES, ("typer", "rich"), ("manage", "cli", "scripts")),
    Rule("the simulator knows neither storage nor handlers nor settings", ("simulator",), ("storage", "handlers", "settings", "server", "logs", "tests")),
    Rule("tornado in server, handlers and simulator only", LIBRARIES, ("tornado",), ("server", "handlers", "simulator")),
    Rule("MongoDB and Redis drivers in storage only", LIBRARIES, ("motor", "pymongo", "bson", "redis"), ("storage",)),
    Rule("lxml in xmlcodec only", LIBRARIES, ("lxml",), ("wechat.pay.xmlcodec",)),
    Rule(
        "cryptography in ciphers, signing, certificates and the simulator's pki only",
        LIBRARIES,
        ("cryptography",),
        ("wechat.pay.ciphers", "wechat.pay.signing", "wechat.pay.certificates", "simulator.pki"),
    ),
    Rule(
        "aiohttp in transport, webhooks and the simulator only",
        LIBRARIES,
        ("aiohttp", "yarl"),
        ("wechat.transport", "wechat.webhooks", "simulator"),
    ),
    Rule("spreadsheets in the handlers' exports only", LIBRARIES, ("xlsxwriter",), ("handlers.exports",)),
    Rule("SQLite for a run's scratch only", LIBRARIES, ("sqlite3",), ("wechat.scratch",)),
    Rule("no other HTTP client", LIBRARIES, ("requests", "httpx", "urllib3"), ()),
    Rule("no other XML parser", LIBRARIES, ("xml", "xmltodict", "defusedxml"), ()),
    Rule("no unsafe pickling", OURS, ("pickle", "shelve", "marshal", "dill")),
    Rule("no random where an attacker could guess", SERVICE, ("random",)),
    Rule("hand-written fakes", ("tests",), ("unittest.mock", "mock", "pytest_mock")),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says)
def test_imports_keep_the_rule(rule: Rule) -> None:
    broken = [
        f"{found} · {rule.says}"
        for found in imports(*(package for package in rule.who if exists(package)))
        if within(found.module, *rule.what) and not within(found.importer, *rule.only_in)
    ]
    assert broken == []


def exists(package: str) -> bool:
    return (ROOT / package).is_dir() or (ROOT / f"{package}.py").is_file()


def test_storage_knows_the_models_and_the_ports_of_wechat_and_nothing_else_of_it() -> None:
    may = (
        "wechat.models",
        "wechat.refund_models",
        "wechat.events",
        "wechat.books",
        "wechat.ports",
        "wechat.domain.errors",
    )
    broken = [
        str(found) for found in imports("storage") if within(found.module, "wechat") and not within(found.module, *may)
    ]
    assert broken == []


def test_the_simulator_shares_pure_functions_with_the_service_and_nothing_else() -> None:
    def allowed(module: str) -> bool:
        return within(module, *SIMULATOR_MAY) or module in {
            "wechat.pay.xmlcodec",
            "wechat.pay.ciphers",
            "wechat.pay.signing",
        }

    broken = [
        str(found) for found in imports("simulator") if within(found.module, "wechat") and not allowed(found.module)
    ]
    assert broken == []


def test_the_command_line_knows_words_and_pure_values_of_wechat_and_nothing_else_of_it() -> None:
    broken = [
        str(found) for found in imports("cli") if within(found.module, "wechat") and not within(found.module, *CLI_MAY)
    ]
    assert broken == []


def test_a_store_a_gateway_or_a_session_is_built_in_the_composition_root_only() -> None:
    built = {"MongoStorage", "TokenCache", "V2Gateway", "V3Gateway", "Transport", "Webhook", "Application"}
    roots = {"server", "gateways", "simulator.app"}
    assert [
        f"{where(file, node)}: builds {name}"
        for file, node, name in calls("server", "gateways", "handlers", "wechat", "storage", "simulator")
        if name in built and dotted(file) not in roots
    ] == []


def test_verified_is_said_by_the_gateways_only() -> None:
    """``Verified[...]`` in a signature is free; making one is for whoever checked a signature."""
    verifiers = {
        "wechat.pay.v2",
        "wechat.pay.v2_refunds",
        "wechat.pay.v3",
        "wechat.pay.v3_refunds",
        "wechat.models",
    }
    assert [
        f"{where(file, node)}: makes a Verified outside a verifier"
        for file, node, name in calls("server", "gateways", "handlers", "wechat", "storage", "simulator", "scripts")
        if name == "Verified" and dotted(file) not in verifiers
    ] == []


SECRET = re.compile(r"(^|_)(sign|signature|token|secret|digest|sha256|mac|hmac|pay_sign|api_key|ticket|password)$")


def test_secrets_are_compared_in_constant_time() -> None:
    """``==`` and ``!=`` on what is named like a secret. A digest that only tells two requests apart is no secret."""
    harmless = {"wechat.orders", "wechat.refunds"}
    broken = []
    for file in files("server", "handlers", "wechat", "storage"):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                names = [last_name(side) for side in (node.left, *node.comparators)]
                if any(SECRET.search(name) for name in names) and dotted(file) not in harmless:
                    broken.append(f"{where(file, node)}: compares {names} with == instead of hmac.compare_digest")
    assert broken == []


FORBIDDEN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "hashlib.new"}


def test_nothing_is_evaluated_or_handed_to_a_shell() -> None:
    broken = [
        f"{where(file, node)}: calls {name}"
        for file in files("server", "settings", "logs", "cli", "handlers", "wechat", "storage", "simulator")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and (name := full_name(node.func)) in FORBIDDEN
    ]
    assert broken == []


SWITCHES = {
    "verify",
    "ssl",
    "verify_ssl",
    "validate_cert",
    "check_hostname",
    "cert_reqs",
    "verify_signature",
    "skip_verify",
    "shell",
}


def test_no_argument_switches_a_check_off() -> None:
    broken = [
        f"{where(file, keyword.value)}: {keyword.arg}={ast.unparse(keyword.value)}"
        for file in files(*(package for package in OURS if exists(package)))
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in SWITCHES and (switches_off(keyword) or keyword.arg == "shell")
    ]
    assert broken == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    broken = [
        f"{where(file, node)}: {full_name(node)}"
        for file in files("tests")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "xfail", "importorskip"}
    ]
    assert broken == []


def test_the_root_shadows_no_standard_module() -> None:
    taken = {"types", "http", "logging", "redis", "random", "secrets", "json", "email", "token", "site"}
    assert sorted(path.name for path in ROOT.glob("*.py") if path.stem in taken) == []
    assert sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name in taken) == []


@pytest.mark.parametrize("package", ["cli", "handlers", "wechat", "storage", "simulator"])
def test_no_file_is_longer_than_a_walk(package: str) -> None:
    long = [
        f"{file.relative_to(ROOT)}: {lines} lines"
        for file in files(package)
        if (lines := len(file.read_text().splitlines())) > 400
    ]
    assert long == []


def test_init_files_stay_empty() -> None:
    full = [
        str(file.relative_to(ROOT))
        for file in files("cli", "handlers", "wechat", "storage", "simulator")
        if file.name == "__init__.py" and file.read_text().strip()
    ]
    assert full == []


NEEDS_REASON = re.compile(r"#\s*(noqa|type:\s*ignore)(?!.*-\s*\S|.*#\s*\S.*\S)", re.IGNORECASE)


def test_what_silences_a_checker_gives_its_reason() -> None:
    broken = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files("server", "settings", "logs", "handlers", "wechat", "storage")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if "type: ignore" in line and NEEDS_REASON.search(line)
    ]
    assert broken == []


def test_the_rules_bite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that breaks a rule is found, by line."""
    bad = tmp_path / "wechat" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "def late():\n    from storage.old_storage import MongoStorage\n    return Verified(1, 'x'), MongoStorage\n"
    )
    monkeypatch.setattr("tests.test_architecture.ROOT", tmp_path)
    assert [str(found) for found in imports("wechat")] == ["wechat/bad.py:2: imports storage.old_storage.MongoStorage"]
    assert [name for _, _, name in calls("wechat")] == ["Verified"]


def calls(*packages: str) -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call by the last part of what is called."""
    for file in files(*packages):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call):
                yield file, node, last_name(node.func)


def switches_off(keyword: ast.keyword) -> bool:
    value = keyword.value
    return isinstance(value, ast.Constant) and value.value in (False, None, "NONE", "CERT_NONE")


def last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript):
        return str(node.slice.value) if isinstance(node.slice, ast.Constant) else last_name(node.value)
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return full_name(node).rpartition(".")[2]


def full_name(node: ast.AST) -> str:
    """``a.b.c`` for an attribute chain, empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{full_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def where(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
