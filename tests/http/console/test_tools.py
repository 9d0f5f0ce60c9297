"""Settings, doctor, signature and documents in the console."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import SESSION_SECRET
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role
from wechat.pay.signing import SCHEME, SignType, v2_sign

ROOT = Path(__file__).parents[3]
RSA_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{300}")
CHECK = re.compile(r'<h3 class="code">([^<]+)</h3><span class="badge[^"]*">([^<]+)</span>')


async def test_settings_are_shown_with_where_they_come_from_and_without_secrets(
    admin: ConsoleBrowser, simulator: SimulatorProcess
) -> None:
    page = await admin.page("/console/settings")
    known = simulator.credentials
    for secret in (SESSION_SECRET, known["appsecret"], known["api_v3_key"], known["api_v2_key"], "-----BEGIN"):
        assert str(secret) not in page
    assert "pay.v3.key" in page
    assert "first.yml" in page
    assert "默认值" in page
    assert "/console/settings" in page


@pytest.mark.parametrize("target", ["/console/settings", "/console/doctor", "/console/signature"])
async def test_whoever_sells_or_supports_sees_none_of_it(staff: Mapping[Role, ConsoleBrowser], target: str) -> None:
    for role in (Role.SUPPORT, Role.FINANCE, Role.READER):
        assert (await staff[role].get(target)).status == 403


async def test_the_doctor_examines_the_running_services_settings(staff: Mapping[Role, ConsoleBrowser]) -> None:
    response = await staff[Role.DEVELOPER].post("/console/doctor")
    page = response.body.decode()
    assert response.status == 200, page
    assert 'class="card check"' in page
    assert "settings" in page
    assert SESSION_SECRET not in page


async def test_the_doctor_asks_wechat_where_that_button_is_pressed(staff: Mapping[Role, ConsoleBrowser]) -> None:
    offline, live = [
        {name for name, verdict in CHECK.findall(page) if verdict != "– 未检查"}
        for page in [
            (await staff[Role.DEVELOPER].post("/console/doctor", fields)).body.decode()
            for fields in ({}, {"live": "1"})
        ]
    ]
    assert {"wechat.v3", "wechat.token", "wechat.bill"} <= live - offline


async def test_a_wrong_signature_is_explained_with_the_services_keys(
    staff: Mapping[Role, ConsoleBrowser], simulator: SimulatorProcess
) -> None:
    key = str(simulator.credentials["api_v2_key"])
    message = f"<xml><appid>wx1</appid><mch_id>1</mch_id><nonce_str>{key}</nonce_str><sign>{'0' * 32}</sign></xml>"
    response = await staff[Role.DEVELOPER].post("/console/signature", {"message": message})
    page = response.body.decode()
    assert response.status == 200, page
    assert "签名不对" in page
    assert page.count(key) == 1  # in the form that they sent, and not in what is said of it


async def test_the_services_keys_sign_nothing_for_whoever_pastes_a_message(
    staff: Mapping[Role, ConsoleBrowser], simulator: SimulatorProcess
) -> None:
    fields = {"appid": "wx1", "mch_id": "1", "result_code": "SUCCESS", "total_fee": "1"}
    right = v2_sign(fields, str(simulator.credentials["api_v2_key"]), SignType.MD5)
    notice = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    items = ("mchid", "nonce_str", "timestamp", "serial_no", "signature")
    header = ",".join(f'{item}="1"' for item in items)
    refund = f'POST /v3/refund/domestic/refunds HTTP/1.1\nAuthorization: {SCHEME} {header}\n\n{{"reason": "x"}}'
    developer = staff[Role.DEVELOPER]
    for message in (f"<xml>{notice}<sign>{'0' * 32}</sign></xml>", refund):
        page = (await developer.post("/console/signature", {"message": message})).body.decode()
        assert "签名不对" in page
        assert right not in page
        assert not RSA_SIGNATURE.search(page)


async def test_a_hostile_message_stays_text(staff: Mapping[Role, ConsoleBrowser]) -> None:
    message = "</textarea><script>alert(1)</script><xml><sign>x</sign><mch_id><![CDATA[<script>]]></mch_id></xml>"
    page = (await staff[Role.DEVELOPER].post("/console/signature", {"message": message})).body.decode()
    assert "<script>alert" not in page


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_each_document_has_a_page_in_the_readers_language(
    staff: Mapping[Role, ConsoleBrowser], lang: str
) -> None:
    reader = staff[Role.READER]
    listed = await reader.page("/console/docs", **{"Accept-Language": lang})
    for file in sorted((ROOT / "docs" / lang).glob("*.md")):
        assert f'href="/console/docs/{file.stem}"' in listed
        page = await reader.page(f"/console/docs/{file.stem}", **{"Accept-Language": lang})
        assert '<article class="document">' in page
        assert ".md" not in page.partition("<article")[2].split("href=")[1].split('"')[1]


async def test_words_are_found_and_lead_to_their_heading(staff: Mapping[Role, ConsoleBrowser]) -> None:
    page = await staff[Role.READER].page("/console/docs?q=idempotency-key", **{"Accept-Language": "en"})
    assert "<mark>Idempotency-Key</mark>" in page
    assert 'href="/console/docs/api#' in page
    nothing = await staff[Role.READER].page("/console/docs?q=%3Cscript%3E%3Ca%20b", **{"Accept-Language": "en"})
    assert "Nothing was found" in nothing
    assert "Try another word" in nothing


async def test_there_is_no_page_of_what_is_no_document(admin: ConsoleBrowser) -> None:
    assert (await admin.get("/console/docs/nothing-here")).status == 404
    assert (await admin.get("/console/docs/..%2f..%2fsettings")).status == 404


async def test_an_address_of_the_console_that_does_not_exist_leads_back_to_the_console(admin: ConsoleBrowser) -> None:
    response = await admin.get("/console/nothing-here", Accept="text/html")
    page = response.body.decode()
    assert (response.status, "页面不存在" in page, 'href="/console"' in page) == (404, True, True)
    assert 'href="/shop"' in (await admin.get("/nothing-here", Accept="text/html")).body.decode()


async def test_a_document_changes_its_language_by_its_first_link(visitor: ConsoleBrowser, operator: Operator) -> None:
    name = f"d-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.READER)
    await visitor.log_in(name)
    assert 'href="/console/docs/api?lang=en"' in await visitor.page("/console/docs/api")
    response = await visitor.get("/console/docs/api?lang=en")
    assert (response.status, response.at) == (302, "/console/docs/api")
    assert 'href="/console/docs/api?lang=zh"' in await visitor.page("/console/docs/api")


async def test_the_menu_leads_to_the_simulator(admin: ConsoleBrowser, simulator: SimulatorProcess) -> None:
    assert f'<a href="{simulator.url}/simulator/">微信模拟器</a>' in await admin.page("/console/account")
