"""Which path is answered by which handler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado.web import Application, RequestHandler, StaticFileHandler

from simulator.account import api as account
from simulator.account import consent
from simulator.bills import calls as bill_calls
from simulator.browser import bridge
from simulator.control import calls as control
from simulator.control import dashboard, money_calls
from simulator.web.base import Unknown
from simulator.wechatpay import v2, v2_refunds, v3, v3_refunds
from simulator.world import World

HERE = Path(__file__).parent
Routes = list[tuple[str, type[RequestHandler], dict[str, Any]]]


def application(world: World) -> Application:
    """WeChat's own paths first, then the simulator's. Who is asked how often is counted, nothing is logged."""
    args = {"world": world}
    wechat: Routes = [
        (r"/cgi-bin/token", account.Token, args),
        (r"/cgi-bin/stable_token", account.StableToken, args),
        (r"/cgi-bin/ticket/getticket", account.Ticket, args),
        (r"/connect/oauth2/authorize", consent.Authorize, args),
        (r"/sns/oauth2/access_token", account.OAuthToken, args),
        (r"/sns/oauth2/refresh_token", account.OAuthRefresh, args),
        (r"/sns/userinfo", account.UserInfo, args),
        (r"/sns/auth", account.OAuthCheck, args),
        (r"/open/js/jweixin-[0-9.]+\.js", bridge.StandIn, args),
        (r"/pay/unifiedorder", v2.UnifiedOrder, args),
        (r"/pay/orderquery", v2.OrderQuery, args),
        (r"/pay/closeorder", v2.CloseOrder, args),
        (r"/secapi/pay/refund", v2_refunds.RefundOrder, args),
        (r"/pay/refundquery", v2_refunds.RefundQuery, args),
        (r"/pay/downloadbill", bill_calls.DownloadBill, args),
        (r"/pay/downloadfundflow", bill_calls.DownloadFundFlow, args),
        (r"/v3/pay/transactions/jsapi", v3.Jsapi, args),
        (r"/v3/pay/transactions/native", v3.Native, args),
        (r"/v3/pay/transactions/h5", v3.H5, args),
        (r"/v3/pay/transactions/id/([^/]+)", v3.QueryById, args),
        (r"/v3/pay/transactions/out-trade-no/([^/]+)", v3.QueryByNumber, args),
        (r"/v3/pay/transactions/out-trade-no/([^/]+)/close", v3.Close, args),
        (r"/v3/refund/domestic/refunds", v3_refunds.AskRefund, args),
        (r"/v3/refund/domestic/refunds/([^/]+)", v3_refunds.OneRefund, args),
        (r"/v3/refund/domestic/refunds/([^/]+)/apply-abnormal-refund", v3_refunds.ResendRefund, args),
        (r"/v3/bill/tradebill", bill_calls.TradeBill, args),
        (r"/v3/bill/fundflowbill", bill_calls.FundFlowBill, args),
        (r"/v3/billdownload/file", bill_calls.BillFile, args),
        (r"/v3/certificates", v3.Certificates, args),
        (r"/cgi-bin/mmpayweb-bin/checkmweb", bridge.PayPage, args),
    ]
    own: Routes = [
        (r"/simulator/?", dashboard.Index, args),
        (r"/simulator/static/(.*)", StaticFileHandler, {"path": HERE / "static"}),
        (r"/simulator/user", dashboard.Pick, args),
        (r"/simulator/sheet", bridge.Sheet, args),
        (r"/simulator/js/config", bridge.JsConfig, args),
        (r"/simulator/bridge", bridge.Bridge, args),
        (r"/simulator/scan", bridge.ScanPage, args),
        (r"/simulator/credentials", control.Credentials, args),
        (r"/simulator/settings", control.Settings, args),
        (r"/simulator/clock", control.Clock, args),
        (r"/simulator/keys", control.Keys, args),
        (r"/simulator/faults", control.Faults, args),
        (r"/simulator/tokens/expire", control.ExpireTokens, args),
        (r"/simulator/orders", control.Orders, args),
        (r"/simulator/orders/([^/]+)", control.OneOrder, args),
        (r"/simulator/orders/([^/]+)/payments", money_calls.Anyway, args),
        (r"/simulator/refunds", money_calls.Refunds, args),
        (r"/simulator/refunds/scenarios", money_calls.RefundScenarios, args),
        (r"/simulator/refunds/([^/]+)", money_calls.OneRefund, args),
        (r"/simulator/console/refunds", money_calls.ConsoleRefund, args),
        (r"/simulator/console/refunds/([^/]+)/resend", money_calls.ResendRefund, args),
        (r"/simulator/balance", money_calls.Balance, args),
        (r"/simulator/bills/faults", money_calls.BillFaults, args),
        (r"/simulator/books/([^/]+)", money_calls.Truth, args),
        (r"/simulator/stats", control.Stats, args),
    ]

    def count(handler: RequestHandler) -> None:
        world.served[handler.request.path.replace("".join(handler.path_args[:1]) or "\0", "*")] += 1

    return Application(
        [*wechat, *own],
        default_handler_class=Unknown,
        default_handler_args=args,
        template_path=str(HERE / "templates"),
        log_function=count,
    )
