"""What a person has compared in the consoles is remembered, for as long as it is what was compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from doctor.checks.console import COMPARED
from doctor.report import Status
from doctor.run import tick, tick_texts
from doctor.ticks import ticks_file
from tests.doctor.site import Site
from wechat.domain.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.subject()
    return site


async def test_a_text_is_asked_for_until_it_is_ticked(site: Site) -> None:
    before = await site.look("console.js_domain")
    assert before.status is Status.SKIP
    assert "manage.py doctor --tick console.js_domain" in before.seen.en
    tick(site.file, ["console.js_domain"])
    after = await site.look("console.js_domain")
    assert after.status is Status.OK
    assert "pay.shop.test" in after.seen.en
    assert (await site.look("console.oauth_domain")).status is Status.SKIP


async def test_a_domain_that_changes_has_to_be_compared_again(site: Site) -> None:
    tick(site.file, list(COMPARED))
    site.set("http.public_base_url", "https://new.shop.test")
    site.file.unlink()  # it is written anew
    judgement = await site.look("console.pay_directory")
    assert judgement.status is Status.WARN
    assert "https://new.shop.test/pay/" in judgement.seen.en
    assert "https://pay.shop.test/pay/" in judgement.seen.en
    assert (await site.look("console.appid")).status is Status.OK


def test_an_id_that_is_none_is_refused_with_those_that_are(site: Site) -> None:
    with pytest.raises(ConfigError) as refused:
        tick(site.file, ["console.nothing"])
    assert "console.pay_directory" in refused.value.text.en
    assert "console.pay_directory" in tick_texts(site.file, ["keys.mode"], "en")
    assert not ticks_file(site.file).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"console.js_domain": 1}', "not json"])
async def test_a_file_that_is_not_ours_ticks_nothing(site: Site, text: str) -> None:
    ticks_file(site.file).write_text(text)
    assert (await site.look("console.js_domain")).status is Status.SKIP


def test_a_folder_that_cannot_be_written_is_named(site: Site) -> None:
    ticks_file(site.file).with_name(f"{ticks_file(site.file).name}.new").mkdir()
    assert "cannot be written" in tick_texts(site.file, ["console.appid"], "en")
