"""Production does not start with a fault that loses or misdirects money; every other fault is told, and it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doctor.table import CHECKS
from server import examine
from tests.doctor.site import MCHID, Site
from tests.support.keys import START, YEAR, certificate_pem
from wechat.domain.errors import ConfigError

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
STOPS: dict[str, Callable[[Site], object]] = {
    "settings.placeholders": lambda site: site.set("pay.mchid", "1900000000"),
    "settings.simulator": lambda site: site.set("simulator_url", "http://127.0.0.1:9000"),
    "settings.api_keys": lambda site: site.set("merchants", [{"name": "shop", "sha256": NOTHING}]),
    "settings.values": lambda site: site.set("pay.mchidd", "1"),
    "settings.file": lambda site: site.set_raw("pay: [\n"),
    "files.settings_mode": lambda site: site.open_settings(0o644),
    "files.key_modes": lambda site: (site.folder / "apiclient_key.pem").chmod(0o644),
    "keys.merchant_number": lambda site: site.write(
        "apiclient_cert.pem", certificate_pem("1900000208", key_name="ours")
    ),
}


def end_certificate(site: Site) -> None:
    """Long ago, by whatever clock."""
    site.write("apiclient_cert.pem", certificate_pem(MCHID, key_name="ours", starts=START - 5 * YEAR))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_these_stop_the_start_and_no_others() -> None:
    assert {check.id for check in CHECKS if check.stops} == set(STOPS)


@pytest.mark.parametrize("check", STOPS)
def test_production_refuses_to_start(site: Site, check: str) -> None:
    STOPS[check](site)
    site.subject()
    with pytest.raises(ConfigError) as refused:
        examine(site.file)
    assert any(problem.en.startswith(f"{check}: ") for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (end_certificate, "keys.certificate_end"),
        (lambda site: site.set("plugins", ["handlers.ops.health"]), "plugins.load"),
        (lambda site: site.set("books.directory", "/proc/fenpay/bills"), "folders.bills"),
    ],
    ids=["an ended certificate", "nothing takes notifications", "a folder that cannot be written"],
)
def test_what_loses_no_money_is_told_and_it_starts(
    site: Site, capsys: pytest.CaptureFixture[str], fault: Callable[[Site], object], told: str
) -> None:
    """A restart that is refused would lose the notifications of payments that were already made."""
    fault(site)
    site.subject()
    examine(site.file)
    assert f"✘ {told}" in capsys.readouterr().err
