"""The fields of each call, as WeChat's pages list them: name, type, length, required.

v2: https://pay.weixin.qq.com/doc/v2/merchant/4011936530 · v3: https://pay.weixin.qq.com/doc/v3/merchant/4012791897,
.../4012791874 (Native), .../4012791832 (H5), .../4013070347 (APP). Lengths count bytes of UTF-8. The wording of v3's
messages is as quoted in wechatpay-php issue 114 (length), wechatpay-postman-script issue 7 (pattern), wechatpayv3 pull
request 87 (unknown fields) and the FAQ .../4012791869 (minimum). v2 says the same of /body/xml/…: silenceper/wechat
issue 654 (number); quoted by merchants: “/body/xml/body” … 字节数 200，大于最大值 128; “/body/out_trade_no” … 字节数
3，小于最小值 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

NUMBER = r"^[0-9a-zA-Z_\-\|\*]+$"
NOTIFY_URL = r"^https?://([^\s/?#\[\]\@]+\@)?([^\s/?#\@:]+)(?::\d{2,5})?([^\s?#\[\]]*)$"
INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
RFC3339 = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+\-]\d{2}:\d{2})$"


class FieldError(Exception):
    """A field breaks its rule. v3 shows ``message``, ``pointer``, ``value``; v2 the first, or its own message for
    ``fault``."""

    def __init__(self, fault: str, pointer: str, message: str, value: Any, location: str | None = "body") -> None:
        super().__init__(message)
        self.fault = fault
        self.pointer = pointer
        self.message = message
        self.value = value
        self.location = location


@dataclass(frozen=True, slots=True)
class Field:
    """A field's name and rules. ``path`` is dotted; ``[]`` stands for each item of a list.

    ``size`` is the longest text, in bytes, or the least integer; ``least`` the shortest text.
    """

    path: str
    label: str
    kind: type = str
    size: int = 0
    least: int = 0
    required: bool = False
    pattern: str = ""
    choices: tuple[str, ...] = ()


V2_COMMON = (
    Field("appid", "公众账号ID", size=32, required=True),
    Field("mch_id", "商户号", size=32, required=True),
    Field("nonce_str", "随机字符串", size=32, required=True),
    Field("sign", "签名", size=64, required=True),
    Field("sign_type", "签名类型", size=32, choices=("MD5", "HMAC-SHA256")),
)
V2_OUT_TRADE_NO = Field("out_trade_no", "商户订单号", size=32, least=6, required=True, pattern=NUMBER)
V2_NUMBER = replace(V2_OUT_TRADE_NO, required=False)
V2_ORDER = (
    *V2_COMMON,
    Field("device_info", "设备号", size=32),
    Field("body", "商品描述", size=128, required=True),
    Field("detail", "商品详情", size=6144),
    Field("attach", "附加数据", size=128),
    V2_OUT_TRADE_NO,
    Field("fee_type", "标价币种", size=16, choices=("CNY",)),
    Field("total_fee", "标价金额", int, size=1, required=True),
    Field("spbill_create_ip", "终端IP", size=64, required=True, pattern=r"^[0-9A-Fa-f:.]{2,64}$"),
    Field("time_start", "交易起始时间", size=14, pattern=r"^\d{14}$"),
    Field("time_expire", "交易结束时间", size=14, pattern=r"^\d{14}$"),
    Field("goods_tag", "订单优惠标记", size=32),
    Field("notify_url", "通知地址", size=256, required=True, pattern=NOTIFY_URL),
    Field("trade_type", "交易类型", size=16, required=True, choices=("JSAPI", "NATIVE", "MWEB", "APP")),
    Field("product_id", "商品ID", size=32),
    Field("limit_pay", "指定支付方式", size=32, choices=("no_credit",)),
    Field("openid", "用户标识", size=128),
    Field("receipt", "开发票入口开放标识", size=8),
    Field("profit_sharing", "是否需要分账", size=16, choices=("Y", "N")),
    Field("scene_info", "场景信息", size=256),
)
V2_QUERY = (*V2_COMMON, V2_NUMBER, Field("transaction_id", "微信订单号", size=32))
V2_CLOSE = (*V2_COMMON, V2_OUT_TRADE_NO)
V2_NEEDS = {"JSAPI": "openid", "NATIVE": "product_id", "MWEB": "scene_info"}

V3_NUMBER = Field("out_trade_no", "商户订单号", size=32, least=6, required=True, pattern=NUMBER)
_V3_ORDER = (
    Field("appid", "公众账号ID", size=32, required=True),
    Field("mchid", "直连商户号", size=32, required=True),
    Field("description", "商品描述", size=127, required=True),
    V3_NUMBER,
    Field("time_expire", "交易结束时间", size=64, pattern=RFC3339),
    Field("attach", "附加数据", size=128),
    Field("notify_url", "通知地址", size=255, required=True, pattern=NOTIFY_URL),
    Field("goods_tag", "订单优惠标记", size=32),
    Field("support_fapiao", "电子发票入口开放标识", bool),
    Field("amount", "订单金额", dict, required=True),
    Field("amount.total", "总金额", int, size=1, required=True),
    Field("amount.currency", "货币类型", size=16, choices=("CNY",)),
    Field("detail", "优惠功能", dict),
    Field("detail.cost_price", "订单原价", int),
    Field("detail.invoice_id", "商品小票ID", size=32),
    Field("detail.goods_detail", "单品列表", list),
    Field("detail.goods_detail[]", "单品", dict),
    Field("detail.goods_detail[].merchant_goods_id", "商户侧商品编码", size=32, required=True),
    Field("detail.goods_detail[].wechatpay_goods_id", "微信支付商品编码", size=32),
    Field("detail.goods_detail[].goods_name", "商品名称", size=256),
    Field("detail.goods_detail[].quantity", "商品数量", int, size=1, required=True),
    Field("detail.goods_detail[].unit_price", "商品单价", int, required=True),
    Field("settle_info", "结算信息", dict),
    Field("settle_info.profit_sharing", "是否指定分账", bool),
    Field("scene_info.device_id", "商户端设备号", size=32),
    Field("scene_info.store_info", "商户门店信息", dict),
    Field("scene_info.store_info.id", "门店编号", size=32, required=True),
    Field("scene_info.store_info.name", "门店名称", size=256),
    Field("scene_info.store_info.area_code", "地区编码", size=32),
    Field("scene_info.store_info.address", "详细地址", size=512),
)
_PAYER_IP = Field("scene_info.payer_client_ip", "用户终端IP", size=45, required=True)
_SCENE = (Field("scene_info", "场景信息", dict), _PAYER_IP)
V3_ORDER = {
    "JSAPI": (
        *_V3_ORDER,
        *_SCENE,
        Field("payer", "支付者", dict, required=True),
        Field("payer.openid", "用户标识", size=128, required=True),
    ),
    "NATIVE": (*_V3_ORDER, *_SCENE),
    "APP": (*_V3_ORDER, *_SCENE),
    "MWEB": (
        *_V3_ORDER,
        Field("scene_info", "场景信息", dict, required=True),
        _PAYER_IP,
        Field("scene_info.h5_info", "H5场景信息", dict, required=True),
        Field("scene_info.h5_info.type", "场景类型", size=32, required=True),
        Field("scene_info.h5_info.app_name", "应用名称", size=64),
        Field("scene_info.h5_info.app_url", "网站URL", size=128),
        Field("scene_info.h5_info.bundle_id", "iOS平台BundleID", size=128),
        Field("scene_info.h5_info.package_name", "Android平台PackageName", size=128),
    ),
}
V3_TRANSACTION = Field("transaction_id", "微信支付订单号", size=32, required=True)
V3_MCHID = Field("mchid", "直连商户号", size=32, required=True)


def check_texts(fields: Mapping[str, str], table: tuple[Field, ...]) -> None:
    """Check v2's fields: every value is a text, and an empty one counts as missing. Raises FieldError, missing fields
    first."""
    for field in table:
        if field.required and not fields.get(field.path):
            raise _missing(field, field.path, "body")
    for field in table:
        if value := fields.get(field.path):
            _check_element(field, f"xml/{field.path}", value)


def _check_element(field: Field, pointer: str, value: str) -> None:
    """Check an element of v2's XML, whose numbers are digits. Raises FieldError."""
    if field.kind is not int:
        _check_text(field, pointer, value, "body")
    elif not INTEGER.fullmatch(value):
        source = _source(pointer, "body")
        message = (
            f"无法将输入源{source.removeprefix('输入源')}映射到目标字段“{field.label}”中，此字段需要{_WANTED[int]}"
        )
        raise FieldError("type", pointer, message, value)
    else:
        _check_number(field, pointer, int(value), "body")


def check_json(body: dict[str, Any], table: tuple[Field, ...]) -> None:
    """Check v3's fields: types as in JSON, and no field that the page does not list. Raises FieldError."""
    if unknown := sorted(_unknown(body, {field.path: field for field in table}, "", "")):
        raise FieldError("unknown", unknown[0], "请求中含有未在API文档中定义的参数", unknown, None)
    for field in table:
        for pointer, value in _values(body, field.path):
            check_value(field, pointer, value)


def check_value(field: Field, pointer: str, value: Any, location: str = "body") -> None:
    """Check a value against its field; None is absent. Raises FieldError."""
    if value is None:
        if field.required:
            raise _missing(field, pointer, location)
        return
    if not isinstance(value, field.kind) or (isinstance(value, bool) and field.kind is int):
        raise _build_type_error(field, pointer, value, location)
    if isinstance(value, int):
        _check_number(field, pointer, value, location)
    if isinstance(value, str):
        if field.required and not value:
            raise _missing(field, pointer, location)
        _check_text(field, pointer, value, location)


def _check_number(field: Field, pointer: str, value: int, location: str) -> None:
    if value < field.size:
        message = f"{_source(pointer, location)}映射到数值字段“{field.label}”规则校验失败，值低于最小值 {field.size}"
        raise FieldError("range", pointer, message, value, location)


def _check_text(field: Field, pointer: str, value: str, location: str) -> None:
    start = f"{_source(pointer, location)}映射到值字段“{field.label}”字符串规则校验失败，"
    length = len(value.encode("utf-8", "surrogatepass"))
    if length > field.size:
        raise FieldError("length", pointer, f"{start}字节数 {length}，大于最大值 {field.size}", length, location)
    if length < field.least:
        raise FieldError("length", pointer, f"{start}字节数 {length}，小于最小值 {field.least}", length, location)
    if value and field.pattern and not re.fullmatch(field.pattern, value, re.ASCII):
        raise FieldError("pattern", pointer, f"{start}字符串必须匹配正则表达式“{field.pattern}”", value, location)
    if value and field.choices and value not in field.choices:
        message = f"{start}值不在枚举 {'/'.join(field.choices)} 之中"
        raise FieldError("choice", pointer, message, value, location)


def _missing(field: Field, pointer: str, location: str) -> FieldError:
    message = f"{_source(pointer, location)}映射到字段“{field.label}”必填性规则校验失败，此字段为必填项"
    return FieldError("missing", pointer, message, "", location)


_WANTED = {
    int: "一个合法的 64 位有符号整数",
    str: "一个 string 类型的 Json 值",
    bool: "一个 bool 类型的 Json 值",
    dict: "一个 object 类型的 Json 值",
    list: "一个 array 类型的 Json 值",
}


def _build_type_error(field: Field, pointer: str, value: Any, location: str) -> FieldError:
    source = _source(pointer, location)
    message = f"无法将 JSON {source}映射到目标字段“{field.label}”中，此字段需要{_WANTED[field.kind]}"
    return FieldError("type", pointer, message, value, location)


def _source(pointer: str, location: str) -> str:
    return f"输入源“/{location}/{pointer}”"


def _values(body: Any, path: str) -> list[tuple[str, Any]]:
    """Return the values at ``path`` in ``body``, as (pointer, value); none below a parent that is absent or of another
    type."""
    found: list[tuple[str, Any]] = [("", body)]
    for step in path.replace("[]", ".[]").split("."):
        found = [next_step for pointer, value in found for next_step in _step(pointer, value, step)]
    return found


def _step(pointer: str, value: Any, step: str) -> list[tuple[str, Any]]:
    if step == "[]":
        return [(f"{pointer}/{index}", item) for index, item in enumerate(value)] if isinstance(value, list) else []
    if not isinstance(value, dict):
        return []
    return [(f"{pointer}/{step}".lstrip("/"), value.get(step))]


def _unknown(value: Any, table: Mapping[str, Field], path: str, pointer: str) -> list[str]:
    """Return the JSON pointers of values that no field of ``table`` describes."""
    if isinstance(value, list):
        return [
            found
            for index, item in enumerate(value)
            for found in _unknown(item, table, f"{path}[]", f"{pointer}/{index}")
        ]
    if not isinstance(value, dict):
        return []
    strangers: list[str] = []
    for name, item in value.items():
        inner = f"{path}.{name}" if path else name
        is_known = inner in table
        strangers += _unknown(item, table, inner, f"{pointer}/{name}") if is_known else [f"/body{pointer}/{name}"]
    return strangers
