"""Serial numbers of certificates, which WeChat Pay names keys by.

A serial is a number. It is written as the hexadecimal of its bytes, two digits each; others write it in lower case or
without its first zeros, so two are compared as numbers. ``PUB_KEY_ID_…`` names the WeChat Pay public key and is a text.
"""

from __future__ import annotations

import re

_HEX = re.compile(r"[0-9A-Fa-f]{1,64}", re.ASCII)


def serial_text(number: int) -> str:
    """``number`` as WeChat writes it: upper case, two digits a byte, so a first zero stays."""
    digits = f"{number:X}"
    return digits.zfill(len(digits) + len(digits) % 2)


def same_form(serial: str) -> str:
    """``serial`` in the one form in which equal serials are equal texts."""
    return serial_text(int(serial, 16)) if _HEX.fullmatch(serial) else serial
