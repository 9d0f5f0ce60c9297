"""The routes of the simulator: the handler of each path."""

from __future__ import annotations

from pathlib import Path

from tornado.web import Application, RequestHandler, StaticFileHandler

from simulator.account import api as account
from simulator.account import consent, server_calls
from simulator.bills import calls as bill_calls
from simulator.browser import bridge
from simulator.control import calls as control
from simulator.control import dashboard, money_calls, practice, story
from simulator.simulator import Simulator
from simulator.web import parts
from simulator.wechatpay import v2, v2_refunds, v3, v3_refunds

HERE = Path(__file__).parent
STYLES = HERE.parent / "static/css"
"""The styles that the simulator's pages share with the service's."""
Routes = list[tuple[str, type[RequestHandler]]]


WECHAT: Routes = [
    (r"/cgi-bin/token", account.Token),
    (r"/cgi-bin/stable_token", account.StableToken),
    (r"/cgi-bin/ticket/getticket", account.Ticket),
    (r"/cgi-bin/(?:getcallbackip|get_api_domain_ip)", server_calls.Addresses),
    (r"/cgi-bin/clear_quota", server_calls.ClearQuota),
    (r"/cgi-bin/user/info", server_calls.Follower),
    (r"/cgi-bin/message/template/send", server_calls.TemplateMessage),
    (r"/cgi-bin/message/custom/send", server_calls.CustomMessage),
    (r"/connect/oauth2/authorize", consent.Authorize),
    (r"/connect/qrconnect", consent.QrConnect),
    (r"/sns/oauth2/access_token", account.OAuthToken),
    (r"/sns/oauth2/refresh_token", account.OAuthRefresh),
    (r"/sns/userinfo", account.UserInfo),
    (r"/sns/auth", account.OAuthCheck),
    (r"/open/js/jweixin-[0-9.]+\.js", bridge.StandIn),
    (r"/pay/unifiedorder", v2.UnifiedOrder),
    (r"/pay/orderquery", v2.OrderQuery),
    (r"/pay/closeorder", v2.CloseOrder),
    (r"/secapi/pay/refund", v2_refunds.RefundOrder),
    (r"/pay/refundquery", v2_refunds.RefundQuery),
    (r"/pay/downloadbill", bill_calls.DownloadBill),
    (r"/pay/downloadfundflow", bill_calls.DownloadFundFlow),
    (r"/v3/pay/transactions/jsapi", v3.Jsapi),
    (r"/v3/pay/transactions/native", v3.Native),
    (r"/v3/pay/transactions/h5", v3.H5),
    (r"/v3/pay/transactions/app", v3.App),
    (r"/v3/pay/transactions/id/([^/]+)", v3.QueryById),
    (r"/v3/pay/transactions/out-trade-no/([^/]+)", v3.QueryByNumber),
    (r"/v3/pay/transactions/out-trade-no/([^/]+)/close", v3.Close),
    (r"/v3/refund/domestic/refunds", v3_refunds.AskRefund),
    (r"/v3/refund/domestic/refunds/([^/]+)", v3_refunds.OneRefund),
    (r"/v3/refund/domestic/refunds/([^/]+)/apply-abnormal-refund", v3_refunds.ResendRefund),
    (r"/v3/bill/tradebill", bill_calls.TradeBill),
    (r"/v3/bill/fundflowbill", bill_calls.FundFlowBill),
    (r"/v3/billdownload/file", bill_calls.BillFile),
    (r"/v3/certificates", v3.Certificates),
    (r"/cgi-bin/mmpayweb-bin/checkmweb", bridge.PayPage),
    (r"/(?:cgi-bin|sns)/.*", account.UnknownCall),
]
"""WeChat's own paths."""

OWN: Routes = [
    (r"/simulator/?", dashboard.Index),
    (r"/simulator/user", dashboard.Pick),
    (r"/simulator/sheet", bridge.Sheet),
    (r"/simulator/js/config", bridge.JsConfig),
    (r"/simulator/bridge", bridge.Bridge),
    (r"/simulator/scan", bridge.ScanPage),
    (r"/simulator/app", bridge.App),
    (r"/simulator/credentials", control.Credentials),
    (r"/simulator/settings", control.Settings),
    (r"/simulator/clock", control.Clock),
    (r"/simulator/keys", control.Keys),
    (r"/simulator/faults", control.Faults),
    (r"/simulator/tokens/expire", control.ExpireTokens),
    (r"/simulator/orders", control.Orders),
    (r"/simulator/orders/([^/]+)", control.OneOrder),
    (r"/simulator/orders/([^/]+)/payments", money_calls.ForcedPayment),
    (r"/simulator/till", money_calls.Till),
    (r"/simulator/refunds", money_calls.Refunds),
    (r"/simulator/refunds/scenarios", money_calls.RefundScenarios),
    (r"/simulator/refunds/([^/]+)", money_calls.OneRefund),
    (r"/simulator/console/refunds", money_calls.ConsoleRefund),
    (r"/simulator/console/refunds/([^/]+)/resend", money_calls.ResendRefund),
    (r"/simulator/balance", money_calls.Balance),
    (r"/simulator/bills/faults", money_calls.BillFaults),
    (r"/simulator/books/([^/]+)", money_calls.Truth),
    (r"/simulator/scenarios", control.Scenarios),
    (r"/simulator/stats", control.Stats),
    (r"/simulator/stories/([^/]+)", story.Story),
    (r"/simulator/practice", practice.Practice),
    (r"/simulator/(?!static/).*", dashboard.Missing),
]
"""The simulator's pages and control calls."""


def application(simulator: Simulator) -> Application:
    """Build the application over ``simulator``. It counts requests by path and logs nothing."""
    args = {"simulator": simulator}

    def count(handler: RequestHandler) -> None:
        varies = getattr(handler, "path_args", [])[:1]  # none where the path was no UTF-8
        simulator.served[handler.request.path.replace("".join(varies) or "\0", "*")] += 1

    return Application(
        [
            *((pattern, handler, args) for pattern, handler in (*WECHAT, *OWN)),
            (r"/simulator/static/((?:tokens|components)\.css)", StaticFileHandler, {"path": STYLES}),
            (r"/simulator/static/([a-z]+\.[a-z]+)", StaticFileHandler, {"path": HERE / "static"}),
        ],
        default_handler_class=dashboard.Elsewhere,
        default_handler_args=args,
        template_path=str(HERE / "templates"),
        ui_modules={"Badge": parts.Badge, "Attempts": parts.Attempts},
        log_function=count,
    )
