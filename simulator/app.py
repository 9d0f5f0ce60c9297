"""Which path is answered by which handler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado.web import Application, RequestHandler, StaticFileHandler

from simulator import (
    account,
    bill_calls,
    bridge,
    consent,
    control,
    control_money,
    front,
    pay_v2,
    pay_v3,
    refund_v2,
    refund_v3,
)
from simulator.base import Unknown
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
        (r"/pay/unifiedorder", pay_v2.UnifiedOrder, args),
        (r"/pay/orderquery", pay_v2.OrderQuery, args),
        (r"/pay/closeorder", pay_v2.CloseOrder, args),
        (r"/secapi/pay/refund", refund_v2.RefundOrder, args),
        (r"/pay/refundquery", refund_v2.RefundQuery, args),
        (r"/pay/downloadbill", bill_calls.DownloadBill, args),
        (r"/pay/downloadfundflow", bill_calls.DownloadFundFlow, args),
        (r"/v3/pay/transactions/jsapi", pay_v3.Jsapi, args),
        (r"/v3/pay/transactions/native", pay_v3.Native, args),
        (r"/v3/pay/transactions/h5", pay_v3.H5, args),
        (r"/v3/pay/transactions/id/([^/]+)", pay_v3.QueryById, args),
        (r"/v3/pay/transactions/out-trade-no/([^/]+)", pay_v3.QueryByNumber, args),
        (r"/v3/pay/transactions/out-trade-no/([^/]+)/close", pay_v3.Close, args),
        (r"/v3/refund/domestic/refunds", refund_v3.AskRefund, args),
        (r"/v3/refund/domestic/refunds/([^/]+)", refund_v3.OneRefund, args),
        (r"/v3/refund/domestic/refunds/([^/]+)/apply-abnormal-refund", refund_v3.ResendRefund, args),
        (r"/v3/bill/tradebill", bill_calls.TradeBill, args),
        (r"/v3/bill/fundflowbill", bill_calls.FundFlowBill, args),
        (r"/v3/billdownload/file", bill_calls.BillFile, args),
        (r"/v3/certificates", pay_v3.Certificates, args),
        (r"/cgi-bin/mmpayweb-bin/checkmweb", bridge.PayPage, args),
    ]
    own: Routes = [
        (r"/simulator/?", front.Index, args),
        (r"/simulator/static/(.*)", StaticFileHandler, {"path": HERE / "static"}),
        (r"/simulator/user", front.Pick, args),
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
        (r"/simulator/orders/([^/]+)/payments", control_money.Anyway, args),
        (r"/simulator/refunds", control_money.Refunds, args),
        (r"/simulator/refunds/scenarios", control_money.RefundScenarios, args),
        (r"/simulator/refunds/([^/]+)", control_money.OneRefund, args),
        (r"/simulator/console/refunds", control_money.ConsoleRefund, args),
        (r"/simulator/console/refunds/([^/]+)/resend", control_money.ResendRefund, args),
        (r"/simulator/balance", control_money.Balance, args),
        (r"/simulator/bills/faults", control_money.BillFaults, args),
        (r"/simulator/books/([^/]+)", control_money.Truth, args),
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
