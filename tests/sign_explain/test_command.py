"""``sign explain`` and ``explain`` at a shell: exit codes, JSON, keys from files and settings, and no key on the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sign_explain.corpus import ORDER, order, request
from tests.sign_explain.signing import V2_KEY, V3_KEY, rsa, v2
from tests.support.keys import certificate_pem, private_pem

ROOT = Path(__file__).parents[2]


def run(*arguments: str, text: str = "", lang: str = "en_GB.UTF-8") -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FENPAY", "LC_"))} | {"LANG": lang}
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, env=env, timeout=60, check=False)


def test_a_right_message_ends_in_0_and_a_wrong_one_in_1_and_anything_else_in_2(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text(V2_KEY + "\n")
    good = run("sign", "explain", "-", "--key", str(key), text=order(v2(ORDER)))
    bad = run("sign", "explain", "-", "--key", V2_KEY, text=order(v2(ORDER).lower()))
    odd = run("sign", "explain", "-", "--key", V2_KEY, text="good morning")
    assert (good.returncode, bad.returncode, odd.returncode) == (0, 1, 2)
    assert "The signature is right" in good.stdout
    assert "LOWER_CASE_RESULT" in bad.stdout
    assert "Nothing known here" in odd.stderr
    assert [one for one in (good, bad, odd) if V2_KEY in one.stdout + one.stderr] == []


def test_json_is_what_was_promised(tmp_path: Path) -> None:
    file = tmp_path / "request.xml"
    file.write_text(order(v2(ORDER, V3_KEY)))
    settings = tmp_path / "settings.yml"
    settings.write_text(f"pay:\n  v2: {{key: {V2_KEY}}}\n  v3: {{key: {V3_KEY}}}\n")
    done = run("sign", "explain", str(file), "--settings", str(settings), "--json")
    payload = json.loads(done.stdout)
    assert list(payload) == ["kind", "verdict", "slips", "string_to_sign", "computed", "given"]
    assert (payload["kind"], payload["verdict"]) == ("v2", "wrong")
    assert [list(slip) for slip in payload["slips"]] == [["code", "zh", "en"]]
    assert payload["slips"][0]["code"] == "KEY_OF_OTHER_API"
    assert payload["given"] == v2(ORDER, V3_KEY)
    assert payload["computed"] == v2(ORDER)
    assert [secret for secret in (V2_KEY, V3_KEY) if secret in done.stdout + done.stderr] == []


def test_the_wrong_line_and_the_right_one_are_shown(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(private_pem("merchant"))
    (tmp_path / "cert.pem").write_text(certificate_pem("merchant", serial=0x408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB))
    host = "https://api.mch.weixin.qq.com"
    target = "/v3/pay/transactions/out-trade-no/1217752501?mchid=1900007291"
    text = request(
        rsa(f"GET\n{host}{target}\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n\n"),
        method="GET",
        path=target,
        body="",
    )
    pems = ("--private-key", str(tmp_path / "key.pem"), "--certificate", str(tmp_path / "cert.pem"))
    done = run("sign", "explain", "-", *pems, text=text, lang="C")
    lines = [line.strip() for line in done.stdout.splitlines()]
    at = lines.index(f"✘ {host}{target}⏎")
    assert lines[at + 1] == f"✔ {target}⏎"
    assert "URL_WITH_HOST" in done.stdout
    assert "签名不对" in done.stdout
    assert "PRIVATE KEY" not in done.stdout + done.stderr


@pytest.mark.parametrize("option", ["--private-key", "--public-key", "--certificate"])
def test_what_is_no_key_is_refused_by_name(option: str) -> None:
    done = run("sign", "explain", "-", option, "nonsense", text=order(v2(ORDER)))
    assert done.returncode == 2
    assert option in done.stderr


def test_explain_finds_a_code_a_negative_number_and_a_pasted_answer() -> None:
    pasted = '{"errcode":40163,"errmsg":"code been used, hints: [ req_id: x ]"}'
    for asked, code in (
        ("NOTENOUGH", "NOTENOUGH"),
        ("-268443699", "268443699"),
        (pasted, "40163"),
        ("支付验证签名失败", "支付验证签名失败"),
    ):
        done = run("explain", asked, "--json")
        assert done.returncode == 0, done.stderr
        first = json.loads(done.stdout)["entries"][0]
        assert first["code"] == code
        assert first["meaning"] and first["causes"] and first["where"] and first["fix"]
    assert run("explain", "nothing-of-the-kind").returncode == 1


def test_the_example_of_the_readmes_prints_what_they_say() -> None:
    for file, lang in (("README.md", "en_GB.UTF-8"), ("README.zh-CN.md", "zh_CN.UTF-8")):
        text = (ROOT / file).read_text(encoding="utf-8")
        shown = text.partition("--key 8934e7d15453e97507ef794cf7b0519d\n")[2].partition("$ ")[0]
        done = run("sign", "explain", str(ROOT / "docs/examples/pay.log"), "--key", V2_KEY, lang=lang)
        assert (done.returncode, done.stdout) == (1, shown)
