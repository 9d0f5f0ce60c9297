"""v2's XML: one flat level of text fields under ``<xml>``.

v2 has to parse before it can verify, so the parser accepts only what is needed: UTF-8 without a byte order mark or NUL,
no DOCTYPE, no comment, instruction, attribute, namespace or nesting, each name once. Only ``MAX_BYTES`` bounds the
number of fields, because each coupon of a payment has three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

from wechat.domain.errors import Malformed

MAX_BYTES = 64 * 1024

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def parse(body: bytes, root: str = "xml") -> dict[str, str]:
    """Parse the fields of ``body`` under ``root``; an empty element is an empty string. Raises Malformed."""
    if len(body) > MAX_BYTES:
        raise Malformed("xml_size")
    top = _tree(body)
    if top.tag != root or top.attrib or top.nsmap:
        raise Malformed("xml_root")
    if not _blank(top.text):
        raise Malformed("xml_text")
    fields: dict[str, str] = {}
    for element in top:
        name = _field_name(element)
        if name in fields:
            raise Malformed("xml_duplicate")
        fields[name] = element.text or ""
    return fields


def build(fields: Mapping[str, str], root: str = "xml") -> bytes:
    """Build ``<xml><a>…</a></xml>`` in UTF-8, one line, no declaration. Raises ValueError for invalid characters."""
    inside = "".join([f"<{name}>{_escape(value)}</{name}>" for name, value in fields.items()])
    if _FORBIDDEN.search(inside):
        raise ValueError("XML cannot hold this character")
    return f"<{root}>{inside}</{root}>".encode()


def _escape(value: str) -> str:
    """Escape ``value`` for an element. An unescaped carriage return would be parsed as a line feed."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _tree(body: bytes) -> etree._Element:
    """Parse the document. Forbidden parts are refused before parsing, and afterwards if the parser accepted them."""
    if b"\x00" in body or b"<!DOCTYPE" in body or b"<!ENTITY" in body or body.startswith(b"\xef\xbb\xbf"):
        raise Malformed("xml_forbidden")
    try:
        body.decode("utf-8")
        root = etree.fromstring(body, _PARSER)
    except (UnicodeDecodeError, etree.XMLSyntaxError, ValueError):
        raise Malformed("xml_syntax") from None
    document: Any = root.getroottree().docinfo  # the stubs know half of its attributes
    if document.doctype or (document.encoding or "UTF-8").upper() != "UTF-8":
        raise Malformed("xml_forbidden")
    if root.getprevious() is not None or root.getnext() is not None:
        raise Malformed("xml_forbidden")
    return root


def _field_name(element: etree._Element) -> str:
    """Return the name of a plain element without children or attributes. Raises Malformed for any other."""
    name = element.tag
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Malformed("xml_name")
    if len(element) or element.attrib or element.nsmap or not _blank(element.tail):
        raise Malformed("xml_nested")
    return name


def _blank(text: str | None) -> bool:
    return not text or text.isspace()
