"""Calls of merchants' servers besides tokens: addresses, quota, followers, and messages to them.

Sources, all on developers.weixin.qq.com: Get_the_WeChat_server_IP_address, clear_quota, Get_users_basic_information,
Template_Message_Interface, Service_Center_messages, Global_Return_Code.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from typing import Any

from simulator.account.api import AccountHandler, union_id
from simulator.account.credentials import AccountError

SUBSCRIBED_AT = 1_700_000_000
MESSAGE_TYPES = ("text", "image", "voice", "video", "music", "news", "mpnews", "mpnewsarticle", "msgmenu", "wxcard")
DONE = {"errcode": 0, "errmsg": "ok"}
_message_ids = itertools.count(1)


class ServerCall(AccountHandler):
    """A call with an access_token."""

    method = "GET"

    @abstractmethod
    def call(self) -> dict[str, Any]:
        """Return the answer. Raises AccountError."""

    def data(self) -> dict[str, Any]:
        self.demand(self.method)
        self.simulator.credentials.check_token(self.query("access_token"))
        return self.call()

    def check_openid(self, openid: object) -> str:
        """Return ``openid`` if it is a user's. Raises AccountError 40003."""
        user = self.simulator.identity.payer(str(openid or ""))
        if user is None:
            raise AccountError(40003, "invalid openid")
        return user.openid


class Addresses(ServerCall):
    """GET /cgi-bin/getcallbackip and /cgi-bin/get_api_domain_ip: this machine."""

    def call(self) -> dict[str, Any]:
        return {"ip_list": ["127.0.0.1"]}


class ClearQuota(ServerCall):
    """POST /cgi-bin/clear_quota. Only forced tokens have a quota here, and clearing does not reset it."""

    method = "POST"

    def call(self) -> dict[str, Any]:
        if self.json_body().get("appid") != self.simulator.identity.appid:
            raise AccountError(40013, "invalid appid")
        return DONE


class Follower(ServerCall):
    """GET /cgi-bin/user/info: both users follow the account."""

    def call(self) -> dict[str, Any]:
        openid = self.check_openid(self.query("openid"))
        return {
            "subscribe": 1,
            "openid": openid,
            "language": self.query("lang") or "zh_CN",
            "subscribe_time": SUBSCRIBED_AT,
            "unionid": union_id(openid),
            "remark": "",
            "groupid": 0,
            "tagid_list": [],
            "subscribe_scene": "ADD_SCENE_QR_CODE",
            "qr_scene": 0,
            "qr_scene_str": "",
        }


class TemplateMessage(ServerCall):
    """POST /cgi-bin/message/template/send. Any template is accepted, and the message is discarded."""

    method = "POST"

    def call(self) -> dict[str, Any]:
        asked = self.json_body()
        self.check_openid(asked.get("touser"))
        if not asked.get("template_id"):
            raise AccountError(40037, "invalid template_id")
        return {**DONE, "msgid": next(_message_ids)}


class CustomMessage(ServerCall):
    """POST /cgi-bin/message/custom/send, to a user who wrote within 48 hours, as both have."""

    method = "POST"

    def call(self) -> dict[str, Any]:
        asked = self.json_body()
        self.check_openid(asked.get("touser"))
        if asked.get("msgtype") not in MESSAGE_TYPES:
            raise AccountError(40008, "invalid message type")
        if not isinstance(asked.get(asked["msgtype"]), dict):
            raise AccountError(44004, "empty content")
        return DONE
