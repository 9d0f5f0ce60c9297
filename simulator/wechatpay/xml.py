"""Write v2's XML as WeChat does: texts in CDATA sections, numbers without, a line break between the elements.

As seen in merchants' logs (borball/weixin-sdk issue 38, silenceper/wechat issue 654, binarywang/WxJava issue 521).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

_AMOUNT = re.compile(r".*(_fee|_count)(_\d+)*", re.ASCII)


def write_xml(fields: Mapping[str, str], root: str = "xml") -> bytes:
    """Return ``fields`` under ``root`` in UTF-8."""
    inside = "\n".join(f"<{name}>{_content(name, value)}</{name}>" for name, value in fields.items())
    return f"<{root}>{inside}</{root}>".encode()


def _content(name: str, value: str) -> str:
    if _AMOUNT.fullmatch(name) and value.isascii() and value.isdigit():
        return value
    if "\r" in value:  # a CDATA section cannot hold one: parsers make a line feed of it
        return html.escape(value, quote=False).replace("\r", "&#13;")
    return f"<![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]>"
