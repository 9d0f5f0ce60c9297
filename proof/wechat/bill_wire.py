"""WeChat's bills in the formats of v2 and v3, over a network that interrupts downloads."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from urllib.parse import parse_qs, urlsplit

from proof.faults import Fault, Faults
from proof.wechat.bills import BillFile, Bills
from proof.wechat.payments import Refused
from proof.wechat.protocol_v2 import ProtocolV2, read_xml, write_xml
from proof.wechat.protocol_v3 import ProtocolV3
from wechat.domain.errors import NotSent, OutcomeUnknown
from wechat.support.transport import Answer, Request

HOST = "https://wechat"
QUESTION = "tradebill"
NO_ANSWER_S = 5.0
V2_REFUSALS = {"NO_STATEMENT_EXIST": ("No Bill Exist", "20002"), "STATEMENT_CREATING": ("Bill Creating", "")}

Sink = Callable[[bytes], None]


class BillDesk:
    """Answers requests about bills, in both formats. A v3 file is downloaded by the token that names it."""

    def __init__(self, bills: Bills, v2: ProtocolV2, v3: ProtocolV3) -> None:
        self.bills = bills
        self._v2 = v2
        self._v3 = v3
        self._files: list[BillFile] = []

    def announce(self, request: Request, now: datetime) -> Answer:
        """Return v3's first answer: the file's address and digest."""
        try:
            query = parse_qs(urlsplit(request.target).query)
            file = self.bills.file(date.fromisoformat(query["bill_date"][0]), now)
        except Refused as refused:
            return self._v3.refusal(refused.code)
        self._files.append(file)
        wrong = self.bills.faults.happens(Fault.BILL_WRONG_DIGEST)
        if wrong:
            self.bills.misannounced.append(now)
        announcement = {
            "hash_type": "SHA1",
            "hash_value": "0" * 40 if wrong else hashlib.sha1(file.text, usedforsecurity=False).hexdigest(),
            "download_url": f"{HOST}/v3/billdownload/file?token={len(self._files)}",
        }
        body = json.dumps(announcement).encode()
        return Answer(200, self._v3.sign_answer(request, body, now), body)

    def download(self, request: Request, now: datetime) -> Answer:
        """Return the compressed file, as v2's only and v3's second step; v2 refuses in XML with the status 200."""
        if request.method == "GET":
            token = int(parse_qs(urlsplit(request.target).query)["token"][0])
            return Answer(200, {}, _zip(self._files[token - 1].text))
        fields = read_xml(request.body)
        if not self._v2.has_signature(fields):
            return _refuse("SIGN ERROR", "")
        day = datetime.strptime(fields["bill_date"], "%Y%m%d").date()  # noqa: DTZ007 - a date alone
        try:
            return Answer(200, {}, _zip(self.bills.file(day, now).text))
        except Refused as refused:
            return _refuse(*V2_REFUSALS[refused.code])


class BillDownloads:
    """``Transport.download`` of one process. ``alive`` is an await at which the process may die, then it never ends;
    ``trouble`` records a fault."""

    def __init__(
        self,
        desk: BillDesk,
        faults: Faults,
        now: Callable[[], datetime],
        alive: Callable[[], Awaitable[None]],
        trouble: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._faults = faults
        self._now = now
        self._alive = alive
        self._trouble = trouble

    async def download(self, request: Request, sink: Sink) -> Answer:
        """Download a bill. Raises NotSent and OutcomeUnknown."""
        await self._pause(0.05)
        before = self._faults.first(Fault.WIRE_NOT_SENT, Fault.WIRE_BEFORE, Fault.WIRE_500_BEFORE)
        if before:
            return await self._fail(before, request)
        answer = self._desk.download(request, self._now())
        half = len(answer.body) // 2
        sink(answer.body[:half])
        await self._pause(0.05)
        if self._faults.happens(Fault.BILL_CUT):
            self._trouble(f"{request.call}: {Fault.BILL_CUT}")
            if self._faults.happens(Fault.WIRE_AFTER):
                return Answer(200, {}, b"")  # a body that is cut off looks complete
            raise OutcomeUnknown(request.call)
        sink(answer.body[half:])
        return Answer(answer.status, answer.headers, b"")

    async def _fail(self, fault: Fault, request: Request) -> Answer:
        self._trouble(f"{request.call}: {fault}")
        if fault is Fault.WIRE_NOT_SENT:
            raise NotSent(request.call)
        if fault is Fault.WIRE_500_BEFORE:
            return Answer(500, {}, b"")
        await self._pause(NO_ANSWER_S)
        raise OutcomeUnknown(request.call)

    async def _pause(self, seconds: float) -> None:
        await self._alive()
        await asyncio.sleep(seconds)
        await self._alive()


def _zip(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def _refuse(message: str, code: str) -> Answer:
    return Answer(200, {}, write_xml({"return_code": "FAIL", "return_msg": message, "error_code": code}))
