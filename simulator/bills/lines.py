"""The lines of WeChat's bills and the files they make: names, formats and sums as WeChat writes them.

A file is UTF-8 with a byte order mark and CRLF; before each value stands a back-tick, amounts are yuan, and a comma in
a merchant's text is a backslash and a blank.
Sources: https://pay.weixin.qq.com/doc/v3/merchant/4013071246 (交易账单), .../4013071249 (资金账单). The page has a
shorter summary for SUCCESS bills; files that were really downloaded have all seven sums, a count without decimals and
the fee with five (WxJava's WxPayBillResultTest, other SDKs' samples, developers.weixin.qq.com's page on cloud run).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from simulator.state.clock import moment
from simulator.state.wallet import RATE, Movement
from simulator.wechatpay.payloads import BANK
from wechat.domain.money import yuan
from wechat.domain.times import to_v2_datetime

REFUND_STATUSES = {"SUCCESS": "SUCCESS", "PROCESSING": "PROCESSING", "CLOSED": "FAIL", "ABNORMAL": "CHANGE"}
_START = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额"
)
_REFUND = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态"
_END = "商品名称,商户数据包,手续费,费率,订单金额"
SUMS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"


class TradeKind(StrEnum):
    ALL = "ALL"
    SUCCESS = "SUCCESS"
    REFUND = "REFUND"


HEADERS = {
    TradeKind.ALL: f"{_START},{_REFUND},{_END},申请退款金额,费率备注",
    TradeKind.SUCCESS: f"{_START},{_END},费率备注",
    TradeKind.REFUND: f"{_START},退款申请时间,退款成功时间,{_REFUND},{_END},申请退款金额,费率备注",
}
FLOW_HEADER = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,"
    "业务凭证号"
)
FLOW_SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


@dataclass(frozen=True, slots=True)
class Line:
    """A payment, or a refund if ``refund_id`` is set. Amounts in fen; ``fee`` is negative if some was returned.

    Of the price ``total``, ``coupons`` is the amount paid by coupons and ``settled`` the merchant's; of ``refund``,
    ``settled_refund`` is the part without free coupons and ``prepaid_refund`` the part refunded to prepaid ones.
    """

    at_s: float
    appid: str
    mchid: str
    device_info: str
    transaction_id: str
    out_trade_no: str
    openid: str
    trade_type: str
    trade_state: str
    description: str
    attach: str
    fee: int
    total: int = 0
    coupons: int = 0
    settled: int = 0
    refund_id: str = ""
    out_refund_no: str = ""
    refund: int = 0
    settled_refund: int = 0
    prepaid_refund: int = 0
    refund_status: str = ""
    refunded_s: float | None = None

    @property
    def is_refund(self) -> bool:
        return bool(self.refund_id)


def trade_file(lines: Sequence[Line], kind: TradeKind) -> bytes:
    """Return the file of a trade bill; ``lines`` are those that its kind lists."""
    names = HEADERS[kind].split(",")
    return _file(HEADERS[kind], (_pick(_cells(line), names) for line in lines), SUMS, _sums(lines))


def flow_file(movements: Sequence[Movement]) -> bytes:
    """Return the file of a fund flow bill."""
    came = [movement.amount for movement in movements if movement.amount > 0]
    went = [-movement.amount for movement in movements if movement.amount < 0]
    sums = {
        "资金流水总笔数": f"{len(movements)}.0",
        "收入笔数": f"{len(came)}.0",
        "收入金额": yuan(sum(came)),
        "支出笔数": f"{len(went)}.0",
        "支出金额": yuan(sum(went)),
    }
    return _file(FLOW_HEADER, map(_flow_cells, movements), FLOW_SUMS, sums)


def _file(header: str, rows: Iterable[Sequence[str]], summary: str, sums: Mapping[str, str]) -> bytes:
    lines = [f"\ufeff{header}", *map(_row, rows), summary, _row(_pick(sums, summary.split(",")))]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _row(cells: Iterable[str]) -> str:
    return "`" + ",`".join(cells)


def _pick(cells: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [cells[name] for name in names]


def _cells(line: Line) -> dict[str, str]:
    """Return the columns of all kinds of trade bills."""
    refund = line.is_refund
    return {
        "交易时间": to_v2_datetime(moment(line.at_s)),
        "公众账号ID": line.appid,
        "商户号": line.mchid,
        "特约商户号": "0",
        "设备号": _escape(line.device_info),
        "微信订单号": line.transaction_id,
        "商户订单号": line.out_trade_no,
        "用户标识": line.openid,
        "交易类型": line.trade_type,
        "交易状态": line.trade_state,
        "付款银行": BANK,
        "货币种类": "CNY",
        "应结订单金额": yuan(line.settled),
        "代金券金额": yuan(line.coupons),
        "退款申请时间": to_v2_datetime(moment(line.at_s)),
        "退款成功时间": to_v2_datetime(moment(line.refunded_s)) if line.refunded_s else "",
        "微信退款单号": line.refund_id or "0",
        "商户退款单号": line.out_refund_no or "0",
        "退款金额": yuan(line.settled_refund),
        "充值券退款金额": yuan(line.prepaid_refund),
        "退款类型": "ORIGINAL" if refund else "",
        "退款状态": line.refund_status,
        "商品名称": _escape(line.description),
        "商户数据包": _escape(line.attach),
        "手续费": yuan(line.fee, 5),
        "费率": RATE,
        "订单金额": yuan(line.total),
        "申请退款金额": yuan(line.refund),
        "费率备注": "",
    }


def _sums(lines: Sequence[Line]) -> dict[str, str]:
    return {
        "总交易单数": str(len(lines)),
        "应结订单总金额": yuan(sum(line.settled for line in lines)),
        "退款总金额": yuan(sum(line.settled_refund for line in lines)),
        "充值券退款总金额": yuan(sum(line.prepaid_refund for line in lines)),
        "手续费总金额": yuan(sum(line.fee for line in lines), 5),
        "订单总金额": yuan(sum(line.total for line in lines)),
        "申请退款总金额": yuan(sum(line.refund for line in lines)),
    }


def _flow_cells(movement: Movement) -> list[str]:
    return [
        to_v2_datetime(moment(movement.wall_s)),
        movement.business_id,
        movement.flow_id,
        movement.kind,
        movement.kind,
        "收入" if movement.amount > 0 else "支出",
        yuan(abs(movement.amount)),
        yuan(movement.balance),
        "system",
        _escape(movement.remark),
        movement.voucher,
    ]


def _escape(text: str) -> str:
    return text.replace("\r", "").replace("\n", "\\n").replace(",", "\\ ")
