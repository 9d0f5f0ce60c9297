"""WeChat Pay's bill calls: v2's downloads, and v3's announcement with the download it leads to.

v2's refusals are unsigned XML in place of the file. v3 announces a file with its SHA-1; the download is a signed
request, its answer is not signed.
Sources: https://pay.weixin.qq.com/doc/v2/merchant/4011939598, .../4011940230 (fund flow: client certificate,
HMAC-SHA256 only), https://pay.weixin.qq.com/doc/v3/merchant/4013071227, .../4013071235, .../4013071238.
"""

from __future__ import annotations

import gzip
import hashlib
from abc import abstractmethod
from datetime import date
from typing import Any

from simulator.bills.days import BillMissing, NoBill, read_day
from simulator.bills.lines import TradeKind
from simulator.web.base import Reply
from simulator.wechatpay.authorization import BAD_FORMAT
from simulator.wechatpay.fields import V2_COMMON, Field, check_value
from simulator.wechatpay.v2 import BusinessRefusal, CommunicationError, V2Request
from simulator.wechatpay.v2_refunds import without_certificate
from simulator.wechatpay.v3 import V3Handler
from simulator.wechatpay.v3_errors import V3Refusal
from simulator.wechatpay.xml import write_xml
from wechat.pay.signing import SignType

V2_BILL = (
    *V2_COMMON,
    Field("bill_date", "对账单日期", size=8, required=True, pattern=r"^\d{8}$"),
    Field("bill_type", "账单类型", size=16, choices=(*TradeKind, "RECHARGE_REFUND")),
    Field("tar_type", "压缩账单", size=8, choices=("GZIP",)),
)
V2_FLOW = (
    *V2_COMMON,
    Field("bill_date", "资金账单日期", size=8, required=True, pattern=r"^\d{8}$"),
    Field("account_type", "资金账户类型", size=16, required=True, choices=("Basic", "Operation", "Fees")),
    Field("tar_type", "压缩账单", size=8, choices=("GZIP",)),
)
V3_DATE = Field("bill_date", "账单日期", size=10, required=True, pattern=r"^\d{4}-\d{2}-\d{2}$")
V3_TYPE = Field("bill_type", "账单类型", size=32, choices=tuple(TradeKind))
V3_ACCOUNT = Field("account_type", "资金账户类型", size=32, choices=("BASIC", "OPERATION", "FEES"))
V3_ZIP = Field("tar_type", "压缩类型", size=32, choices=("GZIP",))
BILL_WORDS = {
    NoBill.NOT_OVER: "invalid parameter",
    NoBill.CREATING: "Bill Creating",
    NoBill.EMPTY: "No Bill Exist",
    NoBill.TOO_OLD: "invalid parameter",
}
FLOW_CODES = {
    NoBill.NOT_OVER: "PARAM_ERROR",
    NoBill.CREATING: "BILL_CREATING",
    NoBill.EMPTY: "NO_BILL_EXIST",
    NoBill.TOO_OLD: "PARAM_ERROR",
}
V3_WORDS = {
    NoBill.NOT_OVER: ("INVALID_REQUEST", "账单日期不能是今天及以后的日期"),
    NoBill.CREATING: ("STATEMENT_CREATING", "账单生成中"),
    NoBill.EMPTY: ("NO_STATEMENT_EXIST", "请求的账单文件不存在"),
    NoBill.TOO_OLD: ("INVALID_REQUEST", "只能下载三个月内的账单"),
}
GZIP = b"\x1f\x8b"  # how a gzip file begins
NO_BILL_CODE = "20002"  # the only error_code that is known


class DownloadBill(V2Request):
    """POST /pay/downloadbill."""

    table = V2_BILL

    async def work(self) -> Reply:
        try:
            return self.file(self.admit())
        except (CommunicationError, BusinessRefusal) as refused:
            return self.refusal(refused.words, "")
        except BillMissing as missing:
            return self.missing(missing.why)

    def file(self, fields: dict[str, str]) -> Reply:
        """Return the file. Raises BillMissing, CommunicationError."""
        if fields.get("bill_type") == "RECHARGE_REFUND":
            raise BillMissing(NoBill.EMPTY)
        kind = TradeKind(fields.get("bill_type") or TradeKind.ALL)
        file = self.simulator.bills.trade(_v2_day(fields), kind)
        return Reply(200, _compress(file, fields.get("tar_type")), _content(fields.get("tar_type")))

    def missing(self, why: NoBill) -> Reply:
        return self.refusal(BILL_WORDS[why], NO_BILL_CODE if why is NoBill.EMPTY else "")

    def refusal(self, code: str, message: str) -> Reply:
        """Return the refusal with ``return_msg``; ``message`` is the error_code, if there is one."""
        fields = {
            "return_code": "FAIL",
            "return_msg": "SIGN ERROR" if code == "签名错误" else code,
            "error_code": message,
        }
        return Reply(200, write_xml({name: value for name, value in fields.items() if value}), "text/plain")

    def system_error(self) -> Reply:
        return self.refusal("SYSTEMERROR", "")


class DownloadFundFlow(DownloadBill):
    """POST /pay/downloadfundflow. Only the basic account has movements here."""

    table = V2_FLOW

    async def work(self) -> Reply:
        return without_certificate(self) or await super().work()

    def file(self, fields: dict[str, str]) -> Reply:
        if self.kind is not SignType.HMAC_SHA256:
            raise CommunicationError("签名错误")
        if fields["account_type"] != "Basic":
            raise BillMissing(NoBill.EMPTY)
        file = self.simulator.bills.flow(_v2_day(fields))
        headers = {"Digest": f"SHA={_sha1(file)}"}
        return Reply(200, _compress(file, fields.get("tar_type")), _content(fields.get("tar_type")), headers)

    def missing(self, why: NoBill) -> Reply:
        fields = {
            "return_code": "SUCCESS",
            "result_code": "FAIL",
            "err_code": FLOW_CODES[why],
            "err_code_des": why.value,
        }
        return Reply(200, write_xml(fields), "text/plain")


class _Announcement(V3Handler):
    """Make a file, and announce its download address with its SHA-1."""

    verb = "GET"
    unsigned_words = BAD_FORMAT

    def business(self, body: dict[str, Any]) -> dict[str, Any]:
        day = self._day(self.read_query(V3_DATE))
        zipped = self.read_query(V3_ZIP)
        try:
            file = self.file(day)
        except BillMissing as missing:
            raise V3Refusal(*V3_WORDS[missing.why]) from None
        token = self.simulator.bills.offer(_compress(file, zipped))
        address = f"{self.origin()}/v3/billdownload/file?token={token}"
        return {"hash_type": "SHA1", "hash_value": _sha1(file), "download_url": address}

    @abstractmethod
    def file(self, day: date) -> bytes:
        """Return the file. Raises BillMissing."""

    def read_query(self, field: Field) -> str:
        """Return a query parameter, empty if it is missing. Raises FieldError."""
        value = self.get_query_argument(field.path, None)
        check_value(field, field.path, value, "query")
        return value or ""

    @staticmethod
    def _day(text: str) -> date:
        try:
            return read_day(text)
        except ValueError:
            raise V3Refusal("PARAM_ERROR", "账单日期格式错误", {"location": "query", "value": text}) from None


class TradeBill(_Announcement):
    """GET /v3/bill/tradebill."""

    def file(self, day: date) -> bytes:
        return self.simulator.bills.trade(day, TradeKind(self.read_query(V3_TYPE) or TradeKind.ALL))


class FundFlowBill(_Announcement):
    """GET /v3/bill/fundflowbill. Only the basic account has movements here."""

    def file(self, day: date) -> bytes:
        if self.read_query(V3_ACCOUNT) not in ("", "BASIC"):
            raise BillMissing(NoBill.EMPTY)
        return self.simulator.bills.flow(day)


class BillFile(V3Handler):
    """GET /v3/billdownload/file?token=."""

    verb = "GET"
    unsigned_words = BAD_FORMAT

    async def work(self) -> Reply:
        answer = await super().work()
        if answer.status != 200:
            return answer
        return Reply(200, self._file, _content("GZIP" if self._file.startswith(GZIP) else ""))

    def business(self, body: dict[str, Any]) -> dict[str, Any]:
        file = self.simulator.bills.download(self.get_query_argument("token", ""))
        if file is None:
            raise V3Refusal("INVALID_REQUEST", "下载地址已失效，请重新申请账单")
        self._file = file
        return {"size": len(file)}


def _v2_day(fields: dict[str, str]) -> date:
    try:
        text = fields["bill_date"]
        return read_day(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    except ValueError:
        raise CommunicationError("data format error") from None


def _compress(file: bytes, tar_type: str | None) -> bytes:
    return gzip.compress(file, 6) if tar_type == "GZIP" else file


def _content(tar_type: str | None) -> str:
    return "application/x-gzip" if tar_type == "GZIP" else "text/plain"


def _sha1(file: bytes) -> str:
    return hashlib.sha1(file, usedforsecurity=False).hexdigest()
