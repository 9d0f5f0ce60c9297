"""Place orders at WeChat Pay v2 and receive its payment notifications, with wechatpy."""

from __future__ import annotations

import secrets
import time

from config import CONFIG
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from wechatpy.exceptions import InvalidSignatureException, WeChatPayException
from wechatpy.pay import WeChatPay

from django_shop.models import Notification, Order
from django_shop.serializers import OrderSerializer

WeChatPay.API_BASE_URL = f"{CONFIG['wechat_url']}/"  # the simulator instead of api.mch.weixin.qq.com
wechat = WeChatPay(appid=CONFIG["appid"], api_key=CONFIG["api_v2_key"], mch_id=CONFIG["mchid"])

SUCCESS = "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
FAIL = "<xml><return_code><![CDATA[FAIL]]></return_code></xml>"


class OrdersView(APIView):
    """POST /api/orders."""

    def post(self, request: Request) -> Response:
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        order = Order.objects.create(
            out_trade_no=time.strftime("%Y%m%d%H%M%S") + secrets.token_hex(6),
            description=serializer.validated_data["description"],
            total=serializer.validated_data["total"],
            openid=serializer.validated_data["openid"],
        )
        try:
            prepay = wechat.order.create(
                trade_type=serializer.validated_data["trade_type"],
                body=order.description,
                total_fee=order.total,
                notify_url=CONFIG["notify_url"],
                client_ip=request.META["REMOTE_ADDR"],
                user_id=order.openid,
                out_trade_no=order.out_trade_no,
            )
        except WeChatPayException as error:
            return Response({"code": error.errcode}, status=status.HTTP_502_BAD_GATEWAY)
        order.prepay_id = prepay["prepay_id"]
        order.save(update_fields=["prepay_id"])
        pay = wechat.jsapi.get_jsapi_params(order.prepay_id)
        body = {"out_trade_no": order.out_trade_no, "total": order.total, "pay": pay}
        return Response(body, status=status.HTTP_201_CREATED)


@csrf_exempt
@require_POST
def notify(request: HttpRequest) -> HttpResponse:
    """POST /notify."""
    try:
        result = wechat.parse_payment_result(request.body)
    except InvalidSignatureException:
        return HttpResponse(FAIL, content_type="text/xml", status=401)
    Notification.objects.get_or_create(
        transaction_id=result["transaction_id"],
        defaults={"out_trade_no": result["out_trade_no"], "raw": request.body.decode()},
    )
    order = Order.objects.filter(out_trade_no=result["out_trade_no"]).first()
    if order is None or order.total != result["total_fee"]:
        return HttpResponse(FAIL, content_type="text/xml", status=409)
    Order.objects.filter(pk=order.pk, trade_state=Order.TradeState.NOTPAY).update(
        trade_state=Order.TradeState.SUCCESS, transaction_id=result["transaction_id"]
    )
    return HttpResponse(SUCCESS, content_type="text/xml")
