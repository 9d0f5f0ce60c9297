"""Place orders at WeChat Pay v3 and receive its payment notifications: FastAPI, wechatpayv3's async client and Motor.

Run with ``uvicorn fastapi_shop:app``.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from config import CONFIG
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import BaseModel, Field
from wechatpayv3.async_ import AsyncWeChatPay, WeChatPayType


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect to the database and to WeChat Pay for as long as the application runs."""
    client = AsyncIOMotorClient(CONFIG["mongo_url"], w="majority", journal=True)
    app.state.database = client[CONFIG["mongo_database"]]
    await app.state.database.orders.create_index([("trade_state", 1), ("created_at", -1)])
    await app.state.database.notifications.create_index("out_trade_no")
    wxpay = AsyncWeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid=CONFIG["mchid"],
        private_key=CONFIG["merchant_private_key_pem"],
        cert_serial_no=CONFIG["merchant_serial_no"],
        appid=CONFIG["appid"],
        apiv3_key=CONFIG["api_v3_key"],
        notify_url=CONFIG["notify_url"],
        public_key=CONFIG["public_key_pem"],
        public_key_id=CONFIG["public_key_id"],
    )
    wxpay._core._gate_way = CONFIG["wechat_url"]  # the simulator instead of api.mch.weixin.qq.com
    async with wxpay:
        app.state.wxpay = wxpay
        yield
    client.close()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()


def authenticate(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
    """Allow only the merchant's API key."""
    if not hmac.compare_digest(credentials.credentials.encode(), CONFIG["api_key"].encode()):
        raise HTTPException(401)


class CreateOrderRequest(BaseModel):
    """A merchant's order for a payer."""

    description: str = Field(min_length=1, max_length=127)
    total: int = Field(ge=1, le=100_000_000)
    trade_type: Literal["JSAPI"]
    openid: str = Field(min_length=1, max_length=128)
    api: str | None = None


@app.post("/api/orders", status_code=201, dependencies=[Depends(authenticate)])
async def create_order(order: CreateOrderRequest) -> dict[str, Any]:
    """Store the order, place it at WeChat and return the parameters for the payer's page."""
    orders, wxpay = app.state.database.orders, app.state.wxpay
    out_trade_no = time.strftime("%Y%m%d%H%M%S") + secrets.token_hex(6)
    await orders.insert_one(
        {
            "_id": out_trade_no,
            "description": order.description,
            "total": order.total,
            "openid": order.openid,
            "trade_state": "NOTPAY",
            "created_at": datetime.now(UTC),
        }
    )
    code, message = await wxpay.pay(
        description=order.description,
        out_trade_no=out_trade_no,
        amount={"total": order.total},
        payer={"openid": order.openid},
    )
    if code != 200:
        raise HTTPException(502, message)
    prepay_id = json.loads(message)["prepay_id"]
    await orders.update_one({"_id": out_trade_no}, {"$set": {"prepay_id": prepay_id}})
    return {"out_trade_no": out_trade_no, "total": order.total, "pay": pay_params(wxpay, prepay_id)}


def pay_params(wxpay: AsyncWeChatPay, prepay_id: str) -> dict[str, str]:
    """Sign the parameters that WeChat's JSAPI takes."""
    timestamp, nonce, package = str(int(time.time())), secrets.token_hex(16), f"prepay_id={prepay_id}"
    return {
        "appId": CONFIG["appid"],
        "timeStamp": timestamp,
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": wxpay.sign([CONFIG["appid"], timestamp, nonce, package]),
    }


@app.post("/notify")
async def notify(request: Request) -> JSONResponse:
    """Verify and record a notification, then mark its order as paid."""
    body = await request.body()
    try:
        result = app.state.wxpay.callback(request.headers, body)
    except Exception:  # the SDK raises Exception itself for a missing signature
        result = None
    if not result or result.get("event_type") != "TRANSACTION.SUCCESS":
        return JSONResponse({"code": "FAIL", "message": "invalid notification"}, 401)
    payment, database = result["resource"], app.state.database
    await database.notifications.update_one(
        {"_id": result["id"]},
        {"$setOnInsert": {"out_trade_no": payment["out_trade_no"], "raw": body, "received_at": datetime.now(UTC)}},
        upsert=True,
    )
    order = await database.orders.find_one({"_id": payment["out_trade_no"]})
    if order is None or order["total"] != payment["amount"]["total"]:
        return JSONResponse({"code": "FAIL", "message": "amount mismatch"}, 409)
    await database.orders.update_one(
        {"_id": payment["out_trade_no"], "trade_state": "NOTPAY"},
        {"$set": {"trade_state": "SUCCESS", "transaction_id": payment["transaction_id"]}},
    )
    return JSONResponse({"code": "SUCCESS", "message": "OK"})
