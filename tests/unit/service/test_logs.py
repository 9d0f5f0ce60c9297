"""The log: one line a record, from an allow-list, whoever writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.logs import FIELDS, MAX_TEXT, allowed_only, mask

ROOT = Path(__file__).parents[3]
HEAD = "import logging, structlog; from service import logs; logs.setup({level!r}, {form!r}); log = structlog.get_logger('t')\n"


def logged(program: str, *, level: str = "debug", form: str = "json") -> list[str]:
    """The lines that ``program`` leaves on stderr in a process of its own."""
    code = HEAD.format(level=level, form=form) + program
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    return done.stderr.split("\n")[:-1]


def one(program: str) -> dict[str, Any]:
    [line] = logged(program)
    record: dict[str, Any] = json.loads(line)
    return record


def test_a_field_that_is_not_on_the_list_is_left_out() -> None:
    record = one("log.info('hello', path='/orders', access_token='CANARY', key='CANARY', cookie='CANARY')")
    assert record["path"] == "/orders"
    assert "CANARY" not in json.dumps(record)


@pytest.mark.parametrize(
    "name", ["key", "sign", "token", "cookie", "secret", "authorization", "body", "ticket", "code"]
)
def test_the_list_has_no_place_for_a_secret(name: str) -> None:
    assert name not in FIELDS


def test_an_openid_is_masked() -> None:
    assert one("log.info('paid', openid='oUpF8uMuAJO_M2pxb1Q9zNjWeS6o')")["openid"] == "oUpF…eS6o"


@pytest.mark.parametrize("short", ["", "o", "o12345678901"])
def test_what_is_too_short_to_mask_is_hidden_whole(short: str) -> None:
    assert mask(short) == "…"


@pytest.mark.parametrize("bad", ["\\r\\n", "\\n", "\\x1b[31m", "\\x00", '\\", \\"level\\": \\"fatal', "\\u2028"])
def test_control_characters_cannot_make_a_second_line(bad: str) -> None:
    record = one(f"log.info('hello', path='a{bad}b')")
    assert record["level"] == "info"
    assert record["path"].startswith("a")


def test_a_library_that_logs_leaves_one_readable_line() -> None:
    record = one("logging.getLogger('tornado.general').warning('Malformed %s', 'request\\nCookie: x')")
    assert (record["level"], record["event"]) == ("warning", "Malformed request\nCookie: x")


def test_a_librarys_exception_comes_with_its_traceback_in_one_line() -> None:
    record = one("try: 1 / 0\nexcept ZeroDivisionError: logging.getLogger('asyncio').exception('boom')")
    assert record["event"] == "boom"
    assert record["exception"].endswith("ZeroDivisionError: division by zero")


def test_what_a_library_says_below_a_warning_is_not_logged() -> None:
    assert logged("logging.getLogger('aiohttp.client').info('https://host/?access_token=CANARY')") == []


def test_the_level_is_kept() -> None:
    assert logged("log.info('quiet'); log.warning('loud')", level="warning", form="json")[0].count("loud") == 1


def test_the_readable_form_keeps_the_same_fields() -> None:
    [line] = logged("log.info('hello', path='/x', secret='CANARY')", form="text")
    assert "hello" in line and "/x" in line
    assert "CANARY" not in line


def test_texts_are_bounded_and_a_traceback_keeps_its_end() -> None:
    entry = allowed_only(None, "info", {"error": "e" * 9000, "exception": "x" * 9000 + "the end"})
    assert len(entry["error"]) == len(entry["exception"]) == MAX_TEXT
    assert entry["exception"].endswith("the end")
