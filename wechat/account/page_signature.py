"""Compute the JS-SDK signature that a page gives to ``wx.config``. Pure functions; the caller supplies the
jsapi_ticket.

Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html, appendix 1.
"""

from __future__ import annotations

import hashlib


def signature(ticket: str, noncestr: str, timestamp: str, url: str) -> str:
    """Compute the SHA-1 in hex of the four raw values, not URL-encoded. ``url`` must have no fragment."""
    text = f"jsapi_ticket={ticket}&noncestr={noncestr}&timestamp={timestamp}&url={url}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def page_url(url: str) -> str:
    """Return the part of the browser's address that WeChat signs: everything before ``#``."""
    return url.partition("#")[0]
