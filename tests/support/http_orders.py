"""Place and pay orders over HTTP."""

from __future__ import annotations

from typing import Any

from tests.http.client import Shop


async def pay(shop: Shop, order: dict[str, Any], scenario: str = "lost_notification") -> dict[str, str]:
    """Pay the order in the simulated WeChat browser."""
    body = {**order["pay"], "url": f"{shop.url}/pay/{order['out_trade_no']}", "scenario": scenario}
    return shop.simulator.control("POST", "bridge", body)
