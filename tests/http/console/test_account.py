"""The own account: sessions, password, code generator, and the proof that is asked once more."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pyotp
import pytest

from tests.support.console import PASSWORD, ConsoleBrowser, Operator
from tests.support.service import ServiceProcess
from wechat.domain.staff import Role

SECRET = re.compile(r"<code>([A-Z2-7]{32})</code>")
CODE = re.compile(r"<li><code>([0-9a-f-]{23})</code>")
ACCOUNT = "/console/account"


@pytest.fixture
async def two(service: ServiceProcess, operator: Operator) -> AsyncIterator[tuple[ConsoleBrowser, ConsoleBrowser]]:
    """Two browsers of one new person, both logged in."""
    name = f"a-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.SUPPORT)
    async with AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(ConsoleBrowser(service.url, name)) for _ in range(2)]
        for browser in browsers:
            assert (await browser.log_in()).status == 302
        yield browsers[0], browsers[1]


async def is_in(browser: ConsoleBrowser) -> bool:
    return (await browser.get(ACCOUNT)).status == 200


async def set_up(browser: ConsoleBrowser) -> tuple[pyotp.TOTP, list[str]]:
    """A code generator, set up with the code of half a minute ago, so that the present one is still good."""
    [secret] = SECRET.findall(await browser.page(f"{ACCOUNT}/totp"))
    generator = pyotp.TOTP(secret)
    code = generator.at(int(time.time()) - 30)
    response = await browser.post(f"{ACCOUNT}/totp", {"secret": secret, "code": code, "step_up": PASSWORD})
    assert response.status == 200, response.body
    return generator, CODE.findall(response.body.decode())


async def test_a_session_is_listed_and_ended_from_another(two: tuple[ConsoleBrowser, ConsoleBrowser]) -> None:
    first, second = two
    page = await first.page(ACCOUNT)
    [key] = re.findall(r'name="key" value="([0-9a-f]{64})"', page)
    assert second.address in page
    response = await first.post(f"{ACCOUNT}/sessions/end", {"key": key})
    assert (response.status, response.at) == (302, ACCOUNT)
    assert (await is_in(first), await is_in(second)) == (True, False)


async def test_nobody_ends_the_session_of_another_person(
    two: tuple[ConsoleBrowser, ConsoleBrowser], admin: ConsoleBrowser
) -> None:
    [key, *_] = re.findall(r'name="key" value="([0-9a-f]{64})"', await admin.page("/console/people"))
    response = await two[0].post(f"{ACCOUNT}/sessions/end", {"key": key[::-1]})
    assert response.status == 404


async def test_an_administrator_ends_anybodys_session(
    two: tuple[ConsoleBrowser, ConsoleBrowser], admin: ConsoleBrowser
) -> None:
    rows = re.findall(
        rf"<tr><th scope=\"row\">{two[0].name}</th>\s*<td title.*?value=\"([0-9a-f]{{64}})\"",
        await admin.page("/console/people"),
        re.S,
    )
    for key in rows:
        assert (await admin.post(f"{ACCOUNT}/sessions/end", {"key": key})).at == "/console/people"
    assert [await is_in(browser) for browser in two] == [False, False]


async def test_a_new_password_ends_the_other_sessions_and_needs_the_old_one(
    two: tuple[ConsoleBrowser, ConsoleBrowser],
) -> None:
    first, second = two
    new = {"password": "quite-another-one", "again": "quite-another-one"}
    assert (await first.post(f"{ACCOUNT}/password", new | {"step_up": "not-the-old-one"})).status == 403
    assert (await first.post(f"{ACCOUNT}/password", new | {"again": "x" * 12, "step_up": PASSWORD})).status == 400
    response = await first.post(f"{ACCOUNT}/password", new | {"step_up": PASSWORD})
    assert (response.status, response.at) == (302, ACCOUNT)
    assert (await is_in(first), await is_in(second)) == (True, False)
    assert (await second.log_in(password="quite-another-one")).status == 302


async def test_the_id_changes_at_the_login_and_with_the_proof_and_the_old_one_is_dead(
    two: tuple[ConsoleBrowser, ConsoleBrowser],
) -> None:
    first, second = two
    planted = "f" * 64
    second.set_cookie("fenpay_staff", planted)
    await second.log_in()
    assert second.cookies()["fenpay_staff"] != planted
    before = first.cookies()["fenpay_staff"]
    await set_up(first)
    after = first.cookies()["fenpay_staff"]
    assert after != before
    second.set_cookie("fenpay_staff", before)
    assert not await is_in(second)


async def test_with_a_code_generator_a_login_takes_a_code_and_each_code_once(
    two: tuple[ConsoleBrowser, ConsoleBrowser],
) -> None:
    first, second = two
    generator, _ = await set_up(first)
    assert (await second.log_in()).status == 401
    assert (await second.log_in(code="000000")).status == 401
    code = generator.now()
    assert (await second.log_in(code=code)).status == 302
    assert (await second.log_in(code=code)).status == 401


async def test_a_recovery_code_stands_in_once(two: tuple[ConsoleBrowser, ConsoleBrowser]) -> None:
    first, second = two
    _, codes = await set_up(first)
    assert len(set(codes)) == 10
    assert (await second.log_in(code=codes[0].upper())).status == 302
    assert (await second.log_in(code=codes[0])).status == 401
    assert (await second.log_in(code=codes[1])).status == 302
    assert "剩余恢复码：8 个" in await second.page(ACCOUNT)


async def test_the_operator_removes_a_lost_generator(
    two: tuple[ConsoleBrowser, ConsoleBrowser], operator: Operator
) -> None:
    await set_up(two[0])
    assert (await operator.ask("POST", f"/api/users/{two[0].name}/reset_totp")).status == 200
    assert (await two[1].log_in()).status == 302


async def test_a_wrong_code_sets_up_nothing(two: tuple[ConsoleBrowser, ConsoleBrowser]) -> None:
    [secret] = SECRET.findall(await two[0].page(f"{ACCOUNT}/totp"))
    form = {"secret": secret, "code": "000000", "step_up": PASSWORD}
    response = await two[0].post(f"{ACCOUNT}/totp", form)
    assert response.status == 400
    assert "动态验证码不正确" in response.body.decode()
    assert 'aria-invalid="true" aria-describedby="code-error"' in response.body.decode()
    assert (await two[1].log_in()).status == 302


async def test_an_error_of_the_new_password_is_told_beside_its_field_and_no_password_is_shown(
    two: tuple[ConsoleBrowser, ConsoleBrowser],
) -> None:
    new = {"password": "quite-another-one", "again": "quite-another-one", "step_up": PASSWORD}
    for changed, field in (
        ({"again": "not-the-same-one"}, "again"),
        ({"step_up": "not-the-old-one"}, "step_up-password"),
        ({"password": "short", "again": "short"}, "password"),
    ):
        page = (await two[0].post(f"{ACCOUNT}/password", new | changed)).body.decode()
        assert f'id="{field}-error"' in page and page.count('aria-invalid="true"') == 1
        assert not [text for text in (*new.values(), *changed.values()) if text in page]
