"""``manage.py users``: people are made by whoever may read the settings, and by nobody else."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import pytest
import yaml

from tests.http.client import MERCHANT, Shop
from tests.support.console import ConsoleBrowser, Operator, send
from tests.support.manage import Manage
from tests.support.service import SESSION_SECRET, ServiceProcess
from wechat.staff.operator import sign_request

PLAIN_ACTS = ("disable_user", "enable_user", "remove_totp", "change_password")
"""Acts whose entries need no text: the act and the person say all."""
PERSON = {"name": "mallory", "role": "admin", "password": "mallory-mallory"}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The settings file that the operator may read."""
    file = tmp_path / "settings.yml"
    file.write_text(yaml.safe_dump({"session": {"secret": SESSION_SECRET}}), encoding="utf-8")
    return file


async def test_the_first_person_is_made_listed_disabled_and_let_in_again(
    manage: Manage, settings: Path, visitor: ConsoleBrowser
) -> None:
    name, options = f"c-{secrets.token_hex(6)}", ("--settings", str(settings), "--json")
    added = await manage("users", "add", name, "--role", "finance", "--generate", *options)
    assert added.code == 0, added.err
    assert added.json()["login_url"].endswith("/console/login")
    password = added.json()["password"]
    assert (await visitor.log_in(name, password)).status == 302
    listed = await manage("users", "list", *options)
    assert {"name": name, "role": "finance", "active": True, "totp": False}.items() <= next(
        user for user in listed.json()["users"] if user["name"] == name
    ).items()
    for verb, active in (("disable", False), ("enable", True)):
        assert (await manage("users", verb, name, *options)).json()["active"] is active
    assert (await manage("users", "role", name, "support", *options)).json()["role"] == "support"
    again = await manage("users", "add", name, "--generate", *options)
    assert (again.code, again.error()["code"]) == (1, "USER_EXISTS")


async def test_each_act_is_written_down_before_it_is_done_and_when_it_ended(
    manage: Manage, settings: Path, admin: ConsoleBrowser
) -> None:
    name, options = f"c-{secrets.token_hex(6)}", ("--settings", str(settings), "--json")
    await manage("users", "add", name, "--role", "reader", "--generate", *options)
    await manage("users", "role", name, "support", *options)
    for verb in ("disable", "enable", "reset-totp"):
        await manage("users", verb, name, *options)
    await manage("users", "passwd", name, "--generate", *options)
    log = [(entry["act"], entry["before"], entry["after"]) for entry in await admin.audit_log(name)]
    assert log[::-1] == [
        ("begin", "", "只读（reader）"),
        ("add_user", "", "只读（reader）"),
        ("begin", "只读（reader）", "客服（support）"),
        ("set_role", "只读（reader）", "客服（support）"),
        *(line for act in PLAIN_ACTS for line in (("begin", "", ""), (act, "", ""))),
    ]
    assert {entry["name"] for entry in await admin.audit_log(name)} == {"manage.py"}


async def test_a_refused_act_has_its_outcome(manage: Manage, settings: Path, admin: ConsoleBrowser) -> None:
    name = f"c-{secrets.token_hex(6)}"
    assert (await manage("users", "disable", name, "--settings", str(settings), "--json")).code == 1
    [ended, begun] = await admin.audit_log(name)
    assert (begun["act"], ended["after"]) == ("begin", "未执行（refused）：USER_NOT_FOUND")


async def test_the_wrong_settings_do_not_do(manage: Manage, tmp_path: Path) -> None:
    file = tmp_path / "other.yml"
    file.write_text(yaml.safe_dump({"session": {"secret": "another-secret-of-32-characters-or-so"}}))
    ran = await manage("users", "list", "--settings", str(file), "--json")
    assert (ran.code, ran.error()["code"]) == (3, "NOT_THE_OPERATOR")


async def test_a_merchants_key_makes_nobody(shop: Shop) -> None:
    response = await shop.ask("POST", "/api/users", json.dumps(PERSON), MERCHANT)
    assert (response.status, response.code) == (401, "NOT_THE_OPERATOR")


def signed(target: str, body: bytes, at: int, method: str = "POST") -> dict[str, str]:
    return {"Authorization": sign_request(SESSION_SECRET, method, target, body, at, secrets.token_hex(16))}


@pytest.mark.parametrize("what", ["old", "early", "other body", "other address", "other method"])
async def test_a_signature_is_for_one_request_and_a_minute(service: ServiceProcess, what: str) -> None:
    now, body = int(time.time()), json.dumps(PERSON).encode()
    at = {"old": now - 90, "early": now + 90}.get(what, now)
    target = "/api/users/x/enable" if what == "other address" else "/api/users"
    headers = signed(target, b"{}" if what == "other body" else body, at, "PUT" if what == "other method" else "POST")
    response = await send("POST", f"{service.url}/api/users", body, headers)
    assert (response.status, response.code) == (401, "NOT_THE_OPERATOR")


async def test_a_signature_is_good_once_also_at_another_process(pair: tuple[ServiceProcess, ServiceProcess]) -> None:
    headers = signed("/api/users", b"", int(time.time()), "GET")
    assert (await send("GET", f"{pair[0].url}/api/users", b"", headers)).status == 200
    for process in pair:
        assert (await send("GET", f"{process.url}/api/users", b"", headers)).status == 401


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": "A B"}, "BAD_NAME"),
        ({"password": "short"}, "BAD_PASSWORD"),
        ({"password": "x" * 201}, "BAD_PASSWORD"),
        ({"name": "somebody-else", "password": "somebody-else"}, "BAD_PASSWORD"),
        ({"role": "owner"}, "BAD_REQUEST"),
        ({"password": None}, "BAD_REQUEST"),
    ],
)
async def test_what_will_not_do_is_refused_by_field(operator: Operator, changed: dict[str, str], code: str) -> None:
    response = await operator.ask("POST", "/api/users", PERSON | changed)
    assert (response.status, response.code) == (400, code)
    assert response.json()["field"] in changed
