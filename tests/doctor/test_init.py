"""``manage.py init``: wrong answers are asked for again with the reason, and what it writes starts a service."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from doctor.ticks import read_ticks
from service.settings.loading import load
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis
from tests.doctor.site import MCHID
from tests.support.keys import certificate_pem, private_pem, public_pem
from tests.support.servers import running
from tests.support.service import ROOT

MADE, LIFE = datetime.now(UTC) - timedelta(days=1), timedelta(days=1000)
APPSECRET, V3_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "Zyxwvuts9876543210zyxwvuts987654"


def init(folder: Path, answers: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        str(ROOT / "manage.py"),
        "init",
        "--settings",
        str(folder / "settings.yml"),
        "--user",
        "root",
    ]
    return subprocess.run(
        [*argv, *more],
        input="\n".join(answers) + "\n",
        env={"LANG": "en_US.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder that holds the downloaded keys and certificate, and another key."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "key.pem").write_text(private_pem())
    (folder / "cert.pem").write_text(certificate_pem(MCHID, key_name="ours", starts=MADE, life=LIFE))
    (folder / "other.pem").write_text(private_pem("theirs"))
    (folder / "pub.pem").write_bytes(b"\xef\xbb\xbf" + public_pem("theirs").encode())
    return folder


def test_each_answer_is_checked_as_it_comes_and_the_files_are_written_for_their_owner(
    tmp_path: Path, keys: Path
) -> None:
    etc = tmp_path / "etc"
    with running(EmbeddedMongo(tmp_path / "mongo")) as mongo, running(EmbeddedRedis(tmp_path / "redis")) as redis:
        wrong_and_right = [
            "http://pay.shop.test", "https://pay.shop.test",
            "wx0000000000000000", "wx0123456789abcdef",
            APPSECRET,
            MCHID,
            "too short", V3_KEY,
            str(keys / "cert.pem"), str(keys / "nowhere.pem"), str(keys / "key.pem"),
            str(keys / "key.pem"), str(keys / "cert.pem"),
            str(keys / "pub.pem"),
            "5157F09EFDC096DE", "PUB_KEY_ID_0119000001092026010100112233445566",
            "mongodb://127.0.0.1:1", mongo.url,
            "redis://127.0.0.1:1", redis.url,
            "var/bills", str(tmp_path / "bills"),
            "y", "n", "", "y",
        ]  # fmt: skip
        ran = init(etc, wrong_and_right)
    assert "is not an https address" in ran.stderr
    assert "still sample values: account.appid" in ran.stderr
    assert "9 characters, not 32" in ran.stderr
    assert "this is a certificate, a private key is needed" in ran.stderr
    assert "No such file" in ran.stderr
    assert "this is a private key, a certificate is needed" in ran.stderr
    assert "does not look like a public key ID" in ran.stderr
    assert ran.stderr.count("refuses the connection") >= 2
    assert "is a relative path" in ran.stderr
    settings = load(etc / "settings.yml")
    assert settings.pay.mchid == MCHID
    assert settings.pay.v3
    assert settings.pay.v3.key.get_secret_value() == V3_KEY
    for name in ("settings.yml", "apiclient_key.pem", "apiclient_cert.pem", "pub_key.pem"):
        assert stat.S_IMODE((etc / name).stat().st_mode) == 0o600
    assert yaml.safe_load((etc / "settings.yml").read_text())["pay"]["v3"]["merchant_key"] == str(
        etc / "apiclient_key.pem"
    )
    ticks = read_ticks(etc / "settings.yml")
    assert {name: tick.value for name, tick in ticks.items()} == {
        "console.oauth_domain": "pay.shop.test",
        "console.appid": f"wx0123456789abcdef + {MCHID}",
    }
    api_key = ran.stderr.partition("shown only now: ")[2].split()[0]
    assert settings.merchants[0].sha256 == hashlib.sha256(api_key.encode()).hexdigest()
    assert "✔ files.key_modes" in ran.stdout  # the doctor comes last
    assert APPSECRET not in ran.stderr + ran.stdout
    assert V3_KEY not in ran.stderr + ran.stdout


def test_input_that_ends_writes_nothing(tmp_path: Path) -> None:
    ran = init(tmp_path / "etc", ["https://pay.shop.test"])
    assert ran.returncode == 3
    assert "nothing was written" in ran.stderr
    assert not (tmp_path / "etc").exists()


def test_settings_that_exist_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "settings.yml").write_text("mine")
    ran = init(tmp_path, [])
    assert ran.returncode == 3
    assert "exists and is not overwritten" in ran.stderr
    assert (tmp_path / "settings.yml").read_text() == "mine"


def test_a_user_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    ran = init(tmp_path / "etc", [], "--user", "nobody-of-this-name")
    assert ran.returncode == 3
    assert "useradd --system" in ran.stderr or "the input ended" in ran.stderr  # only root gives files away
