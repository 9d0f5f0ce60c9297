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
    "handlers",
    "service",
    "wechat",
    "storage",
    "simulator",
    "scripts",
    "bench",
    "doctor",
    "drill",
    "proof",
    "tests",
)
ROOTS = (
    "server",
    "service.compose",
    "service.parts",
    "service.clocks",
    "service.runtime",
    "doctor.live",
)
"""The composition root."""
SERVICE = ("server", "service", "handlers", "wechat", "storage")
SIMULATOR_MAY = (
    "wechat.domain.brackets",
    "wechat.domain.money",
    "wechat.account.page_signature",
    "wechat.domain.errors",
    "wechat.pay.ciphers",
    "wechat.pay.signing",
    "wechat.pay.v2.xmlcodec",
    "wechat.domain.times",
)
CLI_MAY = (
    "wechat.domain.labels",
    "wechat.reconciliation.labels",
    "wechat.reconciliation.books",
    "wechat.support.cli_hints",
    "wechat.domain.errors",
    "wechat.domain.events",
    "wechat.domain.money",
    "wechat.domain.orders",
    "wechat.domain.refunds",
    "wechat.domain.times",
    "wechat.pay.bills.parser",
    "wechat.pay.key_files",
    "wechat.sign_explain",
    "wechat.catalogue",
    "wechat.events.signature",
    "wechat.staff.operator",
    "wechat.domain.staff",
    "wechat.domain.api_keys",
    "simulator.control.scenarios",
)
EXPLAIN_MAY = (
    "wechat.sign_explain",
    "wechat.domain",
    "wechat.account.page_signature",
    "wechat.events.signature",
    "wechat.pay.key_files",
    "wechat.pay.ciphers",
    "wechat.pay.signing",
    "wechat.pay.v2.xmlcodec",
    "wechat.support.cli_hints",
)
STORAGE_MAY = (
    "wechat.domain",
    "wechat.reconciliation.days",
    "wechat.reconciliation.books",
    "wechat.reconciliation.ports",
    "wechat.statistics.days",
    "wechat.statistics.figures",
    "wechat.statistics.ports",
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
        path = ROOT / package.replace(".", "/")
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(*packages: str) -> Iterator[Import]:
    """Every import, also those inside functions and under TYPE_CHECKING; ``from a import b`` counts as a and a.b."""
    for file in files(*packages):
        yield from imports_of(file)


@cache
def imports_of(file: Path) -> tuple[Import, ...]:
    found: list[Import] = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: relative imports are not used here"
            found += (Import(file, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
    return tuple(found)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


class Rule(NamedTuple):
    """Of what ``who`` imports, nothing ``what`` may stand outside ``only_in``."""

    says: str
    who: tuple[str, ...]
    what: tuple[str, ...]
    only_in: tuple[str, ...] = ()


LIBRARIES = (*SERVICE, "simulator", "manage", "cli", "scripts", "doctor")
RULES = [
    Rule("only the composition root and handlers import handlers", LIBRARIES, ("handlers",), ("server", "service.compose", "service.parts.staff", "service.parts.insight", "handlers")),
    Rule("nothing imports server", LIBRARIES, ("server",)),
    Rule("only the composition root imports its parts", LIBRARIES, ROOTS[1:-1], ROOTS),
    Rule("use cases know nothing of storage, handlers or the composition root", ("wechat",), ("storage", "handlers", "service")),
    Rule("handlers know ports, not storage", ("handlers",), ("storage",)),
    Rule("nothing in the service knows the simulator", SERVICE, ("simulator", "tests", "bench", "drill", "proof", "scripts", "manage", "cli")),
    Rule("the command line asks a service; it has no parts of one", ("cli",), ("storage", "handlers", "server", "service", "scripts", "tests", "asyncio")),
    Rule("the doctor is for server and manage; the command line shows its report", LIBRARIES, ("doctor",), ("server", "manage", "doctor", "cli.commands.doctor", "scripts")),
    Rule("only manage imports the command line", LIBRARIES, ("cli",), ("manage", "cli")),
    Rule("typer and rich for people at a terminal only", LIBRARIES, ("typer", "rich"), ("manage", "cli", "scripts")),
    Rule("the simulator knows neither storage nor handlers nor settings", ("simulator",), ("storage", "handlers", "server", "service", "tests")),
    Rule("tornado in server, handlers and simulator only", LIBRARIES, ("tornado",), ("server", "handlers", "simulator")),
    Rule("MongoDB and Redis drivers in storage only", LIBRARIES, ("motor", "pymongo", "bson", "redis"), ("storage",)),
    Rule("metrics are exported in runtime, handlers.ops.health and server only", LIBRARIES, ("prometheus_client",), ("service.runtime", "handlers.ops.health", "server")),
    Rule("lxml in xmlcodec only", LIBRARIES, ("lxml",), ("wechat.pay.v2.xmlcodec",)),
    Rule(
        "cryptography in ciphers, signing, certificates, key files and the simulator's pki only",
        LIBRARIES,
        ("cryptography",),
        ("wechat.pay.ciphers", "wechat.pay.signing", "wechat.pay.certificates", "wechat.pay.key_files", "simulator.state.pki"),
    ),
    Rule(
        "aiohttp in transport, webhooks and the simulator only",
        LIBRARIES,
        ("aiohttp", "yarl"),
        ("wechat.support.transport", "wechat.events.webhooks", "simulator"),
    ),
    Rule("spreadsheets in the handlers' exports only", LIBRARIES, ("xlsxwriter",), ("handlers.web.exports",)),
    Rule("argon2 for passwords only", LIBRARIES, ("argon2",), ("wechat.staff.passwords",)),
    Rule("one-time codes in one module", LIBRARIES, ("pyotp",), ("wechat.staff.totp",)),
    Rule("SQLite for a run's scratch only", LIBRARIES, ("sqlite3",), ("wechat.reconciliation.match_database",)),
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
    path = package.replace(".", "/")
    return (ROOT / path).is_dir() or (ROOT / f"{path}.py").is_file()


def test_rules_name_what_exists() -> None:
    """A rule about a module that has moved would hold without saying anything."""
    named = {name for rule in RULES for name in (*rule.who, *rule.only_in)}
    named |= {*OURS, *SIMULATOR_MAY, *CLI_MAY, *EXPLAIN_MAY, *STORAGE_MAY, *CLOCKLESS_EXCEPTIONS, *VERIFIERS, *BUILDERS}
    assert sorted(name for name in named if not exists(name)) == []


def test_storage_knows_the_domain_and_the_ports_of_wechat_and_nothing_else_of_it() -> None:
    broken = [
        str(found)
        for found in imports("storage")
        if within(found.module, "wechat") and not within(found.module, *STORAGE_MAY)
    ]
    assert broken == []


def test_the_domain_knows_itself_and_values_and_nothing_else() -> None:
    """No module of ours, no library, and of Python itself nothing that waits, reads a clock or talks to anybody."""
    may = {
        "__future__",
        "collections",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "re",
    }
    may |= {"typing"}
    broken = [
        str(found)
        for found in imports("wechat/domain")
        if not within(found.module, "wechat.domain") and found.module.partition(".")[0] not in may
    ]
    assert broken == []


def test_support_knows_the_domain_and_itself_and_nothing_else_of_ours() -> None:
    broken = [
        str(found)
        for found in imports("wechat/support")
        if within(found.module, *OURS)
        and not within(found.module, "wechat.domain", "wechat.support", "wechat.catalogue")
    ]
    assert broken == []


def test_the_catalogue_knows_the_domain_and_nothing_else_of_ours() -> None:
    broken = [
        str(found)
        for found in imports("wechat/catalogue")
        if within(found.module, *OURS) and not within(found.module, "wechat.domain", "wechat.catalogue")
    ]
    assert broken == []


def test_explaining_knows_signatures_and_pure_values_and_nothing_else_of_ours() -> None:
    broken = [
        str(found)
        for found in imports("wechat/sign_explain")
        if within(found.module, *OURS) and not within(found.module, *EXPLAIN_MAY)
    ]
    assert broken == []


# -- compare and set ---------------------------------------------------------------------------------------------------

UPDATES = {
    "find_one_and_update", "find_one_and_replace", "find_one_and_delete", "find_and_modify", "findAndModify",
    "update_one", "update_many", "UpdateOne", "UpdateMany", "upsert",
}  # fmt: skip
WRITES = {"ReplaceOne", "DeleteOne", "DeleteMany", "replace_one", "delete_one", "delete_many"}
REVISION = ({"_id"}, {"_id", "rev"})


def test_storage_replaces_whole_documents_and_updates_none() -> None:
    """Rules about money are the domain's, not MongoDB's; and where a document may be written, its revision says."""
    assert updates("storage") == []


def test_a_write_finds_its_document_by_id_or_by_id_and_revision() -> None:
    """Anything else is a scan on the embedded server, and is refused by a sharded cluster."""
    found = filters_of_writes("storage")
    assert found
    assert [place for place, names in found if names not in REVISION] == []


def updates(*packages: str) -> list[str]:
    """Return the places that name an operator which changes a part of a document, or creates one on the way."""
    return [
        f"{where(file, node)}: {name}"
        for file in files(*packages)
        for node in ast.walk(tree(file))
        for name in names_in(node)
        if name in UPDATES
    ]


def names_in(node: ast.AST) -> Iterator[str]:
    """Return the names in a node: an attribute, a variable, an argument, an import, a text."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.keyword | ast.arg):
        yield node.arg or ""
    elif isinstance(node, ast.alias):
        yield node.name.rpartition(".")[2]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name


def filters_of_writes(*packages: str) -> list[tuple[str, set[str]]]:
    """Each write and the names of the fields by which it finds its document; of a filter that is not written out,
    its text."""
    found = []
    for file, node, name in calls(*packages):
        if name in WRITES:
            wanted = node.args[0] if node.args else next((each.value for each in node.keywords), node)
            keys = wanted.keys if isinstance(wanted, ast.Dict) else []
            names = {str(key.value) if isinstance(key, ast.Constant) else "?" for key in keys}
            found.append((where(file, node), names or {ast.unparse(wanted)}))
    return found


# -- the machine -------------------------------------------------------------------------------------------------------

CLOCKLESS_EXCEPTIONS = {
    "wechat.support.transport": "sockets take real time, and a piece of a bill is unzipped in a thread",
    "wechat.pay.gateway": "a nonce for whoever builds a Wire without one; the service hands in its own",
}
"""Modules that use the machine itself, and why."""
MACHINE = (
    "secrets",
    "random",
    "uuid",
    "time",
    "threading",
    "concurrent",
    "os.urandom",
    "asyncio.to_thread",
)
MACHINE_CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "asyncio.to_thread",
    "os.urandom",
    "loop.time",
    "run_in_executor",
}


SIMULATED = (
    "wechat",
    "storage.documents",
    "storage.group_commit",
    "storage.memory",
    "storage.store",
    "storage.stores",
    "storage.redis.token_cache",
    "service.compose",
    "service.parts.core_settings",
)
"""The code that the simulation runs as it is."""
OUTSIDE_A_SEED = {
    "proof.run": "the time that is left to make a failure smaller, and processes for many seeds",
    "proof.mutants.run": "threads that wait for broken builds",
}


def test_what_is_simulated_takes_time_chance_and_threads_from_the_runtime() -> None:
    """A seed and a simulated clock then repeat a whole run."""
    broken = [use for use in machine_uses(*SIMULATED) if not within(use.partition(": ")[0], *CLOCKLESS_EXCEPTIONS)]
    assert broken == []


@pytest.mark.parametrize("module", CLOCKLESS_EXCEPTIONS)
def test_an_exception_is_one(module: str) -> None:
    assert [use for use in machine_uses("wechat") if within(use.partition(": ")[0], module)]


def test_the_simulation_takes_chance_from_the_seed_and_time_from_its_loop() -> None:
    """It names ``random.Random`` for streams that follow from a seed, its loop's time, and the CPU's time for a figure."""
    allowed = (" imports random", " calls loop.time")
    found = [use for use in machine_uses("proof") if not use.endswith(allowed)]
    left = [use for use in found if not within(use.partition(": ")[0], *OUTSIDE_A_SEED)]
    assert [use for use in left if not (use.startswith("proof.simulation: ") and use.endswith(" imports time"))] == []
    assert of_modules("proof", "random") - {"token"} == {"Random"}  # ``random.token`` is of the port that is handed in
    assert of_modules("proof.simulation", "time") == {"process_time"}
    assert [where(file, node) for file, node, name in calls("proof") if name == "Random" and not node.args] == []


@pytest.mark.parametrize("module", OUTSIDE_A_SEED)
def test_what_is_outside_a_seed_is(module: str) -> None:
    assert machine_uses(module)
    assert [str(found) for found in imports("proof.simulation", "proof.scene") if within(found.module, module)] == []


def of_modules(package: str, module: str) -> set[str]:
    """Return the attributes of ``module`` that are used in ``package`` by files that import it."""
    return {
        node.attr
        for file in files(package)
        if dotted(file) not in OUTSIDE_A_SEED and any(found.module == module for found in imports_of(file))
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and full_name(node.value) == module
    }


def machine_uses(*packages: str) -> list[str]:
    """Return the uses of the machine's clock, chance or threads, as ``module: line what``."""
    named = [
        f"{found.importer}: {found.line} imports {found.module}"
        for found in imports(*packages)
        if within(found.module, *MACHINE)
    ]
    called = [
        f"{dotted(file)}: {node.lineno} calls {full_name(node.func)}"
        for file, node, _ in calls(*packages)
        if any(full_name(node.func) == name or full_name(node.func).endswith(f".{name}") for name in MACHINE_CALLS)
    ]
    return named + called


def test_the_simulator_shares_pure_functions_with_the_service_and_nothing_else() -> None:
    def allowed(module: str) -> bool:
        return within(module, *SIMULATOR_MAY) or module in {
            "wechat.pay.v2.xmlcodec",
            "wechat.pay.ciphers",
            "wechat.pay.signing",
        }

    broken = [
        str(found) for found in imports("simulator") if within(found.module, "wechat") and not allowed(found.module)
    ]
    assert broken == []


def test_the_command_line_knows_words_and_pure_values_of_wechat_and_of_the_simulator_and_nothing_else() -> None:
    broken = [
        str(found)
        for found in imports("cli")
        if within(found.module, "wechat", "simulator") and not within(found.module, *CLI_MAY)
    ]
    assert broken == []


def test_the_command_line_knows_the_doctors_report_and_nothing_else_of_it() -> None:
    assert [
        str(found)
        for found in imports("cli")
        if within(found.module, "doctor") and not within(found.module, "doctor.report")
    ] == []


BUILDERS = {"server", "service.compose", "service.parts.gateways", "service.parts.alarm_channels", "simulator.app"}
VERIFIERS = {
    "wechat.pay.v2.gateway",
    "wechat.pay.v2.refunds",
    "wechat.pay.v3.gateway",
    "wechat.pay.v3.refunds",
    "wechat.domain.facts",  # a part of what is verified
}


def test_a_store_a_gateway_or_a_session_is_built_in_the_composition_root_only() -> None:
    built = {
        "MongoStorage", "MemoryStorage", "TokenCache", "V2Gateway", "V3Gateway", "Transport", "Webhook", "Application",
        "SystemClock", "SimulatorClock", "PrometheusTelemetry", "ThreadPool",
    }  # fmt: skip
    assert [
        f"{where(file, node)}: builds {name}"
        for file, node, name in calls(*SERVICE, "simulator")
        if name in built and dotted(file) not in BUILDERS
    ] == []


def test_verified_is_said_by_the_gateways_only() -> None:
    """``Verified[...]`` in a signature is free; making one is for whoever checked a signature."""
    assert [
        f"{where(file, node)}: makes a Verified outside a verifier"
        for file, node, name in calls(*SERVICE, "simulator", "scripts")
        if name == "Verified" and dotted(file) not in VERIFIERS
    ] == []


SECRET = re.compile(r"(^|_)(sign|signature|token|secret|digest|sha256|mac|hmac|pay_sign|api_key|ticket|password)$")


def test_secrets_are_compared_in_constant_time() -> None:
    """``==`` and ``!=`` on what is named like a secret. A digest that only tells two requests apart is no secret, and
    neither is the token of a lease."""
    harmless = {("wechat.support.claims", "digest"), ("wechat.reconciliation.records", "token")}
    broken = []
    for file in files(*ROOTS, "handlers", "wechat", "storage"):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                names = [last_name(side) for side in (node.left, *node.comparators)]
                secrets = [name for name in names if SECRET.search(name) and (dotted(file), name) not in harmless]
                if secrets:
                    broken.append(f"{where(file, node)}: compares {names} with == instead of hmac.compare_digest")
    assert broken == []


FORBIDDEN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "hashlib.new"}


def test_nothing_is_evaluated_or_handed_to_a_shell() -> None:
    broken = [
        f"{where(file, node)}: calls {name}"
        for file in files(*SERVICE, "cli", "simulator")
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


def test_no_test_module_imports_another() -> None:
    """Shared code of tests is in ``tests/support``, or a fixture of a conftest."""
    imports = [
        f"{where(file, node)}: {node.module}"
        for file in files("tests")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
        if any(
            name.startswith("test_") for name in (node.module.rpartition(".")[2], *(each.name for each in node.names))
        )
    ]
    assert imports == []


LOOSE = {"wechat": 0, "simulator": 3, "proof": 6, "storage": 6, "handlers": 0, "bench": 12, "cli": 12, "drill": 12}


@pytest.mark.parametrize(("folder", "most"), LOOSE.items())
def test_modules_are_in_folders(folder: str, most: int) -> None:
    loose = sorted(path.name for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")
    assert len(loose) <= most, loose


def test_the_root_shadows_no_standard_module() -> None:
    taken = {"types", "http", "logging", "redis", "random", "secrets", "json", "email", "token", "site"}
    assert sorted(path.name for path in ROOT.glob("*.py") if path.stem in taken) == []
    assert sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name in taken) == []


SHORT = (
    "server",
    "manage",
    "service",
    "cli",
    "handlers",
    "wechat",
    "storage",
    "simulator",
    "doctor",
    "drill",
    "proof",
    "bench",
    "scripts",
)
MOST_LINES, MOST_OF_FUNCTION, MOST_OF_VERB = 400, 40, 15
VERBS = {"get", "post", "put", "patch", "delete", "head"}


@pytest.mark.parametrize("package", SHORT)
def test_files_and_functions_are_short(package: str) -> None:
    assert [
        f"{file.relative_to(ROOT)}: {lines} lines"
        for file in files(package)
        if (lines := len(file.read_text().splitlines())) > MOST_LINES
    ] == []
    assert [
        f"{where(file, node)}: {node.name} has {length(node)} lines"
        for file in files(package)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if length(node) > MOST_OF_FUNCTION
    ] == []


def test_the_verbs_of_handlers_are_short() -> None:
    """Parse, call one use case, write."""
    assert [
        f"{where(file, node)}: {node.name} has {length(node)} lines"
        for file in files("handlers")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in VERBS
        if length(node) > MOST_OF_VERB
    ] == []


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


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
        for file in files(*SERVICE)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if "type: ignore" in line and NEEDS_REASON.search(line)
    ]
    assert broken == []


def test_the_rules_bite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that breaks a rule is found, by line."""
    bad = tmp_path / "wechat" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "def late():\n    from storage.mongo import MongoStorage\n    return Verified(1, 'x'), MongoStorage\n"
    )
    monkeypatch.setattr("tests.test_architecture.ROOT", tmp_path)
    assert [str(found) for found in imports("wechat")] == ["wechat/bad.py:2: imports storage.mongo.MongoStorage"]
    assert [name for _, _, name in calls("wechat")] == ["Verified"]


@pytest.mark.parametrize(
    "line",
    [
        "orders.find_one_and_update({'_id': 1}, {'$set': {}})",
        "await orders.update_one({'_id': 1, 'rev': 2}, {})",
        "getattr(orders, 'update_many')",
        "orders.replace_one({'_id': 1}, {}, upsert=True)",
        "from pymongo import UpdateOne",
    ],
)
def test_an_update_in_storage_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    bad_file(tmp_path / "storage" / "bad.py", line, monkeypatch)
    [found] = updates("storage")
    assert found.startswith("storage/bad.py:2: ")


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("ReplaceOne({'_id': 1, 'rev': 2}, {})", {"_id", "rev"}),
        ("orders.replace_one({'_id': 1, 'trade_state': 'NOTPAY'}, {})", {"_id", "trade_state"}),
        ("orders.delete_many({})", {"{}"}),
        ("orders.delete_one(filter=wanted)", {"wanted"}),
        ("orders.delete_one({'_id': 1, **more})", {"_id", "?"}),
    ],
)
def test_the_filter_of_a_write_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, names: set[str]
) -> None:
    bad_file(tmp_path / "storage" / "bad.py", line, monkeypatch)
    assert filters_of_writes("storage") == [("storage/bad.py:2", names)]


@pytest.mark.parametrize(
    "line",
    [
        "datetime.now(UTC)",
        "datetime.datetime.now(UTC)",
        "date.today()",
        "await asyncio.to_thread(work)",
        "import secrets",
        "from random import shuffle",
        "from time import monotonic",
        "import time",
        "from asyncio import to_thread",
        "asyncio.get_running_loop().run_in_executor(None, work)",
        "loop.time()",
    ],
)
def test_a_use_of_the_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    bad_file(tmp_path / "wechat" / "bad.py", line, monkeypatch)
    [found] = machine_uses("wechat")
    assert found.startswith("wechat.bad: 2 ")


def bad_file(file: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ``file`` the only one there is, with ``line`` in a function of its own."""
    file.parent.mkdir()
    file.write_text(f"async def bad():\n    {line}\n")
    monkeypatch.setattr("tests.test_architecture.ROOT", file.parents[1])


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
