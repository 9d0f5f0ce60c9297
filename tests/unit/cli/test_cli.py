"""The command line's promises to scripts: exit codes, where the key comes from, what goes on which stream."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.cells import cell_len

import manage
from cli.client import Service
from cli.commands import books, orders, refunds
from cli.context import Context
from cli.endpoint import DEMO, Endpoint, find
from cli.output import Screen, clean, language, moment, money
from cli.problems import Exit, Problem, refusal
from tests.support.service import ROOT
from wechat.domain.errors import Bilingual
from wechat.domain.facts import RefundState
from wechat.domain.labels import ORDER_STATES, REFUND_STATES
from wechat.domain.orders import TradeState

HAN = re.compile("[\u4e00-\u9fff]")
ERROR = {"code": "X", "message": "因为", "request_id": "r"}
WECHAT = {"call": "query", "code": "X", "message": "m", "request_id": "", "causes": [], "next": "n"}

CODES: list[tuple[int, dict[str, Any] | None, int]] = [
    (400, ERROR, 2),
    (401, ERROR, 3),
    (403, ERROR, 3),
    (404, ERROR, 1),
    (405, ERROR, 1),
    (409, ERROR, 1),
    (410, ERROR, 1),
    (422, ERROR, 2),
    (429, ERROR, 5),
    (500, ERROR, 5),
    (502, ERROR | {"wechat": WECHAT}, 4),
    (502, ERROR, 5),
    (503, ERROR, 5),
    (503, ERROR | {"wechat": WECHAT}, 5),
    (404, None, 3),
    (401, None, 3),
    (429, None, 5),
    (502, None, 5),
    (504, None, 5),
]


@pytest.mark.parametrize(("status", "body", "code"), CODES)
def test_an_answer_ends_the_process_with_its_code(status: int, body: dict[str, Any] | None, code: int) -> None:
    assert int(refusal(status, body).code) == code


def test_the_exit_codes_are_the_promised_ones() -> None:
    promised = {"OK": 0, "FAILED": 1, "USAGE": 2, "CONFIG": 3, "REFUSED": 4, "UNREACHED": 5}
    assert {code.name: int(code) for code in Exit} == promised


@pytest.mark.parametrize(
    ("status", "body", "unknown"),
    [
        (500, ERROR, True),
        (503, ERROR | {"wechat": WECHAT}, True),
        (504, None, True),
        (502, ERROR | {"wechat": WECHAT}, False),
        (429, ERROR, False),
        (409, ERROR, False),
        (404, None, False),
    ],
)
def test_only_an_answer_that_settles_nothing_leaves_the_outcome_unknown(
    status: int, body: dict[str, Any] | None, unknown: bool
) -> None:
    assert refusal(status, body).unknown is unknown


class Interrupted:
    """A service whose response is interrupted by Ctrl-C."""

    def post(self, *_: object, **__: object) -> None:
        raise KeyboardInterrupt


def test_a_refund_that_was_interrupted_can_be_repeated_too() -> None:
    context = Context(cast(Service, Interrupted()), Screen("zh", as_json=True))
    with pytest.raises(Problem) as raised:
        refunds._send(context, "ORDER-1", {"refund": 500, "reason": "a b", "out_refund_no": "R-000001"}, "")
    problem = raised.value
    assert (problem.code, problem.more) == (Exit.UNREACHED, {"out_refund_no": "R-000001"})
    assert problem.next_step == "manage.py refund create ORDER-1 --amount 500 --reason 'a b' --out-refund-no R-000001"


class Settled:
    """A service that has heard of a refund what its answer did not tell yet; or that is gone."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone

    def get(self, path: str) -> dict[str, Any]:
        if self.gone:
            raise Problem(Exit.UNREACHED, "NO_ANSWER", Bilingual("断", "gone"))
        return {"out_refund_no": path.rpartition("/")[2], "state": "SUCCESS", "sends": 1}


@pytest.mark.parametrize(
    ("state", "sends", "gone", "shown"),
    [
        ("REQUESTED", 1, False, "SUCCESS"),
        ("REQUESTED", 1, True, "REQUESTED"),
        ("REQUESTED", 0, False, "REQUESTED"),
        ("PROCESSING", 1, False, "PROCESSING"),
    ],
)
def test_only_a_refund_that_was_sent_and_not_answered_is_read_again(
    state: str, sends: int, gone: bool, shown: str
) -> None:
    context = Context(cast(Service, Settled(gone=gone)), Screen("zh"))
    refund = {"out_refund_no": "R-000001", "state": state, "sends": sends}
    assert refunds._read_again(context, refund)["state"] == shown


def test_an_error_document_has_what_the_service_said_and_nothing_else_of_it() -> None:
    payload = ERROR | {"field": "date", "wechat": WECHAT, "surprise": 1}
    document = refusal(400, payload).document("zh")
    assert document == {
        "exit": 2,
        "code": "X",
        "message": "因为",
        "next": None,
        "field": "date",
        "request_id": "r",
        "wechat": WECHAT,
    }


# -- the service and the key ------------------------------------------------------------------------------------------

KEY = "a-key-that-nobody-may-see"


def problem_of(url: str | None, key: str = KEY, key_file: Path | None = None, demo: Path = DEMO) -> Problem:
    with pytest.raises(Problem) as raised:
        find(url, key_file, {"FENPAYCLI_API_KEY": key} if key else {}, demo)
    assert raised.value.code is Exit.CONFIG
    assert raised.value.next_step
    return raised.value


def test_without_address_and_key_it_is_the_demo(tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    demo.write_text(json.dumps({"base_url": "http://127.0.0.1:8888", "api_key": KEY, "simulator_url": "x"}))
    assert find(None, None, {}, demo) == Endpoint("http://127.0.0.1:8888", KEY, demo=True, simulator_url="x")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"base_url": "http://127.0.0.1:1"}'])
def test_without_a_demo_there_is_nobody_to_ask(tmp_path: Path, content: str | None) -> None:
    demo = tmp_path / "demo.json"
    if content is not None:
        demo.write_text(content)
    problem = problem_of(None, key="", demo=demo)
    assert (problem.name, problem.next_step) == ("NO_SERVICE", "make run")


def test_the_demos_key_goes_nowhere_else(tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    demo.write_text(json.dumps({"base_url": "http://127.0.0.1:8888", "api_key": KEY}))
    assert problem_of("http://127.0.0.1:8889", key="", demo=demo).name == "NO_KEY"
    assert problem_of(None, demo=demo).name == "NO_URL"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://pay.example.com/", "https://pay.example.com"),
        ("https://pay.example.com:8443/shop/", "https://pay.example.com:8443/shop"),
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888"),
        ("http://localhost:8888", "http://localhost:8888"),
        ("http://[::1]:8888", "http://[::1]:8888"),
    ],
)
def test_an_address_is_https_or_this_machines(url: str, kept: str) -> None:
    assert find(url, None, {"FENPAYCLI_API_KEY": KEY}).url == kept


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://pay.example.com", "NOT_HTTPS"),
        ("http://192.168.1.9:8888", "NOT_HTTPS"),
        ("http://127.0.0.1.example.com", "NOT_HTTPS"),
        ("pay.example.com", "BAD_URL"),
        ("ftp://pay.example.com", "BAD_URL"),
        ("file:///etc/passwd", "BAD_URL"),
        ("https://user:word@pay.example.com", "BAD_URL"),
        ("https://pay.example.com?x=1", "BAD_URL"),
        ("https://pay.example.com#x", "BAD_URL"),
        ("https://pay.example.com:99999", "BAD_URL"),
        ("https://[", "BAD_URL"),
        ("https://", "BAD_URL"),
        ("https://pay.example.com\r\nX: y", "BAD_URL"),
    ],
)
def test_no_other_address_gets_the_key(url: str, name: str) -> None:
    assert problem_of(url).name == name


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", b"\xff\xfe", "ключ".encode(), b"x" * 600])
def test_a_file_without_a_key_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    problem = problem_of("https://pay.example.com", key_file=file)
    assert problem.name in ("NO_KEY", "BAD_KEY")
    assert content.strip() == b"" or content not in (problem.text.zh + problem.text.en).encode()


def test_a_place_does_not_show_its_key() -> None:
    assert KEY not in repr(find("https://pay.example.com", None, {"FENPAYCLI_API_KEY": KEY}))


# -- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "lang"),
    [
        ({}, "zh"),
        ({"LANG": "C.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "EN"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB"}, "en"),
        ({"LANG": "en_US", "LC_MESSAGES": "zh_CN", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_language_is_chinese_unless_the_locale_is_english(environ: dict[str, str], lang: str) -> None:
    assert language(environ) == lang


def test_amounts_and_times_are_a_persons() -> None:
    assert [money(amount) for amount in (None, 0, 1, 1800, -40)] == ["", "¥0.00", "¥0.01", "¥18.00", "-¥0.40"]
    assert moment("2026-03-01T04:05:06.789000+00:00") == "2026-03-01 12:05:06"
    assert moment(None) == ""


def test_what_steers_a_terminal_does_not_reach_it() -> None:
    assert clean("a\x1b[31m\x07\r\u202eb\nc") == "a�[31m���b\nc"


def test_a_person_reads_tables_and_a_program_one_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    for as_json in (False, True):
        screen = Screen("zh", as_json=as_json)
        screen.preview(screen.sheet([(Bilingual("先", "First"), "[b]看[/b]"), (Bilingual("无", "None"), None)]))
        screen.say(Bilingual("话", "Word"))
        screen.show({"答": 1}, screen.table(Bilingual("表", "Table"), (Bilingual("列", "Column"),), [["x" * 150]]))
        out, err = capsys.readouterr()
        if as_json:
            assert (json.loads(out), err) == ({"答": 1}, "")
        else:
            assert "[b]看[/b]" in out
            assert "x" * 150 in out
            assert "无" not in out
            assert err == "话\n"


LONG = "R" * 64


@pytest.mark.parametrize("width", [40, 78, 79, 240])
def test_f3_numbers_are_in_one_piece_where_the_screen_is_wide_enough_for_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    columns = (
        Bilingual("单号", "Number"),
        Bilingual("微信单号", "WeChat's"),
        Bilingual("", ""),
        Bilingual("说明", "Said"),
    )
    rows = [(LONG[:20], "4" * 28, "未付款", "长" * 60), ("1" * 20, "", "已付款", "短")]
    screen = Screen("zh")
    screen.show(None, screen.table(Bilingual("表", "Table"), columns, rows))
    shown = capsys.readouterr().out.splitlines()
    for number in (LONG[:20], "4" * 28, "1" * 20):
        assert any(number in line for line in shown)
    assert max(cell_len(line) for line in shown) <= width
    assert sum(line.count("长") for line in shown) == 60
    assert any(line.startswith("单号: ") for line in shown) is (width < 79)


def test_at_80_columns_texts_are_elided_and_dates_short_and_numbers_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    order = {
        "out_trade_no": LONG[:26],
        "total": 1800,
        "trade_state": "PAID_LATE",
        "created_at": "2026-11-30T06:52:47Z",
        "description": "拿铁",
    }
    orders_table = orders._listing(Screen("zh"), [order])
    Screen("zh").show(None, orders_table)
    row = next(line for line in capsys.readouterr().out.splitlines() if LONG[:26] in line)
    assert row.split() == [LONG[:26], "¥18.00", "异常支付（关单后…", "11-30", "14:52", "拿铁"]
    monkeypatch.setenv("COLUMNS", "160")
    Screen("zh").show(None, orders_table)
    assert "2026-11-30 14:52:47" in capsys.readouterr().out


def test_a_list_with_nothing_in_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for lang, said in (("zh", "订单：没有\n"), ("en", "Orders: none\n")):
        screen = Screen(lang)
        screen.show(None, screen.table(Bilingual("订单", "Orders"), (Bilingual("列", "Column"),), []))
        assert capsys.readouterr().out == said


def test_ids_are_cut_where_they_still_differ_and_two_that_begin_alike_are_not_guessed_between() -> None:
    ids = ["abcdef01" + "0" * 24, "abcdef02" + "0" * 24, "fe" * 16]
    differences = {number: {"id": number} for number in ids}
    short = books._shorten_ids(ids)
    assert list(short.values()) == ["abcdef01", "abcdef02", "fefefefe"]
    assert [books._find_difference(one, "2026-03-01", differences)["id"] for one in short.values()] == ids
    with pytest.raises(Problem) as raised:
        books._find_difference("abcd", "2026-03-01", differences)
    assert (raised.value.name, raised.value.next_step) == ("AMBIGUOUS_ID", "manage.py reconcile 2026-03-01")


@pytest.mark.parametrize(
    ("audit", "tried"),
    [
        ([], False),
        ([("query", "open")], True),
        ([("query", "open"), ("rerun", "gone"), ("rerun", "open")], False),
        ([("rerun", "open"), ("query", "open")], True),
    ],
)
def test_a_repair_counts_as_tried_until_the_difference_is_found_anew(audit: list[tuple[str, str]], tried: bool) -> None:
    assert books._has_query({"audit": [{"action": action, "to": target} for action, target in audit]}) is tried


@pytest.mark.parametrize(
    ("names", "states"), [(ORDER_STATES, set(TradeState)), (REFUND_STATES, set(RefundState))], ids=["order", "refund"]
)
def test_every_state_has_a_name_in_both_languages(names: dict[str, Bilingual], states: set[str]) -> None:
    assert set(names) == states
    assert all(HAN.search(text.zh) and not HAN.search(text.en) for text in names.values())


# -- what is written about it -----------------------------------------------------------------------------------------


def commands() -> list[str]:
    """``order show`` and the like: every command there is."""
    found = [
        command.name or command.callback.__name__ for command in manage.app.registered_commands if command.callback
    ]
    for group in manage.app.registered_groups:
        assert group.typer_instance is not None
        names = [one.name or one.callback.__name__ for one in group.typer_instance.registered_commands if one.callback]
        found += [f"{group.name} {name}" if isinstance(group.name, str) else name for name in names]
    return found


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_command_and_every_exit_code_is_documented(language: str) -> None:
    page = (ROOT / "docs" / language / "cli.md").read_text(encoding="utf-8")
    assert [command for command in commands() if f"`{command}" not in page] == []
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == [str(int(code)) for code in Exit]


def sentences() -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """The file and line of each bilingual text in ``cli``, with its Chinese and English expressions."""
    for file in sorted((ROOT / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Bilingual", "words")
            ):
                zh, en = node.args
                yield f"{file.name}:{node.lineno}", zh, en


def literal(node: ast.expr) -> str:
    """The constant parts of a text."""
    return "".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def test_whatever_is_said_is_said_in_chinese_and_in_english() -> None:
    said = [
        (where, literal(zh), literal(en))
        for where, zh, en in sentences()
        if isinstance(zh, ast.Constant | ast.JoinedStr)
    ]
    alike = {"out_trade_no", ""}
    assert len(said) > 80
    assert [where for where, zh, en in said if en not in alike and (not HAN.search(zh) or HAN.search(en))] == []
