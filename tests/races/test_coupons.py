"""Coupons through everything the service does with a payment: told, queried, refunded, billed, reconciled."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.http.client import Response
from tests.races.cluster import Cluster, Order, crowd, until

CASH = [{"kind": "CASH", "amount": 500}]
FREE = [{"kind": "NOCASH", "amount": 301}]
WHOLE = [{"kind": "NOCASH", "amount": 1800}]
COUPONS: tuple[list[dict[str, Any]], ...] = (CASH, FREE, CASH + FREE, WHOLE, [])
FREE_OF_THE_DAY = 2 * (301 + 301 + 1800)


@pytest.mark.parametrize("scenario", ["success", "lost_notification"])
async def test_e12_payments_with_coupons_agree_to_the_fen_from_the_notification_to_the_books(
    cluster: Cluster, scenario: str
) -> None:
    """Each kind of coupon over each API, told by a notification or found by a query; half of it is refunded."""
    day = await cluster.new_day()
    orders = await cluster.sold(2 * len(COUPONS))
    coupons = [each for each in COUPONS for _ in range(2)]
    await crowd([pay(cluster, order, used, scenario) for order, used in zip(orders, coupons, strict=True)])
    if scenario == "lost_notification":
        await cluster.advance(seconds=40)  # the first query comes after half a minute
    stored = await cluster.until_all(orders, "SUCCESS")
    assert [order["payer_total"] for order in stored] == [1800 - sum(c["amount"] for c in used) for used in coupons]
    assert {order["total"] for order in stored} == {1800}
    refunds = await crowd([cluster.refund(order, 700) for order in orders])
    await until_refunded(cluster, refunds)
    assert (await cluster.refund(orders[0], 1101)).code == "NOT_REFUNDABLE"
    await cluster.move_to(day + timedelta(days=1), 10, 6)
    result = await cluster.reconciled(day)
    truth, ledger = await cluster.wechat("GET", f"books/{day}"), (await cluster.ask("GET", f"/api/ledger/{day}")).json()
    assert result["found"] == {}
    for name in ("payments", "received", "refunds", "refunded"):
        assert result["ours"][name] == result["wechat"][name] == ledger[name] == truth[name]
    for name in ("settled", "settled_refunded", "fee", "net"):
        assert result["wechat"][name] == ledger[name] == truth[name]
    assert ledger["received"] - ledger["settled"] == FREE_OF_THE_DAY
    assert ledger["debit"] == ledger["credit"]


async def pay(cluster: Cluster, order: Order, coupons: list[dict[str, Any]], scenario: str) -> None:
    payload = await cluster.wechat("POST", "bridge", {**order["pay"], "scenario": scenario, "coupons": coupons})
    assert payload["err_msg"] == "get_brand_wcpay_request:ok"


async def until_refunded(cluster: Cluster, refunds: list[Response]) -> None:
    """Once WeChat has ended them, and that is known here."""
    await cluster.advance(seconds=5)
    await crowd([until(partial(succeeded, cluster, payload.json()["out_refund_no"])) for payload in refunds])


async def succeeded(cluster: Cluster, out_refund_no: str) -> bool:
    return bool((await cluster.ask("GET", f"/api/refunds/{out_refund_no}")).json()["state"] == "SUCCESS")
