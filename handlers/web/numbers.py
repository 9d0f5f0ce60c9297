"""Patterns of order and refund numbers in a path. Each character may be percent-encoded: most clients send ``|`` as
``%7C``."""

from __future__ import annotations


def _number(also: str, row_4: str, most: int) -> str:
    """Return the pattern of 6 to ``most`` characters: letters, digits, ``_-|*`` and ``also``, whose code is in
    ``row_4``."""
    encoded = rf"2[AaDd]|3\d|4[{row_4}A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaCc]"
    return rf"((?:[0-9A-Za-z_\-|*{also}]|%(?:{encoded})){{6,{most}}})"


NUMBER = _number("", "1-9", 32)
"""A merchant order number (out_trade_no)."""

REFUND_NUMBER = _number("@", "0-9", 64)
"""A merchant refund number (out_refund_no), which may hold ``@`` as well."""

REFUSED_ID = r"([a-z0-9_]{1,32}-[0-9]{2}-[0-9a-f]{8})"
"""The id of a refused notification."""
