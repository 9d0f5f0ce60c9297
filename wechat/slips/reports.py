"""The report of a page: WeChat's browser refused to start a payment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from wechat.support.requests import RequestBody

MOST_SAID = 300
MOST_URL = 2048
Value = Annotated[str, Field(max_length=512)]


class Call(StrEnum):
    """The function that the page had called."""

    BRIDGE = "WeixinJSBridge"
    CHOOSE = "wx.chooseWXPay"
    CONFIG = "wx.config"


class ClientError(RequestBody):
    """``POST /client-errors``. ``said`` is WeChat's message; ``params`` are the arguments of the call.

    ``url`` is the address that was signed for wx.config, ``real_url`` the one that WeChat checked (``realAuthUrl``).
    ``js_api`` is the result of wx.checkJsApi for the called interface. Anybody with a session can report anything: it
    is for people to read, and no rule about money reads it.
    """

    PARAMS: ClassVar[frozenset[str]] = frozenset(
        {"appId", "timeStamp", "timestamp", "nonceStr", "package", "signType", "paySign", "signature"}
    )

    out_trade_no: str = Field(max_length=32)
    call: Annotated[Call, Field(strict=False)]
    said: str = Field(min_length=1, max_length=MOST_SAID)
    params: dict[str, Value] = Field(default_factory=dict, max_length=8)
    url: str = Field("", max_length=MOST_URL)
    real_url: str = Field("", max_length=MOST_URL)
    js_api: bool | None = None

    @property
    def known_params(self) -> dict[str, str]:
        """The ``params`` with names that WeChat uses."""
        return {name: value for name, value in self.params.items() if name in self.PARAMS}
