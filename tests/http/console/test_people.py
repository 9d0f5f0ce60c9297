"""People as an administrator sees them, and the audit log of it."""

from __future__ import annotations

import csv
import io
import re
import secrets
from urllib.parse import quote

import pytest

from tests.support.console import PASSWORD, ConsoleBrowser, Operator
from wechat.domain.staff import Role

NEW = "a-password-of-a-new-person"


async def add(admin: ConsoleBrowser, name: str, role: Role = Role.SUPPORT) -> None:
    form = {"name": name, "role": role.value, "password": NEW, "step_up": PASSWORD}
    response = await admin.post("/console/people", form)
    assert (response.status, response.at) == (302, "/console/people"), response.body


async def entries(admin: ConsoleBrowser, query: str) -> list[list[str]]:
    response = await admin.get(f"/console/audit.csv?{query}")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.body.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(response.body.decode("utf-8-sig"), newline="")))[1:]


async def test_a_person_is_added_changed_and_disabled_and_each_is_noted(
    admin: ConsoleBrowser, visitor: ConsoleBrowser
) -> None:
    name = f"n-{secrets.token_hex(6)}"
    await add(admin, name)
    assert name in await admin.page("/console/people")
    assert (await visitor.log_in(name, NEW)).status == 302
    for verb, fields in (("role", {"role": "finance"}), ("disable", {}), ("enable", {})):
        response = await admin.post(f"/console/people/{name}/{verb}", {**fields, "step_up": PASSWORD})
        assert (response.status, response.at) == (302, "/console/people"), response.body
    assert (await visitor.get("/console/account")).status == 302
    noted = [(row[1], row[4], row[6], row[7]) for row in await entries(admin, f"subject={name}")]
    assert sorted(row for row in noted if "开始操作" not in row[1]) == sorted(
        [
            ("admin", "添加用户", "", "客服（support）"),
            ("admin", "调整角色", "客服（support）", "财务（finance）"),
            ("admin", "停用用户", "", ""),
            ("admin", "启用用户", "", ""),
        ]
    )


async def test_an_administrator_does_not_shut_themselves_out(admin: ConsoleBrowser) -> None:
    for verb in ("disable", "role"):
        response = await admin.post(f"/console/people/admin/{verb}", {"role": "reader", "step_up": PASSWORD})
        assert response.status == 409
        assert "不能调整自己的角色" in response.body.decode()


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A1", "<script>alert(1)</script>"])
async def test_a_name_that_is_a_formula_or_a_script_is_refused_and_shown_as_text(
    admin: ConsoleBrowser, visitor: ConsoleBrowser, name: str
) -> None:
    form = {"name": name, "role": "reader", "password": NEW, "step_up": PASSWORD}
    assert (await admin.post("/console/people", form)).status == 400
    response = await visitor.log_in(name, "whatever-it-is")
    assert response.status == 401
    assert "<script>" not in response.body.decode()


async def test_the_log_is_filtered_by_person_act_subject_and_date(
    admin: ConsoleBrowser, operator: Operator, visitor: ConsoleBrowser
) -> None:
    name = f"f-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.READER)
    await visitor.log_in(name)
    await visitor.log_in(name, "wrong-password")
    assert [row[4] for row in await entries(admin, f"name={name}")] == ["登录失败", "登录"]
    assert len(await entries(admin, f"name={name}&act=log_in")) == 1
    assert [row[1] for row in await entries(admin, f"subject={name}")] == ["manage.py"] * 2  # begun, done
    assert await entries(admin, f"name={name}&from=2001-01-01&until=2001-01-02") == []
    assert len(await entries(admin, f"name={name}&from=2001-01-01&until=2999-12-31")) == 2
    page = await admin.page(f"/console/audit?name={name}&act=log_in")
    assert f'value="{name}"' in page
    for query in ("from=yesterday", "from=0001-01-01", "until=9999-12-31"):
        response = await admin.get(f"/console/audit?{query}")
        assert (response.status, f'id="{query.partition("=")[0]}-error"' in response.body.decode()) == (400, True)
        assert (await admin.get(f"/console/audit.csv?{query}")).status == 400
    assert (await admin.get(f"/console/audit?act={quote('nonsense')}")).status == 400


async def test_an_error_of_a_new_person_is_told_beside_its_field_and_the_form_is_kept(admin: ConsoleBrowser) -> None:
    form = {"name": "admin", "role": "finance", "password": NEW, "step_up": PASSWORD}
    for changed, field in (({}, "name"), ({"name": "n-new", "password": "short"}, "password"), ({"role": "x"}, "role")):
        sent = form | changed
        page = (await admin.post("/console/people", sent)).body.decode()
        assert f'id="{field}-error"' in page and f'name="name" value="{sent["name"]}"' in page
        assert field == "role" or '<option value="finance" selected>' in page.partition('id="role"')[2]
        assert NEW not in page


async def test_an_error_of_a_change_is_told_beside_its_field_and_what_was_typed_is_kept(
    operator: Operator, visitor: ConsoleBrowser
) -> None:
    boss, name = (f"c-{secrets.token_hex(6)}" for _ in range(2))
    await operator.add_person(boss, Role.ADMIN)
    await operator.add_person(name, Role.SUPPORT)
    await visitor.log_in(boss)
    for verb, sent, field in (
        ("role", {"role": "finance", "step_up": "a-wrong-one"}, f"role-proof-{name}"),
        ("disable", {"step_up": "a-wrong-one"}, f"state-proof-{name}"),
        ("role", {"role": "x", "step_up": PASSWORD}, f"role-{name}"),
        ("password", {"password": "s-h-o-r-t"}, f"password-{name}"),
    ):
        page = (await visitor.post(f"/console/people/{name}/{verb}", sent)).body.decode()
        assert re.findall(r'class="error" id="([^"]+)-error"', page) == [field]
        assert page.count('aria-invalid="true"') == page.count('<details class="fold" open>') == 1
        kept = "finance" if sent.get("role") == "finance" else "support"
        assert f'<option value="{kept}" selected' in page.partition(f'id="role-{name}"')[2].partition("</select>")[0]
        assert not [text for text in ("a-wrong-one", "s-h-o-r-t", PASSWORD) if text in page]
    nobody = await visitor.post(f"/console/people/nobody-{name}/password", {"password": "s-h-o-r-t"})
    assert (nobody.status, "<details" in nobody.body.decode().partition("<main")[2]) == (400, False)
