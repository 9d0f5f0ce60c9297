"""WeChat's OAuth answers."""

from __future__ import annotations

THEIRS = [
    "", "//evil.com", "///evil.com", "////evil.com", "/\\evil.com", "\\\\evil.com", "\\/evil.com", "/%5cevil.com", "/%2fevil.com",
    "/%2F%2Fevil.com", "/\t/evil.com", "/\n/evil.com", "/\r/evil.com", "/ /evil.com", " //evil.com", "\t//evil.com", "https:evil.com",
    "https://evil.com", "http://evil.com", "HTTPS://evil.com", "https:/evil.com", "https:///evil.com", "good@evil.com", "/@evil.com",
    "good.evil.com", "evil.com", "javascript:alert(1)", "/javascript:alert(1)", "data:text/html,x", "/\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:a=b",
    "／／evil.com", "/／evil.com", "/。evil.com", "/..//evil.com", "/a//evil.com", "/?next=//evil.com", "/?a=https://evil.com", "/#//evil.com",
    "/\x00", "/\u202e", "/;//evil.com", "/" + "a" * 600, "?next=/", "/\ud800",
]  # fmt: skip
