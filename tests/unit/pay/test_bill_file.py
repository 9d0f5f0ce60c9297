"""A download on its way to disk: whole and checked, or not there at all."""

from __future__ import annotations

import gzip
import hashlib
import resource
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from wechat.pay.bills.file import BillSink, receiving
from wechat.pay.bills.parser import BillBroken

TEXT = "\ufeff交易时间\r\n".encode() * 1000


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def take(path: Path, data: bytes, size: int = 65536, most: int = 10**7) -> BillSink:
    with receiving(path, most) as sink:
        for piece in pieces(data, size):
            sink.write(piece)
        sink.finish()
    return sink


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("sent", [TEXT, gzip.compress(TEXT), gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])])
def test_plain_and_zipped_downloads_become_the_same_file(tmp_path: Path, sent: bytes, size: int) -> None:
    path = tmp_path / "new" / "bill.csv"
    sink = take(path, sent, size)
    assert path.read_bytes() == TEXT
    assert (sink.size, sink.sha1) == (len(TEXT), hashlib.sha1(TEXT, usedforsecurity=False).hexdigest())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "truncated"),
        (gzip.compress(TEXT)[:-9], "truncated"),
        (gzip.compress(TEXT)[:-8] + b"\0" * 8, "gzip"),
        (gzip.compress(TEXT)[:40] + b"garbage" * 9, "gzip"),
        (gzip.compress(TEXT) + b"garbage", "gzip"),
        (b"x" * 10_000_001, "size"),
        (b"<" + b"x" * 70_000, "size"),
    ],
    ids=["nothing", "cut", "wrong sum", "garbage within", "garbage after", "too much", "too much of an error"],
)
def test_what_is_wrong_leaves_nothing_behind(tmp_path: Path, sent: bytes, reason: str) -> None:
    with pytest.raises(BillBroken) as caught:
        take(tmp_path / "bill.csv", sent)
    assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_is_stopped_at_the_cap_in_little_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    assert len(bomb) < 2 << 20  # a megabyte that would unpack to a gigabyte
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BillBroken, match="size"):
        take(tmp_path / "bill.csv", bomb, most=64 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000
    assert list(tmp_path.iterdir()) == []


def test_an_xml_refusal_is_no_file(tmp_path: Path) -> None:
    sink = take(tmp_path / "bill.csv", b"<xml><return_code>FAIL</return_code></xml>", 5)
    assert sink.refusal == b"<xml><return_code>FAIL</return_code></xml>"
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    take(path, TEXT)
    with pytest.raises(BillBroken):
        take(path, gzip.compress(b"another")[:-9])
    assert path.read_bytes() == TEXT
