"""API keys over HTTP: made at the console or by the command line, used at both processes, rotated and revoked."""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
import time
from pathlib import Path

import yaml

from tests.http.client import Response
from tests.support.console import PASSWORD, ConsoleBrowser, Operator, send
from tests.support.manage import Manage
from tests.support.service import SESSION_SECRET, ServiceProcess
from wechat.domain.staff import Role
from wechat.staff.api_keys import REMEMBERED_S

SECRET = re.compile(r'id="secret">(fenpay_[0-9a-f]{64})<')


def new_name() -> str:
    return f"k-{secrets.token_hex(6)}"


async def call(service: ServiceProcess, secret: str, method: str = "GET", path: str = "/api/orders") -> Response:
    return await send(method, f"{service.url}{path}", b"", {"Authorization": f"Bearer {secret}"})


async def make(admin: ConsoleBrowser, name: str, *scopes: str) -> str:
    """A new key's secret."""
    form = [("_xsrf", await admin.xsrf()), ("name", name), ("step_up", PASSWORD)]
    response = await admin.ask("POST", "/console/keys", [*form, *(("scopes", scope) for scope in scopes)])
    assert response.status == 200, response.body
    found = SECRET.search(response.body.decode())
    assert found
    return found[1]


async def until_refused(service: ServiceProcess, secret: str) -> float:
    """For how many seconds the key still works."""
    started = time.monotonic()
    while (await call(service, secret)).status == 200:
        assert time.monotonic() - started < REMEMBERED_S + 2
        await asyncio.sleep(0.1)
    return time.monotonic() - started


async def test_a_key_is_made_used_rotated_and_revoked_at_the_console(
    pair: tuple[ServiceProcess, ServiceProcess], admin: ConsoleBrowser
) -> None:
    name = new_name()
    old = await make(admin, name, "read")
    assert [(await call(process, old)).status for process in pair] == [200, 200]
    denied = await call(pair[1], old, "POST", "/api/orders/20260301000000nobody/close")
    assert (denied.status, denied.code) == (403, "SCOPE_MISSING")
    page = await admin.page("/console/keys")
    assert name in page and old not in page
    response = await admin.post(f"/console/keys/{name}/rotate", {"overlap_hours": "1", "step_up": PASSWORD})
    new = SECRET.findall(response.body.decode())[0]
    assert [(await call(process, secret)).status for process in pair for secret in (old, new)] == [200] * 4
    response = await admin.post(f"/console/keys/{name}/revoke", {"step_up": PASSWORD})
    assert (response.status, response.at) == (302, "/console/keys")
    assert [(await call(pair[0], secret)).status for secret in (old, new)] == [401, 401]
    assert await until_refused(pair[1], new) <= REMEMBERED_S + 1
    log = (await admin.get(f"/console/audit.csv?subject={name}")).body.decode()
    assert [act in log for act in ("新建 Fenpay API Key", "轮换 Fenpay API Key", "吊销 Fenpay API Key")] == [True] * 3
    assert old not in log and new not in log


async def test_the_page_shows_the_keys_of_the_settings_and_when_one_was_used(
    service: ServiceProcess, admin: ConsoleBrowser
) -> None:
    secret = await make(admin, name := new_name(), "read", "orders")
    assert "未使用" in await admin.page("/console/keys")
    await call(service, secret)
    for _ in range(50):
        row = next(row for row in (await admin.page("/console/keys")).split("<tr>") if f">{name}<" in row)
        if "未使用" not in row:
            break
        await asyncio.sleep(0.05)
    assert "<time" in row and "未使用" not in row
    assert "配置文件" in await admin.page("/console/keys")


async def test_a_key_needs_a_name_a_scope_and_a_proof(admin: ConsoleBrowser, staff: object) -> None:
    for fields, field in (
        ({"name": "a b", "scopes": "read"}, "name"),
        ({"name": new_name()}, "scopes"),
        ({"name": "<script>alert", "scopes": "read"}, "name"),
    ):
        response = await admin.post("/console/keys", {**fields, "step_up": PASSWORD})
        page = response.body.decode()
        assert (response.status, f'id="{field}-error"' in page) == (400, True)
        assert f'name="name" value="{html.escape(fields["name"])}"' in page
        assert "<script>alert" not in page


async def test_an_error_of_a_rotation_or_revocation_is_told_beside_its_field(
    admin: ConsoleBrowser, operator: Operator, visitor: ConsoleBrowser
) -> None:
    boss, name = f"k-{secrets.token_hex(6)}", new_name()
    await make(admin, name, "read")
    await operator.add_person(boss, Role.ADMIN)
    await visitor.log_in(boss)
    for verb, sent, field in (
        ("revoke", {"step_up": "a-wrong-one"}, f"revoke-proof-{name}"),
        ("rotate", {"overlap_hours": "7", "step_up": "a-wrong-one"}, f"rotate-proof-{name}"),
        ("rotate", {"overlap_hours": "1.5", "step_up": PASSWORD}, f"overlap-{name}"),
        ("rotate", {"overlap_hours": "999"}, f"overlap-{name}"),
    ):
        page = (await visitor.post(f"/console/keys/{name}/{verb}", sent)).body.decode()
        assert re.findall(r'class="error" id="([^"]+)-error"', page) == [field]
        assert page.count('aria-invalid="true"') == page.count('<details class="fold" open>') == 1
        [overlap] = re.findall(rf'id="overlap-{name}" [^>]*value="([^"]*)"', page)
        assert overlap == sent.get("overlap_hours", "24")
        assert "a-wrong-one" not in page and PASSWORD not in page
    unknown = await visitor.post(f"/console/keys/{new_name()}/rotate", {"overlap_hours": "x"})
    assert (unknown.status, 'class="fold"' in unknown.body.decode()) == (400, False)


async def test_the_command_line_makes_lists_rotates_and_revokes(
    manage: Manage, service: ServiceProcess, tmp_path: Path
) -> None:
    file, name = tmp_path / "settings.yml", new_name()
    file.write_text(yaml.safe_dump({"session": {"secret": SESSION_SECRET}}), encoding="utf-8")
    options = ("--settings", str(file), "--json")
    added = (await manage("keys", "add", name, "--scope", "read", "--scope", "refunds", *options)).json()
    assert (added["scopes"], (await call(service, added["key"])).status) == (["read", "refunds"], 200)
    rotated = (await manage("keys", "rotate", name, "--overlap-hours", "0", *options)).json()
    assert [(await call(service, each["key"])).status for each in (added, rotated)] == [401, 200]
    assert (await manage("keys", "revoke", name, *options)).json()["active"] is False
    assert (await call(service, rotated["key"])).status == 401
    listed = (await manage("keys", "list", *options)).json()["keys"]
    assert {(key["name"], key["source"], key["active"]) for key in listed} >= {(name, "console", False)}
    assert "settings" in {key["source"] for key in listed}
    again = await manage("keys", "add", name, *options)
    assert (again.code, again.error()["code"]) == (1, "KEY_EXISTS")


async def test_an_api_key_makes_no_api_key(service: ServiceProcess, admin: ConsoleBrowser) -> None:
    secret = await make(admin, new_name(), "read", "orders", "refunds", "operate")
    body = json.dumps({"name": "mallory", "scopes": ["read"]}).encode()
    response = await send("POST", f"{service.url}/api/keys", body, {"Authorization": f"Bearer {secret}"})
    assert (response.status, response.code) == (401, "NOT_THE_OPERATOR")
