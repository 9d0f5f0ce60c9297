"""Serial numbers of certificates, by which WeChat Pay names keys.

A serial is a number. WeChat writes the hexadecimal of its bytes, two digits each; other programs write it in lower case
or without leading zeros, so serials are compared as numbers. ``PUB_KEY_ID_…`` names the WeChat Pay public key and is a
text.
"""

from __future__ import annotations

import re

_HEX = re.compile(r"[0-9A-Fa-f]{1,64}", re.ASCII)


def serial_text(number: int) -> str:
    """Format ``number`` in WeChat's form: upper case, two digits a byte, leading zero included."""
    digits = f"{number:X}"
    return digits.zfill(len(digits) + len(digits) % 2)


def same_form(serial: str) -> str:
    """Return the normal form of ``serial``: equal serials have equal normal forms."""
    return serial_text(int(serial, 16)) if _HEX.fullmatch(serial) else serial
