"""Check that a process sends no refund twice without a query in between. The query's answer decides whether the refund
may be sent again: it shows a refund that the first request made, although its answer was lost."""

from __future__ import annotations

import re
from collections.abc import Callable

from wechat.support.transport import Request

QUERIES = frozenset({"refund_query", "refundquery"})
NUMBER = re.compile(r"(?:out_refund_no\W+(?:CDATA\W+)?|/refunds/)([0-9A-Za-z_-]+)")


class RefundSends:
    """The refunds that one process has sent and not queried since. ``report`` is called with each violation."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._sent: set[str] = set()

    def note(self, request: Request) -> None:
        """Note a request that has left the process."""
        if request.call in QUERIES:
            self._sent.discard(_number_in(request))
        elif request.call == "refund":
            number = _number_in(request)
            if number in self._sent:
                self._report(f"refund {number} was sent again without a query")
            self._sent.add(number)


def _number_in(request: Request) -> str:
    """Return the out_refund_no in a request's path or body; empty in a query by another number."""
    named = NUMBER.search(f"{request.target} {request.body.decode()}")
    return named.group(1) if named else ""
