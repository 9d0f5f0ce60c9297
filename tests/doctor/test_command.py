"""``manage.py doctor`` as operators run it, and what the service's start says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.site import Site
from tests.support.manage import Manage
from tests.support.service import run_server


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.subject()
    return site


@pytest.fixture
def manage() -> Manage:
    return Manage("", "")


async def test_json_is_one_document_of_checks_and_a_fault_ends_with_1(site: Site, manage: Manage) -> None:
    site.write("apiclient_key.pem", "junk")
    ran = await manage("doctor", "--settings", str(site.file), "--json", LANG="en_US.UTF-8")
    assert ran.code == 1
    document = ran.json()
    assert list(document) == ["checks"]
    assert {tuple(check) for check in document["checks"]} == {("id", "status", "seen", "why", "fix")}
    assert {check["status"] for check in document["checks"]} <= {"ok", "warn", "fail", "skip"}
    [key] = [check for check in document["checks"] if check["id"] == "keys.merchant_key"]
    assert key["status"] == "fail"
    assert key["seen"].startswith("pay.v3.merchant_key: is not a usable PEM")


async def test_a_person_reads_what_was_seen_why_it_matters_and_the_fix_in_their_language(
    site: Site, manage: Manage
) -> None:
    site.file.chmod(0o644)
    ran = await manage("doctor", "--settings", str(site.file))
    assert ran.code == 1
    assert f"✘ files.settings_mode  {site.file} 的权限是 0644" in ran.out
    assert f"sudo chmod 640 {site.file}" in ran.out
    english = await manage("doctor", "--settings", str(site.file), LANG="en_US.UTF-8")
    assert "has mode 0644: other users of this machine can read or write it" in english.out


async def test_settings_that_cannot_be_read_still_give_a_report(tmp_path: Path, manage: Manage) -> None:
    ran = await manage("doctor", "--settings", str(tmp_path / "nowhere.yml"), "--json", LANG="en")
    assert ran.code == 1
    statuses = {check["id"]: check["status"] for check in ran.json()["checks"]}
    assert statuses["settings.file"] == "fail"
    assert statuses["plugins.load"] == "skip"
    assert statuses["host.clock"] != "skip"


def test_the_start_says_each_fault_in_one_block_and_refuses_what_would_misdirect_money(site: Site) -> None:
    (site.folder / "apiclient_key.pem").chmod(0o644)
    site.values["session"]["secret"] = "ab" * 20
    site.file.unlink()
    site.subject()
    ended = run_server("--settings", str(site.file))
    assert ended.returncode == 3
    block, refusal = ended.stderr.split("files.key_modes", 1)
    assert block.startswith("✘ doctor: 1\n")
    assert "settings.session_secret: session.secret repeats a few characters" in block
    assert "has mode 0644" in refusal
