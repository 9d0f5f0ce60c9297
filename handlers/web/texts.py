"""Texts of the payer's pages, each in Chinese and in English; a text cannot be defined in one language only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from wechat.catalogue.catalogue import entries
from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    # every page
    "in_memory": Bilingual(
        "订单仅保存在内存中，进程结束后丢失", "Orders are kept in memory only and are gone when the process ends"
    ),
    "ribbon": Bilingual("模拟环境 · 不涉及真实资金", "Simulation · no real money moves"),
    "no_script": Bilingual("付款需要启用 JavaScript。", "Paying needs JavaScript."),
    "back_to_shop": Bilingual("返回店铺", "Back to the shop"),
    "back_to_console": Bilingual("返回管理后台", "Back to the console"),
    "todo_missing_console": Bilingual(
        "请检查网址，或从管理后台重新进入。", "Check the address, or start again from the console."
    ),
    "landing": Bilingual("演示已就绪", "The demo is ready"),
    "landing_hint": Bilingual("从哪里开始？", "Where would you like to begin?"),
    "door_buyer": Bilingual("我是买家", "I am a buyer"),
    "door_buyer_hint": Bilingual(
        "在示例店铺下单，用模拟的微信付款", "Order in the shop and pay with a simulated WeChat"
    ),
    "door_merchant": Bilingual("我是商户", "I am the merchant"),
    "door_merchant_hint": Bilingual(
        "在管理后台看订单、退款、对账；用户名和密码在启动演示的终端里",
        "See orders, refund, balance a day in the console; user and password are in the terminal of the demo",
    ),
    "door_developer": Bilingual("我是开发者", "I am a developer"),
    "door_developer_hint": Bilingual(
        "查阅接口与部署文档（登录管理后台后）", "Read about the API and the deployment, once logged in to the console"
    ),
    "door_simulator": Bilingual("打开微信模拟器", "Open the WeChat simulator"),
    "as_buyer": Bilingual("这里是买家看到的页面。", "This is what a buyer sees."),
    "as_merchant": Bilingual("我是商户：管理后台", "I am the merchant: console"),
    "as_developer": Bilingual("我是开发者：微信模拟器", "I am a developer: WeChat simulator"),
    "see_in_console": Bilingual("在管理后台查看", "See it in the console"),
    # the shop
    "shop_hint": Bilingual("请选择商品", "Choose a product"),
    "products": Bilingual("商品", "Products"),
    "quantity": Bilingual("数量", "Quantity"),
    "less": Bilingual("减少一件", "One less"),
    "more": Bilingual("增加一件", "One more"),
    "sum": Bilingual("合计", "Total"),
    "wechat_pay": Bilingual("微信支付", "WeChat Pay"),
    "sold_out": Bilingual("店铺暂无商品", "There is nothing to buy right now"),
    # the cashier
    "cashier": Bilingual("收银台", "Cashier"),
    "to_pay": Bilingual("待支付", "To pay"),
    "product": Bilingual("商品", "Product"),
    "out_trade_no": Bilingual("订单号", "Order number"),
    "transaction_id": Bilingual("交易单号", "WeChat Pay transaction"),
    "paid_at": Bilingual("支付时间", "Paid at"),
    "beijing_time": Bilingual("北京时间", "Beijing time"),
    "time_left": Bilingual("剩余支付时间", "Time left to pay"),
    "confirming": Bilingual("正在确认支付结果", "Confirming the payment"),
    "confirming_hint": Bilingual("正在向微信支付查询，请勿重复付款", "Asking WeChat Pay; please do not pay again"),
    "unsure": Bilingual("支付结果确认中", "The result is not known yet"),
    "unsure_hint": Bilingual(
        "请勿重复付款。请稍后点「刷新结果」，或在微信「我 → 服务 → 钱包 → 账单」中查看。",
        "Do not pay again. Tap “Refresh” later, or look in WeChat under Me → Services → Wallet → Transactions.",
    ),
    "look_again": Bilingual("刷新结果", "Refresh"),
    "outside": Bilingual("请在微信中打开", "Open this page in WeChat"),
    "outside_hint": Bilingual(
        "请在微信中打开本页完成支付：复制链接，发送到微信后点击打开。",
        "To pay, open this page in WeChat: copy its link, send it to yourself in WeChat and tap it.",
    ),
    "by_wx": Bilingual("用 wx.chooseWXPay 支付", "Pay by wx.chooseWXPay"),
    "by_bridge": Bilingual("用 WeixinJSBridge 支付", "Pay by WeixinJSBridge"),
    "for_shop": Bilingual("给商家的信息", "For the shop"),
    "wechat_said": Bilingual("错误信息", "Error message"),
    # final pages of an order
    "paid": Bilingual("支付成功", "Paid"),
    "refund": Bilingual("已退款", "Refunded"),
    "paid_late": Bilingual("付款已收到，订单已关闭", "Your payment arrived after the order was closed"),
    "refunded_all": Bilingual("已全额退款", "Refunded in full"),
    "refund_amount": Bilingual("退款金额", "Refund"),
    "refund_done": Bilingual("退款成功", "Refunded"),
    "paid_total": Bilingual("支付金额", "Paid"),
    "refunding": Bilingual("退款处理中", "Refund in progress"),
    "refund_wait_hint": Bilingual(
        "款项正在原路退款，到账以微信支付消息为准。",
        "Your money is being refunded; WeChat Pay tells you when it arrives.",
    ),
    "refunding_hint": Bilingual(
        "订单此前已关闭，商家不会发货。款项正在原路退款，到账以微信支付消息为准。",
        "The order had been closed, so the shop will not deliver. Your money is being refunded.",
    ),
    "paid_late_hint": Bilingual(
        "订单此前已关闭，商家不会发货。请将订单号提供给商家办理退款。",
        "The order had been closed, so the shop will not deliver. Give the shop this order number to be refunded.",
    ),
    "closed": Bilingual("订单已关闭", "This order is closed"),
    "closed_hint": Bilingual(
        "如需购买请重新下单；如已付款，请联系商家并提供订单号。",
        "Place a new order if you still want it. If you have paid, contact the shop with this order number.",
    ),
    "expired": Bilingual("已超过支付时间", "The time to pay is over"),
    "expired_hint": Bilingual(
        "如刚刚完成付款，请勿重新下单，稍后刷新本页查看结果；尚未付款的，请重新下单。",
        "If you have just paid, do not order again: reload this page later. If you have not paid, place a new order.",
    ),
    # errors
    "request_id": Bilingual("请求编号", "Request"),
    "error_code": Bilingual("错误码", "Code"),
    "todo_missing": Bilingual("请检查网址，或返回店铺重新下单。", "Check the address, or start again from the shop."),
    "todo_wait": Bilingual("请稍后刷新本页。", "Reload this page later."),
    "todo_tell": Bilingual(
        "如仍失败，请将下面的请求编号提供给商家。", "If it still fails, give the shop the request number below."
    ),
}

SCRIPT_TEXTS: Mapping[str, Bilingual] = {
    "network": Bilingual("网络连接失败，请检查网络后重试", "No connection. Check the network and try again"),
    "no_session": Bilingual(
        "登录失败，请关闭页面后从微信重新打开",
        "You could not be signed in. Close this page and open it again in WeChat",
    ),
    "quantity_limits": Bilingual("数量应为 1 到 {most} 的整数", "The quantity is a whole number from 1 to {most}"),
    "placing": Bilingual("正在下单…", "Placing your order…"),
    "starting": Bilingual("正在打开微信支付…", "Opening WeChat Pay…"),
    "cancelled": Bilingual("已取消支付，可继续支付本订单", "Cancelled. You can still pay this order"),
    "unfinished": Bilingual("支付未完成", "The payment was not completed"),
    "try_again": Bilingual("可再次点击「微信支付」支付本订单。", "Tap “WeChat Pay” to try this order again."),
    "silent": Bilingual(
        "微信支付未响应；如已付款请勿重复支付", "WeChat Pay did not answer. If you have paid, do not pay again"
    ),
}
"""Texts that scripts show; a page passes them as data."""


class Refusal(NamedTuple):
    """A message of WeChat's browser that contains ``said``: the text for the payer, and the catalogue's entry with the
    checks for the merchant.

    The payer reads nothing about keys, signatures or directories, which only the merchant can correct.
    """

    said: str
    means: Bilingual
    cure: Bilingual
    entry: str = ""

    def tell_merchant(self, lang: str) -> str:
        """Return the catalogue's meaning and next step; empty if the merchant has nothing to do."""
        found = next((entry for entry in entries() if entry.code == self.entry), None)
        if found is None:
            return ""
        end = "。" if lang == "zh" else ". "
        return f"{found.meaning.to(lang)}{end}{found.advice.next_step.to(lang)}"


SHOP_NOT_READY = Bilingual("商家尚未完成支付配置，暂时无法付款", "The shop is not set up for payment yet")
NOT_STARTED = Bilingual("暂时无法发起支付", "The payment cannot be started right now")
TELL_SHOP = Bilingual("请将下面的信息提供给商家。", "Give the shop the message below.")
RETRY_THEN_TELL = Bilingual(
    "请稍后重试；如仍失败，请将下面的信息提供给商家。",
    "Try again later. If it still fails, give the shop the message below.",
)
ORDER_AGAIN = Bilingual("如未付款，请重新下单。", "If you have not paid, place a new order.")

REFUSALS: tuple[Refusal, ...] = (
    Refusal("验证签名失败", NOT_STARTED, RETRY_THEN_TELL, "支付验证签名失败"),
    Refusal("URL未注册", SHOP_NOT_READY, TELL_SHOP, "当前页面的URL未注册"),
    Refusal(
        "total_fee",
        Bilingual("本次支付已失效", "This payment is no longer valid"),
        ORDER_AGAIN,
        "调用支付JSAPI缺少参数：total_fee",
    ),
    Refusal("缺少参数", NOT_STARTED, RETRY_THEN_TELL, "调用支付JSAPI缺少参数"),
    Refusal(
        "支付账号不一致",
        Bilingual("当前微信号不是下单的微信号", "The order was placed with another WeChat account"),
        Bilingual(
            "请用下单的微信号付款，或重新下单。", "Pay with the account that placed the order, or place a new one."
        ),
    ),
    Refusal(
        "已支付",
        Bilingual("本订单已支付", "This order has been paid"),
        Bilingual(
            "请勿重复付款，稍后刷新本页查看结果。", "Do not pay again. Reload this page later to see the result."
        ),
    ),
    Refusal("已关闭", Bilingual("订单已关闭", "This order is closed"), ORDER_AGAIN),
    Refusal("过期", Bilingual("已超过支付时间", "The time to pay is over"), ORDER_AGAIN),
    Refusal(
        "余额不足",
        Bilingual("余额不足", "The balance is not enough"),
        Bilingual("请更换支付方式后重试。", "Choose another way to pay and try again."),
    ),
    Refusal(
        "invalid signature",
        NOT_STARTED,
        Bilingual(
            "请关闭页面后从微信重新打开；如仍失败，请将下面的信息提供给商家。",
            "Close this page and open it again in WeChat. If it still fails, give the shop the message below.",
        ),
        "config:invalid signature",
    ),
    Refusal("invalid url domain", SHOP_NOT_READY, TELL_SHOP, "config:invalid url domain"),
    Refusal("permission", SHOP_NOT_READY, TELL_SHOP, "fail_no permission to execute"),
)
"""Tried in this order: specific messages before general ones."""


def preferred_language(accepted: str) -> str:
    """Return ``zh`` unless the reader prefers English. ``accepted`` is the Accept-Language header."""
    for part in accepted.lower().split(","):
        tag = part.strip()[:2]
        if tag in ("zh", "en"):
            return tag
    return "zh"


def texts(lang: str) -> Callable[[str], str]:
    """Return a page's ``t``: a function from a key to its text in ``lang``, which raises KeyError for an
    unknown key."""
    return lambda key: TEXTS[key].to(lang)


def script_texts(lang: str) -> dict[str, str]:
    """Return ``SCRIPT_TEXTS`` in one language."""
    return {key: text.to(lang) for key, text in SCRIPT_TEXTS.items()}


def refusals(lang: str) -> list[dict[str, str]]:
    """Return ``REFUSALS`` in one language."""
    return [
        {
            "said": entry.said,
            "means": entry.means.to(lang),
            "cure": entry.cure.to(lang),
            "merchant": entry.tell_merchant(lang),
        }
        for entry in REFUSALS
    ]
