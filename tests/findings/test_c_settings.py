"""Settings, keys and files that would fail later are refused at the start, by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from service.settings.loading import load
from tests.doctor.site import Site
from tests.support.keys import private_pem
from tests.support.service import run_server
from wechat.domain.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def refusal(site: Site) -> str:
    site.file.write_text(site.raw or yaml.safe_dump(site.values), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(site.file)
    return "\n".join(problem.en for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("account.appid", "wx0000000000000000"),
        ("pay.mchid", "1900000000"),
        ("pay.v3.public_key_id", "PUB_KEY_ID_0"),
        ("http.public_base_url", "https://pay.example.com"),
    ],
)
def test_c10_a_value_of_the_template_is_refused_by_name(site: Site, key: str, value: str) -> None:
    site.set(key, value)
    assert f"{key}: is still a sample" in refusal(site)


def test_c10_the_template_itself_is_refused_for_every_sample(site: Site) -> None:
    site.values["account"]["appid"] = "wx0000000000000000"
    site.values["pay"]["mchid"] = "1900000000"
    said = refusal(site)
    assert "account.appid" in said
    assert "pay.mchid" in said


def test_c10_a_key_that_stands_twice_is_refused_with_both_lines(site: Site) -> None:
    site.raw = "pay:\n  v3:\n    key: one\n  mchid: a\n  v3:\n    key: two\n"
    assert f"pay.v3: stands on line 2 and on line 5 of {site.file}" in refusal(site)


def test_c10_the_same_name_in_two_sections_is_no_repetition(site: Site) -> None:
    site.file.write_text(yaml.safe_dump(site.values), encoding="utf-8")
    assert load(site.file).pay.mchid == "1900000109"


@pytest.mark.parametrize("key", ["books.directory", "http.verify_files"])
def test_c9_production_refuses_a_folder_that_depends_on_where_it_was_started(site: Site, key: str) -> None:
    site.set(key, "var/somewhere")
    assert f"{key}: production needs an absolute path" in refusal(site)


def start(site: Site) -> tuple[int, str]:
    site.subject()
    ended = run_server("--settings", str(site.file))
    return ended.returncode, ended.stderr


def test_d5_production_does_not_start_with_a_key_that_every_user_can_read(site: Site) -> None:
    site.write("apiclient_key.pem", private_pem(), mode=0o644)
    status, said = start(site)
    assert status == 3
    assert f"files.key_modes: {site.folder / 'apiclient_key.pem'} has mode 0644" in said
    assert f"sudo chmod 640 {site.folder / 'apiclient_key.pem'}" in said


def test_d5_production_does_not_start_with_settings_that_every_user_can_read(site: Site) -> None:
    site.subject()
    site.file.chmod(0o604)
    status, said = start(site)
    assert status == 3
    assert "files.settings_mode" in said
