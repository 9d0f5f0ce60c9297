"""The check of refunds that are sent: a query comes before a second sending."""

from __future__ import annotations

import pytest

from proof.checks.refund_sends import RefundSends
from wechat.domain.facts import Api
from wechat.support.transport import Request

SENDS = {
    Api.V2: Request("refund", "POST", "/secapi/pay/refund", b"<out_refund_no><![CDATA[r-1]]></out_refund_no>"),
    Api.V3: Request("refund", "POST", "/v3/refund/domestic/refunds", b'{"out_refund_no":"r-1","reason":"x"}'),
}
QUERIES = {
    Api.V2: Request("refundquery", "POST", "/pay/refundquery", b"<out_refund_no><![CDATA[r-1]]></out_refund_no>"),
    Api.V3: Request("refund_query", "GET", "/v3/refund/domestic/refunds/r-1", b""),
}
OTHER = Request("refund", "POST", "/v3/refund/domestic/refunds", b'{"out_refund_no":"r-2"}')


def wrong(*requests: Request) -> list[str]:
    """Return what is wrong with the requests of one process."""
    found: list[str] = []
    sends = RefundSends(found.append)
    for request in requests:
        sends.note(request)
    return found


@pytest.mark.parametrize("api", list(Api))
def test_a_refund_that_is_sent_twice_in_a_row_is_wrong(api: Api) -> None:
    assert wrong(SENDS[api], SENDS[api]) == ["refund r-1 was sent again without a query"]


@pytest.mark.parametrize("api", list(Api))
def test_a_query_in_between_makes_it_right(api: Api) -> None:
    assert not wrong(SENDS[api], QUERIES[api], SENDS[api])
    assert not wrong(SENDS[api], OTHER)
