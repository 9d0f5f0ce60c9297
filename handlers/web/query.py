"""Parse query arguments: choices, order numbers, and a refusal of unknown or repeated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.orders import OUT_TRADE_NO

MAX_FIELD = 64
"""Maximum letters of an argument's name that an error shows."""
E = TypeVar("E", bound=StrEnum)


def refuse_unread(arguments: Mapping[str, Sequence[bytes]], allowed: Sequence[str]) -> None:
    """Raise BadRequest for an argument that is not ``allowed``, or that is given twice."""
    unknown = [name for name in arguments if name not in allowed]
    if unknown:
        zh, en = "、".join(allowed) or "无", ", ".join(allowed) or "none"
        text = Bilingual(
            f"有未知的查询参数；可用的参数：{zh}（值里的 & 要写成 %26）",
            f"There is a query argument that is not known here; known are: {en} (write & within a value as %26)",
        )
        raise BadRequest(text, code="UNKNOWN_ARGUMENT", field=unknown[0][:MAX_FIELD])
    repeated = next((name for name, values in arguments.items() if len(values) > 1), "")
    if repeated:
        text = Bilingual(
            f"查询参数 {repeated} 出现了多次（值里的 & 要写成 %26）",
            f"The query argument {repeated} is given more than once (write & within a value as %26)",
        )
        raise BadRequest(text, code="REPEATED_ARGUMENT", field=repeated)


def read_choice(choices: type[E], value: str, field: str) -> E:
    """Return the member of ``choices`` whose value is ``value``. Raises BadRequest, which lists them."""
    if value not in list(choices):
        names = ", ".join(choices)
        raise BadRequest(Bilingual(f"{field} 可取 {names}", f"{field} is one of {names}"), field=field)
    return choices(value)


def read_out_trade_no(value: str, field: str) -> str:
    """Return ``value``, a merchant order number or empty. Raises BadRequest."""
    if value and not OUT_TRADE_NO.fullmatch(value):
        raise BadRequest(Bilingual(f"{field} 格式不正确", f"{field} has an invalid format"), field=field)
    return value
