"""The beginning of a receiver's answer that refuses an event, so that a developer sees the reason.

Whoever controls the receiver controls the text. Reading is limited in bytes and in time, and the result is plain text
that a database can store.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from wechat.domain.deliveries import Answer

MOST_LETTERS = 1000
MOST_BYTES = 4 * MOST_LETTERS
"""The most that ``MOST_LETTERS`` can take in UTF-8 and in GB 18030."""
MOST_OF_TYPE = 100
WAIT_S = 2.0
CHINESE = frozenset({"gb2312", "gbk", "gb18030"})
"""Charsets that GB 18030 contains. Any other text is read as UTF-8."""
SIGNATURE = re.compile(r"v1,[^\s\"'<>]{8,}")


async def read_answer(headers: Mapping[str, str], read: Callable[[int], Awaitable[bytes]]) -> Answer | None:
    """Read the beginning of the body with ``read``, which returns at most as many bytes as it is asked for; None if
    nothing comes in time. Must not raise: the attempt's result is the status, whatever happens to the body."""
    raw = bytearray()
    with suppress(Exception):
        async with asyncio.timeout(WAIT_S):
            while len(raw) < MOST_BYTES and (part := await read(MOST_BYTES - len(raw))):
                raw += part
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return None  # compressed, although we do not accept that
    content_type = headers.get("Content-Type", "")
    text = plain_text(bytes(raw), content_type)
    return Answer(text, clean(content_type)[:MOST_OF_TYPE]) if text else None


def plain_text(raw: bytes, content_type: str) -> str:
    """Decode ``raw`` and return its first ``MOST_LETTERS``. A receiver may repeat the headers that it got: signatures
    are cut out."""
    charset = re.search(r"charset=[\"']?([\w-]+)", content_type, re.ASCII | re.IGNORECASE)
    chinese = charset is not None and charset[1].lower() in CHINESE
    text = clean(raw.decode("gb18030" if chinese else "utf-8", errors="replace"))
    return SIGNATURE.sub("v1,…", text)[:MOST_LETTERS]


def clean(text: str) -> str:
    """Return ``text`` without control characters, surrogates and invisible ones; line feeds stay, other white space
    becomes spaces."""
    kept = []
    for letter in text.replace("\r\n", "\n"):
        if letter == "\n" or letter.isprintable():
            kept.append(letter)
        elif letter.isspace():
            kept.append(" ")
    return "".join(kept).strip()
