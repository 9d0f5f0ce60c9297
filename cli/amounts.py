"""Parse typed amounts and counts: digits alone are fen, a decimal point means yuan, anything else is refused."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cli.output import words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual

FEN = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
YUAN = re.compile(r"(0|[1-9][0-9]{0,6})(?:\.([0-9]{1,2}))?", re.ASCII)


AmountInFen = Annotated[
    str | None,
    typer.Option("--amount", metavar="FEN", help=words("金额，单位：分，500 表示 ¥5.00", "in fen: 500 is ¥5.00")),
]
AmountInYuan = Annotated[
    str | None,
    typer.Option("--yuan", metavar="YUAN", help=words("或者金额，单位：元，如 5.00", "or in yuan, such as 5.00")),
]
FundsAccount = Annotated[
    str | None,
    typer.Option(
        "--funds",
        help=words(
            "旧资金流商户的退款资金来源：AVAILABLE 可用余额 | UNSETTLED 未结算资金",
            "source of a refund for merchants with the old fund flow: AVAILABLE | UNSETTLED",
        ),
    ),
]


def parse_amount(fen: str | None, yuan: str | None) -> int:
    """Return the amount of exactly one of ``--amount`` (fen) and ``--yuan``, in fen. Raises Problem for
    anything else."""
    if (fen is None) is (yuan is None):
        raise _wrong(
            "用 --amount 500（分）或 --yuan 5.00（元）给出金额，二者选一",
            "Give the amount with either --amount 500 (fen) or --yuan 5.00",
        )
    if fen is not None:
        if not FEN.fullmatch(fen):
            raise _wrong(
                f"--amount 的单位是分，只写数字：500 表示 ¥5.00；按元写用 --yuan。收到的是 {fen!r}",
                f"--amount is in fen, digits only: 500 is ¥5.00. For yuan, use --yuan. Got {fen!r}",
            )
        return int(fen)
    return _from_yuan(str(yuan))


def _from_yuan(text: str) -> int:
    found = YUAN.fullmatch(text)
    fen = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else 0
    if not fen:
        raise _wrong(
            f"--yuan 写作 5 或 5.00，最多两位小数，大于 0。收到的是 {text!r}",
            f"--yuan takes an amount above 0 with at most two decimals, such as 5 or 5.00. Got {text!r}",
        )
    return fen


def _wrong(zh: str, en: str) -> Problem:
    return Problem(Exit.USAGE, "BAD_AMOUNT", Bilingual(zh, en))
