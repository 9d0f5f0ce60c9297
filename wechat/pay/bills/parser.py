"""Parse WeChat Pay's bills: text tables in yuan, whose columns are found by the names in the header, never by position.

A bill is a UTF-8 file with a byte order mark, CRLF, a header, one line an entry with a back-tick before each value, and
a summary header with its values. ALL, SUCCESS and REFUND bills differ in their columns, and so do those of merchants
from before 2018 (24 columns). Amounts are converted to whole fen digit by digit, without a float. Lines are read one by
one, so a bill of any length needs the memory of one line, and no line may be longer than ``MAX_LINE``.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4013071227 (trade bill), .../4013071235 (fund flow bill).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from wechat.domain.errors import Bilingual, RemoteError
from wechat.domain.money import parse_yuan
from wechat.domain.times import from_v2_datetime

T = TypeVar("T")
R = TypeVar("R")
Row = Mapping[str, str]
Reader = Callable[[list[str]], T]
"""Converts the cells of a row into an entry; raises ValueError."""

MAX_LINE = 16 * 1024  # characters; WeChat's widest columns add up to a tenth of that
REMEMBERED = 16_384
"""Parsed values of each kind that are cached, because prices are repeated, and so is the time of the previous line."""
MOST_UNREAD = 100
"""Lines of a bill that may be unreadable; a bill with more of them is refused."""
_ROW_STARTS = re.compile(r"`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,`", re.ASCII)
TEXTS = ("公众账号ID", "商户号", "微信订单号", "商户订单号", "用户标识", "交易类型", "交易状态", "货币种类")
REFUND_TEXTS = ("微信退款单号", "商户退款单号", "退款状态")
"""Columns of a trade bill that are no amounts, in the order of ``TradeLine``; those of REFUND_TEXTS may be missing."""


@lru_cache(maxsize=REMEMBERED)
def _read_price(text: str) -> int:
    """Parse a paid amount, in fen. Raises ValueError, also for a negative one; refunds and fees may have a sign."""
    amount = parse_yuan(text)
    if amount < 0:
        raise ValueError("a negative price")
    return amount


_read_yuan = lru_cache(maxsize=REMEMBERED)(parse_yuan)
_read_fee = lru_cache(maxsize=REMEMBERED)(partial(parse_yuan, places=5))
_read_time = lru_cache(maxsize=REMEMBERED)(from_v2_datetime)
MOST = 2**63 - 1
"""The largest sum of all columns, each in its own unit: the largest integer of the databases."""


OLD_NAMES = {
    "总金额": "订单金额",
    "总交易额": "订单总金额",
    "总退款金额": "退款总金额",
}
"""Columns of bills for merchants from before 2018, by their present names."""

HALF_WIDTH = str.maketrans("（）", "()")
"""v2's fund flow bills write 收支金额（元）where v3's write 收支金额(元)."""


class BillKind(StrEnum):
    """Trade bills, by v3's names, and the three accounts of fund flow bills."""

    ALL = "ALL"
    SUCCESS = "SUCCESS"
    REFUND = "REFUND"
    BASIC = "BASIC"
    OPERATION = "OPERATION"
    FEES = "FEES"

    @property
    def flow(self) -> bool:
        return self in (BillKind.BASIC, BillKind.OPERATION, BillKind.FEES)


class BillBroken(RemoteError):
    """A bill that cannot be trusted. ``line`` is the first wrong line (1 is the header, 0 the file itself)."""

    code = "BILL_BROKEN"
    text = Bilingual("账单文件校验失败，请重新下载", "The bill cannot be read; download it again")

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__("bill", wire_message=f"{reason}, line {line}")
        self.reason = reason
        self.line = line


class TradeLine(NamedTuple):
    """A payment or refund on a trade bill; amounts in fen, ``fee_e5`` in 1/100,000 yuan as WeChat prints it.

    ``total`` is the price (订单金额), ``settled`` the part that the merchant receives (应结订单金额); the difference is
    coupons. ``refund`` and ``settled_refund`` (申请退款金额, 退款金额) are the same for a refund; on a payment line
    they are 0 and the refund numbers empty.
    """

    time: datetime
    appid: str
    mchid: str
    transaction_id: str
    out_trade_no: str
    openid: str
    trade_type: str
    trade_state: str
    currency: str
    total: int
    settled: int
    refund_id: str
    out_refund_no: str
    refund: int
    settled_refund: int
    refund_status: str
    fee_e5: int

    @property
    def is_refund(self) -> bool:
        return self.trade_state == "REFUND"

    @property
    def is_reversal(self) -> bool:
        """Whether the line reverses a payment at a till. It is an additional line with the payment's numbers.

        Source: https://pay.weixin.qq.com/docs/merchant/products/bill-download/format-trade.html (支付成功后撤销的交易).
        """
        return self.trade_state == "REVOKED"


class FlowLine(NamedTuple):
    """A change of the merchant's balance; ``amount`` in fen, positive for incoming money."""

    time: datetime
    transaction_id: str
    flow_id: str
    business: str
    amount: int
    balance: int
    voucher: str


@dataclass(frozen=True, slots=True)
class TradeSummary:
    """WeChat's sums of the lines, in fen, and their ``count``. WeChat rounds the sum of fees to the fen."""

    count: int
    total: int
    refund: int
    fee_e5: int


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a downloaded bill. Raises BillBroken for invalid UTF-8 or a line over ``MAX_LINE``."""
    number = 0
    with path.open(encoding="utf-8", newline="") as file:
        try:
            while line := file.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise BillBroken("width", number)
                yield line
        except UnicodeDecodeError:
            raise BillBroken("encoding", number + 1) from None


def trade_lines(
    lines: Iterable[str], summaries: list[TradeSummary] | None = None, unread: list[BillBroken] | None = None
) -> Iterator[TradeLine]:
    """Yield the entries of a trade bill. Its summary is checked against them and appended to ``summaries``.

    With ``unread``, the error of an unreadable line is appended there and the line is skipped; the summary must count
    the line, and its sums must not be less than those of the other lines. Without ``unread``, the error is raised.

    Raises BillBroken: no header or one in another language, a line of another width, a malformed amount or date, a
    negative price, more than ``MOST``, a summary that is missing or does not add up.
    """
    table = _Table(lines, unread)
    count = total = refund = bulk = 0
    for line in table.entries(_trade_reader, "交易时间", "总交易单数"):
        count, total, refund = count + 1, total + line.total, refund + line.refund
        bulk += line.total + line.settled + abs(line.refund) + abs(line.settled_refund) + abs(line.fee_e5)
        yield line
    if bulk > MOST:
        raise BillBroken("value", table.number)
    summary = table.read(_trade_summary, table.summary())
    table.end()
    left = (summary.total - total, summary.refund - refund)
    if summary.count != count + table.unread or min(left) < 0 or (any(left) and not table.unread):
        raise BillBroken("summary", table.number)
    if summaries is not None:
        summaries.append(summary)


def flow_lines(lines: Iterable[str], unread: list[BillBroken] | None = None) -> Iterator[FlowLine]:
    """Yield the entries of a fund flow bill, whose summary must have their number; ``unread`` as in ``trade_lines``.

    Raises BillBroken.
    """
    table = _Table(lines, unread)
    count = 0
    for line in table.entries(_flow_reader, "记账时间", "资金流水总笔数"):
        count += 1
        yield line
    counted = table.read(lambda row: _count(row["资金流水总笔数"]), table.summary())
    table.end()
    if counted != count + table.unread:
        raise BillBroken("summary", table.number)


class _Table:
    """The rows of a bill by the names of its header, and the current line number for errors."""

    def __init__(self, lines: Iterable[str], unread: list[BillBroken] | None = None) -> None:
        self._lines = iter(lines)
        self._unread = unread
        self._held: str | None = None
        self._count = 0
        self.number = 0
        self._summary_names: list[str] = []

    @property
    def unread(self) -> int:
        """The number of unreadable lines."""
        return len(self._unread or ())

    def entries(self, columns: Callable[[Sequence[str]], Reader[T]], first: str, summary_starts: str) -> Iterator[T]:
        """Yield the entries up to the summary's header. ``columns`` builds the reader from the names of the columns."""
        names = self._names(self._next())
        if first not in names:
            raise BillBroken(f"heading {names[0][:40]!r} instead of {first}", self.number)
        reader, width = self.read(columns, names), len(names)
        for text in self._rows(width, summary_starts):
            try:
                entry = self.read(reader, self._cells(text, width))
            except BillBroken as error:
                if self._unread is None or error.reason not in ("value", "width") or self.unread >= MOST_UNREAD:
                    raise
                self._unread.append(error)
            else:
                yield entry

    def _rows(self, width: int, summary_starts: str) -> Iterator[str]:
        """Yield each row up to the summary's header.

        A row continues on the next line until it has all its cells, because merchants' texts may contain line breaks;
        it ends where another row begins.
        """
        while not (text := self._next()).startswith(summary_starts):
            starts_at = self.number
            while text.count(",`") < width - 1 and len(text) <= MAX_LINE:
                more = self._next()
                if more.startswith(summary_starts) or _ROW_STARTS.match(more):
                    self._put_back(more)
                    break
                text = f"{text}\n{more}"
            self.number = starts_at
            yield text
        self._summary_names = self._names(text)

    def summary(self) -> Row:
        names = self._summary_names
        return dict(zip(names, self._cells(self._next(), len(names)), strict=True))

    def end(self) -> None:
        """Raise BillBroken if anything follows the summary."""
        if any(text.strip() for text in self._lines):
            raise BillBroken("trailing", self.number + 1)

    def read(self, make: Callable[[R], T], value: R) -> T:
        """Return ``make(value)``; its errors are raised as BillBroken with the line number."""
        try:
            return make(value)
        except KeyError as error:
            raise BillBroken(f"column {error.args[0]}", self.number) from None
        except ValueError:
            raise BillBroken("value", self.number) from None

    def _next(self) -> str:
        self._count += 1
        self.number = self._count
        if self._held is not None:
            text, self._held = self._held, None
            return text
        for text in self._lines:
            return text.rstrip("\r\n").removeprefix("\ufeff")
        raise BillBroken("truncated", self.number)

    def _put_back(self, text: str) -> None:
        """Make ``text`` the next line again."""
        self._held = text
        self._count -= 1

    @staticmethod
    def _names(text: str) -> list[str]:
        names = text.translate(HALF_WIDTH).split(",")
        return [OLD_NAMES.get(name, name) for name in names]

    def _cells(self, text: str, width: int) -> list[str]:
        # A comma in merchant text arrives as "\ ", so only a real boundary is a comma and a back-tick.
        cells = text.removeprefix("`").split(",`")
        if len(cells) != width or not text.startswith("`"):
            raise BillBroken("width", self.number)
        return cells


def _trade_reader(names: Sequence[str]) -> Reader[TradeLine]:
    """Build a reader for lines with these columns. Raises KeyError for a missing column that is required."""
    at = {name: place for place, name in enumerate(names)}
    blank = len(names)
    total_at = at["订单金额"]
    refund_at, asked_at = at.get("退款金额", blank), at.get("申请退款金额", blank)
    texts = itemgetter(*[at[name] for name in TEXTS], *[at.get(name, blank) for name in REFUND_TEXTS])
    amounts = itemgetter(total_at, at.get("应结订单金额", total_at), asked_at, refund_at, at["手续费"], at["交易时间"])

    def read(cells: list[str]) -> TradeLine:
        cells.append("")  # the value of every missing column
        *own, refund_id, out_refund_no, status = texts(cells)
        total, settled, asked, refunded, fee, time = amounts(cells)
        refund = _read_yuan(asked or refunded or "0")
        return TradeLine._make(
            (
                _read_time(time),
                *own,
                _read_price(total),
                _read_price(settled),
                "" if refund_id == "0" else refund_id,  # payment lines print 0 there
                "" if out_refund_no == "0" else out_refund_no,
                refund,
                refund if refund_at == blank else _read_yuan(refunded),
                status,
                _read_fee(fee),
            )
        )

    return read


def _trade_summary(row: Row) -> TradeSummary:
    return TradeSummary(
        count=_count(row["总交易单数"]),
        total=parse_yuan(row["订单总金额"]),
        refund=parse_yuan(row.get("申请退款总金额") or row.get("退款总金额") or "0"),
        fee_e5=parse_yuan(row["手续费总金额"], places=5),
    )


def _flow_reader(names: Sequence[str]) -> Reader[FlowLine]:
    """Build a reader, as ``_trade_reader`` does."""

    def read(cells: list[str]) -> FlowLine:
        row = dict(zip(names, cells, strict=True))
        amount = _read_yuan(row["收支金额(元)"])
        return FlowLine(
            time=_read_time(row["记账时间"]),
            transaction_id=row["微信支付业务单号"],
            flow_id=row["资金流水单号"],
            business=row["业务类型"],
            amount=amount if row["收支类型"] == "收入" else -amount,
            balance=parse_yuan(row["账户结余(元)"]),
            voucher=row["业务凭证号"],
        )

    return read


def _count(text: str) -> int:
    """Parse a number of lines, which WeChat prints as ``45.0``. Raises ValueError."""
    return parse_yuan(text, places=0)
