"""Bills in WeChat's own format, to parse, to serve and to reconcile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from wechat.domain.times import BEIJING

APPID = "wxsim0123456789"
MCHID = "sim1900000109"
HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,"
    "订单金额,申请退款金额,费率备注"
)
SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FLOW_HEADER = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
FLOW_SUMMARY = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill; a refund if ``out_refund_no`` is set. Amounts in fen, the fee in 1/100,000 yuan.

    The line of a reversed payment has ``trade_state`` REVOKED and the returned amount in ``refund``.
    """

    out_trade_no: str
    transaction_id: str
    total: int
    at: datetime
    out_refund_no: str = ""
    refund: int = 0
    refund_status: str = "SUCCESS"
    trade_state: str = "SUCCESS"
    coupon: int = 0
    fee_e5: int = 0

    def text(self, mchid: str) -> str:
        refunded = bool(self.out_refund_no)
        total, refund = (0, self.refund) if refunded else (self.total, self.refund)
        coupon = 0 if refunded else self.coupon
        cells = (
            self.at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            *(APPID, mchid, "0", "", self.transaction_id, self.out_trade_no, "openid", "JSAPI"),
            "REFUND" if refunded else self.trade_state,
            *("OTHERS", "CNY", yuan(total - coupon), yuan(coupon)),
            *((f"50{self.out_refund_no[-20:]}", self.out_refund_no) if refunded else ("0", "0")),
            *(yuan(refund), "0.00"),
            *(("ORIGINAL", self.refund_status) if refunded else ("", "")),
            *("拿铁\\ 大杯", "", yuan(self.fee_e5, 5), "0.60%", yuan(total), yuan(refund), ""),
        )
        return "`" + ",`".join(cells)


def trade_bill(lines: Iterable[Line], mchid: str = MCHID) -> Iterator[str]:
    """Return the lines of a trade bill, ending in CRLF."""
    count = total = settled = refund = fee_e5 = 0
    yield f"\ufeff{HEADER}\r\n"
    for line in lines:
        count, fee_e5 = count + 1, fee_e5 + line.fee_e5
        refund += line.refund
        if not line.out_refund_no:
            total, settled = total + line.total, settled + line.total - line.coupon
        yield f"{line.text(mchid)}\r\n"
    sums = (f"{count}.0", yuan(settled), yuan(refund), "0.0", yuan(fee_e5, 5)[:-3], yuan(total), yuan(refund))
    yield f"{SUMMARY}\r\n"
    yield "`" + ",`".join(sums) + "\r\n"


def trade_file(lines: Iterable[Line], mchid: str = MCHID) -> bytes:
    return "".join(trade_bill(lines, mchid)).encode()


def flow_file(amounts: Iterable[int]) -> bytes:
    """Return a fund flow bill with these movements, in fen."""
    rows, balance = [f"\ufeff{FLOW_HEADER}"], 0
    amounts = list(amounts)
    for number, amount in enumerate(amounts):
        balance += amount
        kind = ("交易", "交易", "收入") if amount > 0 else ("退款", "退款", "支出")
        cells = ("2026-03-01 04:21:23", f"42{number}", f"19{number}", *kind, yuan(abs(amount)), yuan(balance))
        rows.append("`" + ",`".join((*cells, "system", "缺省", f"voucher-{number}")))
    came, went = [a for a in amounts if a > 0], [-a for a in amounts if a < 0]
    sums = (f"{len(amounts)}.0", f"{len(came)}.0", yuan(sum(came)), f"{len(went)}.0", yuan(sum(went)))
    return "".join(f"{row}\r\n" for row in (*rows, FLOW_SUMMARY, "`" + ",`".join(sums))).encode()


def yuan(amount: int, places: int = 2) -> str:
    sign, digits = "-" if amount < 0 else "", str(abs(amount)).zfill(places + 1)
    return f"{sign}{digits[:-places]}.{digits[-places:]}"
