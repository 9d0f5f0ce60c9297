"""Logging in and out of the console, over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import pytest

from handlers.console.base import safe_next
from tests.support.console import PASSWORD, ConsoleBrowser, Operator
from wechat.domain.staff import Role


@pytest.fixture
async def person(operator: Operator) -> str:
    """Add a person with the role reader; return the name."""
    name = f"p-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.READER)
    return name


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_comes_to_a_first_page(staff: Mapping[Role, ConsoleBrowser], role: Role) -> None:
    response = await staff[role].get("/console")
    assert response.status in (200, 302)
    assert "login" not in response.headers.get("Location", "")


async def test_whoever_is_not_logged_in_is_led_to_the_login_and_back(visitor: ConsoleBrowser, person: str) -> None:
    response = await visitor.get("/console")
    assert (response.status, response.at) == (302, "/console/login?next=%2Fconsole")
    response = await visitor.log_in(person, next="/console/orders?state=paid")
    assert (response.status, response.at) == (302, "/console/orders?state=paid")


async def test_the_session_cookie_is_for_the_console_only_and_no_script_reads_it(
    visitor: ConsoleBrowser, person: str
) -> None:
    response = await visitor.log_in(person)
    [cookie] = [line for line in response.headers.getall("Set-Cookie") if line.startswith("fenpay_staff=")]
    assert {"HttpOnly", "Path=/console", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    assert "expires" not in cookie.lower()


async def test_an_id_that_was_put_into_the_browser_beforehand_is_not_the_one_logged_in(
    visitor: ConsoleBrowser, operator: Operator, person: str
) -> None:
    """Neither an invented id nor the id of an earlier login."""
    planted = "A" * 43
    visitor.set_cookie("fenpay_staff", planted)
    await visitor.log_in(person)
    first = visitor.cookies()["fenpay_staff"]
    await visitor.log_in(person)
    second = visitor.cookies()["fenpay_staff"]
    assert len({planted, first, second}) == 3
    visitor.set_cookie("fenpay_staff", planted)
    assert (await visitor.get("/console/orders")).at.startswith("/console/login")


async def test_logging_out_ends_the_session_also_for_whoever_kept_the_cookie(
    visitor: ConsoleBrowser, person: str
) -> None:
    await visitor.log_in(person)
    kept = visitor.cookies()["fenpay_staff"]
    response = await visitor.post("/console/logout")
    assert (response.status, response.at) == (302, "/console/login")
    assert "已退出登录" in await visitor.page("/console/login")
    visitor.set_cookie("fenpay_staff", kept)
    assert (await visitor.get("/console")).at.startswith("/console/login")


async def test_a_disabled_person_is_out_with_the_next_request_and_cannot_come_back(
    visitor: ConsoleBrowser, operator: Operator, person: str
) -> None:
    await visitor.log_in(person)
    assert "login" not in (await visitor.get("/console")).headers.get("Location", "")
    assert (await operator.ask("POST", f"/api/users/{person}/disable")).status == 200
    assert (await visitor.get("/console")).at.startswith("/console/login")
    assert (await visitor.log_in(person)).status == 401


async def test_a_new_password_ends_every_session(visitor: ConsoleBrowser, operator: Operator, person: str) -> None:
    await visitor.log_in(person)
    response = await operator.ask("POST", f"/api/users/{person}/password", {"password": "another-password"})
    assert response.status == 200
    assert (await visitor.get("/console")).at.startswith("/console/login")
    assert (await visitor.log_in(person)).status == 401
    assert (await visitor.log_in(person, "another-password")).status == 302


async def test_a_write_without_the_token_is_refused_the_login_too(visitor: ConsoleBrowser, person: str) -> None:
    form = {"name": person, "password": PASSWORD}
    assert (await visitor.ask("POST", "/console/login", form)).status == 403
    await visitor.log_in(person)
    assert (await visitor.ask("POST", "/console/logout", {})).status == 403
    assert "login" not in (await visitor.get("/console")).headers.get("Location", "")


@pytest.mark.parametrize("path", ["/console/login", "/console", "/console/logout"])
async def test_no_page_may_be_framed_and_no_script_may_come_from_elsewhere(visitor: ConsoleBrowser, path: str) -> None:
    response = await visitor.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/console", "https://evil.example", "/\\evil.example", "/console/../pay/x", "/consolex",
        "/console/%2e%2e/pay", "/console//evil", "javascript:alert(1)", "/console\n/x", "",
    ],
)  # fmt: skip
async def test_the_login_leads_to_the_console_and_nowhere_else(
    visitor: ConsoleBrowser, person: str, target: str
) -> None:
    assert safe_next(target) == "/console"
    assert (await visitor.log_in(person, next=target)).at == "/console"


@pytest.mark.parametrize(("lang", "word"), [("zh-CN", "登录"), ("en-GB", "Log in")])
async def test_the_login_page_speaks_the_readers_language(visitor: ConsoleBrowser, lang: str, word: str) -> None:
    assert f"<title>{word}" in await visitor.page("/console/login", **{"Accept-Language": lang})


async def test_a_chosen_language_stays(visitor: ConsoleBrowser) -> None:
    response = await visitor.post("/console/language", {"lang": "en", "next": "/console/login"})
    assert (response.status, response.at) == (302, "/console/login")
    assert "<title>Log in" in await visitor.page("/console/login")


async def test_a_service_without_a_login_link_takes_none(visitor: ConsoleBrowser) -> None:
    for token in ("", "x" * 43):
        response = await visitor.get(f"/console/enter?token={token}")
        assert response.status == 403
        assert "fenpay_staff" not in visitor.cookies()


async def test_a_refused_login_marks_both_fields_and_keeps_the_name_only(visitor: ConsoleBrowser, person: str) -> None:
    page = (await visitor.log_in(person, "not-the-password")).body.decode()
    assert page.count('aria-invalid="true" aria-describedby="login-error"') == 2
    assert f'value="{person}"' in page and "not-the-password" not in page
