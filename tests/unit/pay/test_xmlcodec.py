"""v2's parser takes one flat level of text and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat.domain.errors import Malformed
from wechat.pay.v2.xmlcodec import MAX_BYTES, build, parse

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=40
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that must never hear from us."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        yield server


@given(st.dictionaries(NAMES, TEXTS, max_size=20))
def test_what_is_built_parses_to_the_same_fields(fields: dict[str, str]) -> None:
    assert parse(build(fields)) == fields


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(body: bytes) -> None:
    try:
        parse(body)
    except Malformed:
        return


@given(st.binary(max_size=60), st.integers(0, 80))
def test_a_spliced_message_parses_or_is_malformed(junk: bytes, at: int) -> None:
    body = b"<xml><a><![CDATA[1]]></a><total_fee>100</total_fee><sign>x</sign></xml>"
    try:
        parse(body[:at] + junk + body[at:])
    except Malformed:
        return


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("<a>1</a>", "1"),
        ("<a><![CDATA[1]]></a>", "1"),
        ("<a></a>", ""),
        ("<a/>", ""),
        ("<a><![CDATA[]]></a>", ""),
        ("<a> 1 </a>", " 1 "),
        ("<a>x&amp;y=z+1</a>", "x&y=z+1"),
        ("<a><![CDATA[x&y=z+1]]></a>", "x&y=z+1"),
        ("<a><![CDATA[<b>]]></a>", "<b>"),
        ("<a><![CDATA[x]]]]><![CDATA[>y]]></a>", "x]]>y"),
        ("<a>é咖啡☕️👨‍👩‍👧</a>", "é咖啡☕️👨‍👩‍👧"),
        ("<a>&#20013;&#x6587;</a>", "中文"),
        ("<a>&lt;&gt;&quot;&apos;</a>", "<>\"'"),
        ("\n <a>1</a>\n", "1"),
    ],
)
def test_a_value_arrives_exactly_as_written(written: str, value: str) -> None:
    assert parse(f"<xml>{written}</xml>".encode()) == {"a": value}


def test_a_declaration_of_utf8_is_taken() -> None:
    assert parse(b'<?xml version="1.0" encoding="UTF-8"?>\n<xml><a>1</a></xml>') == {"a": "1"}


DOCTYPE = "<!DOCTYPE xml [<!ENTITY e {what}>]><xml><total_fee>&e;</total_fee></xml>"


@pytest.mark.parametrize(
    "what",
    [
        'SYSTEM "file:///etc/hostname"',
        'SYSTEM "http://127.0.0.1:{port}/"',
        'SYSTEM "ftp://127.0.0.1:{port}/x"',
        'SYSTEM "jar:http://127.0.0.1:{port}/x!/y"',
        'SYSTEM "expect://id"',
        'PUBLIC "x" "http://127.0.0.1:{port}/"',
        '"SUCCESS"',
    ],
)
def test_an_entity_is_refused_and_nobody_is_called(what: str, listener: socket.socket) -> None:
    port = str(listener.getsockname()[1])
    with pytest.raises(Malformed):
        parse(DOCTYPE.replace("{what}", what.replace("{port}", port)).encode())
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE xml SYSTEM "http://127.0.0.1:{port}/x.dtd"><xml><a>1</a></xml>',
        '<!DOCTYPE xml [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/">%p;]><xml><a>1</a></xml>',
        '<xml xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="http://127.0.0.1:{port}/"/></xml>',
    ],
)
def test_no_other_way_leads_out_either(body: str, listener: socket.socket) -> None:
    with pytest.raises(Malformed):
        parse(body.replace("{port}", str(listener.getsockname()[1])).encode())
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"])
@pytest.mark.parametrize("body", ["<!DOCTYPE xml><xml><a>1</a></xml>", DOCTYPE.replace("{what}", '"SUCCESS"')])
def test_a_doctype_is_refused_however_it_is_encoded(body: str, encoding: str) -> None:
    with pytest.raises(Malformed):
        parse(body.encode(encoding))


@pytest.mark.alone
@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % (c, *[c - 1] * 9) for c in range(98, 107))
        + b"]><xml><a>&j;</a></xml>",
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50_000 + b'">]><xml><a>' + b"&a;" * 3000 + b"</a></xml>",
        b"<xml>" + b"<a>" * 9 + b"1" + b"</a>" * 9 + b"</xml>",
        b"<xml>" + b"<a>" * 250 + b"</a>" * 250 + b"</xml>",
        b"<a>" * 20_000,
    ],
    ids=["billion laughs", "quadratic", "nine deep", "250 deep", "20000 deep"],
)
def test_a_bomb_is_refused_at_once(body: bytes) -> None:
    took_s = []
    for _ in range(5):  # a busy machine may stop one try, a bomb slows them all
        started = time.perf_counter()
        with pytest.raises(Malformed):
            parse(body)
        took_s.append(time.perf_counter() - started)
    assert min(took_s) < 0.05


@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0" encoding="gb2312"?><xml><a>1</a></xml>',
        b'<?xml version="1.0" encoding="UTF-7"?><xml><a>1</a></xml>',
        b'<?xml version="1.0" encoding="latin-1"?><xml><a>1</a></xml>',
        "<xml><a>1</a></xml>".encode("utf-8-sig"),
        "<xml><a>1</a></xml>".encode("utf-16"),
        "<xml><a>1</a></xml>".encode("utf-16-le"),
        "<xml><a>1</a></xml>".encode("utf-32-be"),
        b"<xml><a>1\x00</a></xml>",
        b"<xml><a>\xff\xfe</a></xml>",
        b"<xml><a>\xc3(</a></xml>",
        b"<xml><a>&#xD800;</a></xml>",
        b"<xml><a>&#1;</a></xml>",
        b"<xml><a>\x01</a></xml>",
    ],
)
def test_an_encoding_that_lies_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b"<xml><total_fee>1<!-- -->00</total_fee></xml>",
        b"<xml><total_fee>1<?x y?>00</total_fee></xml>",
        b"<xml><total_fee>1<b/>00</total_fee></xml>",
        b"<xml><!-- --><a>1</a></xml>",
        b"<xml><?x y?><a>1</a></xml>",
        b"<!-- --><xml><a>1</a></xml>",
        b"<?x y?><xml><a>1</a></xml>",
        b"<xml><a>1</a></xml><!-- -->",
        b'<xml><a b="c">1</a></xml>',
        b'<xml b="c"><a>1</a></xml>',
        b'<xml xmlns="urn:x"><a>1</a></xml>',
        b'<xml xmlns:n="urn:x"><n:a>1</n:a></xml>',
        b'<xml><a xmlns="urn:x">1</a></xml>',
        b"<xml><a>1</a><a>2</a></xml>",
        b"<xml><a>1</a>text<b>2</b></xml>",
        b"<xml>text<a>1</a></xml>",
        b"<XML><a>1</a></XML>",
        b"<root><a>1</a></root>",
        "<xml><咖啡>1</咖啡></xml>".encode(),
        b"<xml><a-b>1</a-b></xml>",
        b"<xml><" + b"a" * 65 + b">1</" + b"a" * 65 + b"></xml>",
        b"",
        b" ",
        b"xml",
        b"<xml>",
        b"<xml><a>1</xml>",
        b"<xml><a>1</a></xml><xml/>",
        b'{"a":1}',
        b"<xml><a>" + b"x" * MAX_BYTES + b"</a></xml>",
    ],
)
def test_what_is_not_flat_unique_text_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


def test_a_hundred_fields_are_taken() -> None:
    fields = {f"a{i}": str(i) for i in range(2000)}
    assert parse(build(fields)) == fields


def test_an_empty_root_has_no_fields() -> None:
    assert parse(b"<xml/>") == {}


@pytest.mark.parametrize("value", ["\x00", "\x01", "\ud800", "\ufffe"])
def test_what_xml_cannot_hold_is_not_built(value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        build({"a": value})
