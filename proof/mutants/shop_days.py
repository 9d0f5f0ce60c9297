"""Mutants that fail on days of an ordinary shop: coupons, a merchant number shared by several systems, refunds in
WeChat's console, refused credentials, new certificates."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

SHOP_DAYS = (
    Mutant(
        "the price of an order counts as what reaches the wallet",
        "wechat/pay/bills/parser.py",
        'at.get("应结订单金额", total_at)',
        "total_at",
    ),
    Mutant(
        "another system's sales are looked for here",
        "wechat/reconciliation/reconciler.py",
        "return any(pattern.fullmatch(out_trade_no) for pattern in self._foreign)",
        "return False",
    ),
    Mutant(
        "an order whose close WeChat refuses is closed here",
        "wechat/orders/service.py",
        "            if error.public_code not in (ORDER_CLOSED, ORDER_NOT_EXIST):\n                raise\n",
        "",
    ),
    Mutant(
        "a serial is looked up without its first zeros",
        "wechat/pay/certificates.py",
        "platform_key = platform_key or self._certificates.get(same_form(serial))",
        'platform_key = platform_key or self._certificates.get(serial.lstrip("0"))',
    ),
    Mutant(
        "a new order is checked for the first time after two minutes",
        "wechat/orders/drafts.py",
        "FIRST_CHECK = timedelta(seconds=30)",
        "FIRST_CHECK = timedelta(seconds=120)",
    ),
    Mutant(
        "a token that took the place of a bad one is kept though it is bad as well",
        "wechat/account/tokens.py",
        "            return await self._ask_with(await self.access_token(), ask)\n",
        "            return await ask(await self.access_token())\n",
    ),
    Mutant(
        "somebody is alarmed when WeChat has a new key",
        "wechat/reconciliation/worker.py",
        '    if isinstance(error, RemoteError) and error.unverified == "unknown_serial":\n        return True\n',
        "",
    ),
)
