"""What the pages say, in Chinese and in English side by side: a sentence in one language only cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from wechat.domain.errors import Text

TEXTS: Mapping[str, Text] = {
    # every page
    "in_memory": Text(
        "订单只存在内存里，进程一停就没有了", "Orders are kept in memory only and are gone when the process ends"
    ),
    "ribbon": Text("模拟环境 · 不会动用真钱", "Simulation · no real money moves"),
    "no_script": Text("付款需要启用 JavaScript。", "Paying needs JavaScript."),
    "back_to_shop": Text("返回商店", "Back to the shop"),
    # the shop
    "shop_hint": Text("选一样，用微信付款", "Pick one and pay with WeChat"),
    "products": Text("商品", "Products"),
    "quantity": Text("数量", "Quantity"),
    "less": Text("减少一件", "One less"),
    "more": Text("增加一件", "One more"),
    "sum": Text("合计", "Total"),
    "wechat_pay": Text("微信支付", "WeChat Pay"),
    "sold_out": Text("店里暂时没有商品", "There is nothing to buy right now"),
    # the cashier
    "cashier": Text("收银台", "Cashier"),
    "to_pay": Text("待支付", "To pay"),
    "product": Text("商品", "Product"),
    "out_trade_no": Text("订单号", "Order"),
    "transaction_id": Text("微信支付单号", "WeChat Pay number"),
    "paid_at": Text("支付时间", "Paid at"),
    "beijing_time": Text("北京时间", "Beijing time"),
    "time_left": Text("剩余付款时间", "Time left to pay"),
    "confirming": Text("正在确认…", "Confirming…"),
    "confirming_hint": Text(
        "正在向微信支付核对，请不要重复付款", "Checking with WeChat Pay; please do not pay a second time"
    ),
    "unsure": Text("还没有收到结果", "No result yet"),
    "unsure_hint": Text(
        "如果您已付款，钱不会丢：结果到了这里就会显示。请稍后查看，不要重复付款。",
        "If you have paid, the money is safe and this page will say so. Look again later; do not pay a second time.",
    ),
    "look_again": Text("再查一次", "Look again"),
    "outside": Text("请在微信中打开", "Open this page in WeChat"),
    "outside_hint": Text(
        "这里不是微信的浏览器，无法调起微信支付。把本页链接发到微信里，再从微信打开。",
        "WeChat Pay starts only in WeChat's own browser. Send yourself this page's link in WeChat and open it there.",
    ),
    "by_wx": Text("用 wx.chooseWXPay 支付", "Pay by wx.chooseWXPay"),
    "by_bridge": Text("用 WeixinJSBridge 支付", "Pay by WeixinJSBridge"),
    "wechat_said": Text("微信的原话：", "WeChat's own words: "),
    # where an order has come to rest
    "paid": Text("支付成功", "Paid"),
    "refund": Text("已支付，有退款", "Paid, with a refund"),
    "paid_late": Text("付款已收到，但订单已关闭", "Your payment arrived after the order was closed"),
    "paid_late_hint": Text(
        "钱已到商家账上，这笔订单不会发货。请联系商家退款或补单，并出示订单号。",
        "The shop has your money and this order will not be fulfilled. Show the shop this order number to be refunded "
        "or served.",
    ),
    "closed": Text("订单已关闭", "This order is closed"),
    "closed_hint": Text(
        "没有扣款。需要的话请重新下单。", "Nothing was charged. Place a new order if you still want it."
    ),
    "expired": Text("订单已过期", "This order has expired"),
    "expired_hint": Text(
        "付款时间已过，请重新下单。如果您刚刚付过款，请稍等，本页会自动核对。",
        "The time to pay is over; place a new order. If you paid just now, wait a moment: this page checks by itself.",
    ),
    # errors
    "request_id": Text("请求编号", "Request"),
    "error_code": Text("错误码", "Code"),
    "todo_missing": Text("请检查网址，或回到商店重新开始。", "Check the address, or start again from the shop."),
    "todo_wait": Text("请稍等片刻，然后刷新本页。", "Wait a moment, then reload this page."),
    "todo_tell": Text(
        "如果一直这样，请把下面的请求编号告诉商家。", "If it persists, tell the shop the request number below."
    ),
}

SCRIPT_TEXTS: Mapping[str, Text] = {
    "network": Text("网络不通，请检查后重试", "No connection; check it and try again"),
    "no_session": Text(
        "没有得到登录状态。请允许本站使用 Cookie 后重试", "You could not be signed in. Allow cookies here and try again"
    ),
    "placing": Text("正在下单…", "Placing your order…"),
    "starting": Text("正在调起微信支付…", "Starting WeChat Pay…"),
    "cancelled": Text("已取消，订单还在，可以继续支付", "Cancelled. The order is kept and can still be paid"),
    "unfinished": Text("微信没有完成这次支付", "WeChat did not complete the payment"),
    "try_again": Text("订单还在，可以再试一次。", "The order is kept; you can try again."),
    "silent": Text("微信没有回应", "WeChat did not answer"),
}
"""What scripts say by themselves; a page hands them over as data."""


class Refusal(NamedTuple):
    """Words of WeChat's (``said`` is contained in them), what they mean, and who can do what about it."""

    said: str
    means: Text
    cure: Text


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "验证签名失败",
        Text("微信没有认可这次支付的签名", "WeChat did not accept the signature of this payment"),
        Text(
            "请再试一次。一直这样时请商家检查：密钥与接口版本是否对应，签名后参数有没有被改动。",
            "Try again. If it persists, the shop should check that its key belongs to the API version in use, and that "
            "nothing changes the parameters after they were signed.",
        ),
    ),
    Refusal(
        "URL未注册",
        Text(
            "这个页面不在商户登记的支付目录里", "This page is not in a payment directory that the shop has registered"
        ),
        Text(
            "请商家在商户平台的「支付授权目录」登记本页所在目录，以 / 结尾。",
            "The shop should register this page's directory, ending in /, as 支付授权目录 in the merchant console.",
        ),
    ),
    Refusal(
        "total_fee",
        Text("这次支付的凭据已失效", "The credentials of this payment are no longer valid"),
        Text(
            "请再试一次，或重新下单。商家注意：prepay_id 为空、过期，或属于另一个 appid 时，微信都会这样说。",
            "Try again, or place a new order. For the shop: WeChat says this when the prepay_id is empty, expired or "
            "of another appid.",
        ),
    ),
    Refusal(
        "缺少参数",
        Text("支付参数不完整", "The payment's parameters are incomplete"),
        Text("请再试一次；一直这样时请联系商家。", "Try again; if it persists, contact the shop."),
    ),
    Refusal(
        "支付账号不一致",
        Text("下单和付款的不是同一个微信号", "The order was placed by another WeChat account"),
        Text("请用下单的微信号付款，或重新下单。", "Pay with the account that placed the order, or place a new one."),
    ),
    Refusal(
        "已支付",
        Text("这笔订单已经付过了", "This order has been paid already"),
        Text("请不要再付。结果马上就会显示在这里。", "Do not pay again. The result will be shown here in a moment."),
    ),
    Refusal(
        "已关闭",
        Text("这笔订单已经关闭", "This order is closed"),
        Text("请重新下单。", "Place a new order."),
    ),
    Refusal(
        "过期",
        Text("这笔订单已经过期", "This order has expired"),
        Text("请重新下单。", "Place a new order."),
    ),
    Refusal(
        "余额不足",
        Text("余额不足", "The balance is not enough"),
        Text("请充值或换一种付款方式，再试一次。", "Top up or choose another way to pay, then try again."),
    ),
    Refusal(
        "invalid signature",
        Text("微信没有认可这个页面的签名", "WeChat did not accept the signature of this page"),
        Text(
            "请从微信重新打开本页。一直这样时请商家检查：签名用的网址与浏览器里的是否完全一致。",
            "Open the page again from WeChat. If it persists, the shop should check that the address it signs is "
            "exactly the one in the browser.",
        ),
    ),
    Refusal(
        "invalid url domain",
        Text("这个域名没有登记为 JS 安全域名", "This domain is not registered as a JS-safe domain"),
        Text(
            "请商家在公众平台的「JS接口安全域名」登记本站域名。",
            "The shop should register this site's domain as JS接口安全域名 in the Official Account console.",
        ),
    ),
    Refusal(
        "permission",
        Text("这个页面没有调起支付的权限", "This page has no permission to start a payment"),
        Text(
            "请从微信重新打开本页。一直这样时请商家检查公众号的接口权限与支付目录。",
            "Open the page again from WeChat. If it persists, the shop should check its account's permissions and its "
            "payment directories.",
        ),
    ),
)
"""Tried in this order: the particular before the general."""


def texts(lang: str) -> Callable[[str], str]:
    """A page's ``t``: the sentence of a key in ``lang``. Raises KeyError for a key that does not exist."""
    return lambda key: TEXTS[key].to(lang)


def script_texts(lang: str) -> dict[str, str]:
    """``SCRIPT_TEXTS`` in one language."""
    return {key: text.to(lang) for key, text in SCRIPT_TEXTS.items()}


def refusals(lang: str) -> list[dict[str, str]]:
    """``REFUSALS`` in one language."""
    return [{"said": entry.said, "means": entry.means.to(lang), "cure": entry.cure.to(lang)} for entry in REFUSALS]
