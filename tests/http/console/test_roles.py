"""Each role at each route of the console: what it may not is 403 and in the audit log, and no write goes without a
token."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

import pytest
from yarl import URL

from handlers.web.numbers import NUMBER, REFUND_NUMBER, REFUSED_ID
from tests.support.console import ConsoleBrowser
from tests.support.route_requests import TABLE
from wechat.domain.staff import PERMISSIONS, Permission, Role

ROWS = [re.split(r"\s{2,}", line) for line in TABLE.read_text(encoding="utf-8").splitlines()]
ROUTES = [
    (Permission(access.partition(":")[2]), pattern, verb)
    for access, pattern, verbs, _, _ in ROWS
    if access.startswith("staff:")
    for verb in verbs.split()
]
SAMPLES = {
    NUMBER: "20260301000000nobody",
    REFUND_NUMBER: "R20260301000000nobody",
    REFUSED_ID: "sign_wrong-00-00000000",
    "([0-9a-z._@-]{2,48})": "nobody",
    "([A-Za-z0-9_-]{1,32})": "nobody",
    "([0-9a-f]{16})": "0" * 16,
    "([0-9a-f]{24})": "0" * 24,
    "([0-9a-f]{32})": "0" * 32,
    "([0-9]{4}-[0-9]{2}-[0-9]{2})": "2026-03-01",
    "([0-9]{4}-[0-9]{2})": "2026-03",
    "([a-z0-9_]{1,48}-[0-9]{2}-[0-9a-f]{6})": "paid_late-00-000000",
    "([a-z][a-z0-9-]{1,40})": "nothing",
    "(csv|xlsx)": "csv",
    "/?": "",
    r"\.": ".",
}


def address(pattern: str) -> str:
    """An address that the route takes, about something that is not there."""
    for part, sample in SAMPLES.items():
        pattern = pattern.replace(part, sample)
    assert not set(pattern) & set("([?*+"), f"{pattern}: add its group to SAMPLES"
    return pattern


async def status_of(browser: ConsoleBrowser, verb: str, path: str, *, token: bool) -> int:
    """The status alone: a stream has no end to wait for."""
    data = {"_xsrf": await browser.xsrf()} if token else {}
    headers = {"X-Real-IP": browser.address}
    async with browser.http.request(
        verb, URL(browser.url + path, encoded=True), data=data, headers=headers, allow_redirects=False
    ) as answer:
        return answer.status


@pytest.mark.parametrize("role", list(Role))
async def test_what_a_role_may_not_is_403_and_in_the_audit_log(
    staff: Mapping[Role, ConsoleBrowser], role: Role
) -> None:
    denied = [(verb, address(pattern)) for needed, pattern, verb in ROUTES if needed not in PERMISSIONS[role]]
    assert [
        (verb, path) for verb, path in denied if await status_of(staff[role], verb, path, token=verb != "GET") != 403
    ] == []
    response = await staff[Role.ADMIN].get(f"/console/audit.csv?name={role}&act=denied")
    noted = {row[5] for row in csv.reader(io.StringIO(response.body.decode("utf-8-sig")))}
    assert {f"{verb} {path}" for verb, path in denied} - noted == set()


@pytest.mark.parametrize("role", list(Role))
async def test_what_a_role_may_is_not_403(staff: Mapping[Role, ConsoleBrowser], role: Role) -> None:
    allowed = [address(pattern) for needed, pattern, verb in ROUTES if verb == "GET" and needed in PERMISSIONS[role]]
    found = [(path, await status_of(staff[role], "GET", path, token=False)) for path in allowed]
    assert [(path, status) for path, status in found if status in (401, 403) or status >= 500] == []


async def test_no_write_of_the_console_goes_without_the_token(admin: ConsoleBrowser) -> None:
    """Another site's form has the cookie of a browser that is not as strict as ours asks, and no token."""
    writes = [(verb, address(pattern)) for _, pattern, verb in ROUTES if verb != "GET"]
    assert writes
    found = [(path, await status_of(admin, verb, path, token=False)) for verb, path in writes]
    assert [(path, status) for path, status in found if status != 403] == []


async def test_nobody_without_a_session_gets_further_than_the_login(visitor: ConsoleBrowser) -> None:
    found = {
        (verb, address(pattern)): await status_of(visitor, verb, address(pattern), token=verb != "GET")
        for _, pattern, verb in ROUTES
    }
    assert {each: status for each, status in found.items() if status not in (302, 401)} == {}
