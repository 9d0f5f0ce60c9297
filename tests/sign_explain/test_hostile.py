"""Whatever is thrown at it: an answer, quickly, and no exception."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sign_explain.cases import CASES, raw
from tests.sign_explain.corpus import merchant, platform
from tests.sign_explain.signing import SECRET, TICKET, TOKEN, V2_KEY, V3_KEY
from wechat.sign_explain.model import Keys, Kind, Verdict
from wechat.sign_explain.signature import explain, explain_notification
from wechat.sign_explain.v2 import read_fields

ALL = Keys(
    given=(V2_KEY, SECRET, TOKEN),
    v3=V3_KEY,
    ticket=TICKET,
    private_key=merchant().private_key,
    public_key=platform().public_key,
    certificate=merchant().certificate,
)
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.binary(max_size=2000), kind=st.sampled_from([None, *Kind]))
def test_any_bytes_are_answered(data: bytes, kind: Kind | None) -> None:
    explain(data, ALL, kind)


@settings(max_examples=EXAMPLES, deadline=None)
@given(case=st.sampled_from(CASES), at=st.floats(0, 1), junk=st.binary(max_size=12), cut=st.integers(0, 40))
def test_a_damaged_message_is_answered(case: object, at: float, junk: bytes, cut: int) -> None:
    data = raw(case)  # type: ignore[arg-type]  # hypothesis types its samples loosely
    place = int(at * len(data))
    explain(data[:place] + junk + data[place + cut :], ALL)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=st.binary(max_size=500), header=st.text(max_size=60))
def test_any_notification_is_answered(body: bytes, header: str) -> None:
    names = ("Wechatpay-Signature", "Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial")
    explain_notification(dict.fromkeys(names, header), body, ALL, 0)
    explain_notification({}, body, ALL, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{" * 100_000, b"<xml>" * 50_000, b"\x00" * 300_000, "汉".encode() * 100_000, b"&signature=" * 20_000,
        b'{"a":' * 20_000, b"POST / HTTP/1.1\r\n" * 5_000, b"<a></a>" * 30_000, b"a=" * 60_000, b"%" * 100_000,
    ],
    ids=range(11),
)  # fmt: skip
def test_a_huge_input_takes_seconds_at_most(data: bytes) -> None:
    started = time.process_time()
    explain(data, ALL)
    assert time.process_time() - started < 10


def test_beginnings_without_an_end_are_read_in_one_pass() -> None:
    started = time.thread_time()
    read_fields("<xml>" + "<a><![CDATA[" * 5_000 + "</xml>")
    assert time.thread_time() - started < 0.8


def test_nothing_at_all_is_not_recognised() -> None:
    assert explain(b"good morning", ALL).verdict is Verdict.UNRECOGNISED
