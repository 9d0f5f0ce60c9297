"""Request bodies that are not valid JSON."""

from __future__ import annotations

BAD_JSON = [
    b"", b" ", b"[]", b"null", b'"x"', b"1", b"true", b"NaN", b"{", b"{}x", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}',
    b'{"a":1,"a":2}', b'{"a":{"b":1,"b":2}}', b"{'a':1}", b'{"a":01}', b"[" * 5000, b"[" * 100_000, b'{"a":' * 100_000,
    b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\x00"}', b'{"a":"\n"}', b"\xff\xfe{}", b'{"a":"\xff"}', b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-le"), '{"a":1}'.encode("utf-32"), b"a=1", b"<xml/>",
]  # fmt: skip
