"""What callers may ask for: everything else is refused with a name, and without an echo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bad_json import BAD_JSON
from wechat.domain.errors import BadRequest
from wechat.domain.money import MAX_TOTAL
from wechat.domain.orders import TradeType
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.support.requests import json_object

SALE: dict[str, Any] = {"description": "咖啡", "total": 100, "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}


@pytest.mark.parametrize("body", BAD_JSON)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        json_object(body)
    assert refused.value.public_code == "BAD_JSON"


@given(st.binary(max_size=100))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    try:
        assert isinstance(json_object(body), dict)
    except BadRequest:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*CreateOrderRequest.model_fields, *CheckoutRequest.model_fields, "x", "$gt"]), JSON, max_size=6
    )
)
def test_any_object_is_an_order_or_refused(body: dict[str, Any]) -> None:
    for wanted in (CheckoutRequest, CreateOrderRequest):
        try:
            parsed = wanted.parse(body)
        except BadRequest:
            continue
        json.dumps(parsed.model_dump(mode="json")).encode()


def test_a_basket_has_one_unless_it_says_more() -> None:
    assert CheckoutRequest.parse({"sku": "coffee"}) == CheckoutRequest.parse({"sku": "coffee", "quantity": 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", None), ("sku", ""), ("sku", 1), ("sku", "x" * 33), ("sku", ["coffee"]), ("sku", {"$gt": ""}), ("sku", "a\x00"), ("sku", " a"),
        ("quantity", 0), ("quantity", -1), ("quantity", 1000), ("quantity", 1.0), ("quantity", 1.5), ("quantity", "1"),
        ("quantity", True), ("quantity", None), ("quantity", 2**63), ("quantity", [1]),
    ],
)  # fmt: skip
def test_a_bad_basket_is_refused_by_field(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        CheckoutRequest.parse({"sku": "coffee", "quantity": 1} | {field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["price", "total", "openid", "amount", "$set", "trade_state"])
def test_a_price_or_a_payer_in_a_basket_is_unknown(name: str) -> None:
    """M: the price comes from the catalogue."""
    with pytest.raises(BadRequest) as refused:
        CheckoutRequest.parse({"sku": "coffee", name: 1})
    assert refused.value.public_code == "UNKNOWN_FIELD"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", ""), ("description", "x" * 128), ("description", 1), ("description", None), ("description", "a\nb"),
        ("description", "\ud800"), ("description", "\u202e"), ("description", " a"),
        ("total", 0), ("total", -1), ("total", 1.5), ("total", 1.0), ("total", "1"), ("total", True), ("total", None),
        ("total", MAX_TOTAL + 1), ("total", 2**63), ("total", {"$gt": 0}), ("total", float("inf")),
        ("trade_type", "MICROPAY"), ("trade_type", "jsapi"), ("trade_type", 1), ("trade_type", ["JSAPI"]), ("trade_type", None),
        ("openid", ""), ("openid", "x" * 129), ("openid", 1), ("openid", None),
        ("out_trade_no", ""), ("out_trade_no", "abcde"), ("out_trade_no", "x" * 33), ("out_trade_no", "订单订单订单"), ("out_trade_no", "a/b/c/d"),
        ("out_trade_no", "a b c d"), ("out_trade_no", "$where"), ("out_trade_no", 123456), ("out_trade_no", "abcdef\n"),
        ("attach", ""), ("attach", "x" * 128), ("attach", 1),
        ("expires_in_s", 299), ("expires_in_s", 7 * 86400 + 1), ("expires_in_s", "600"), ("expires_in_s", 600.5), ("expires_in_s", True),
        ("api", "v1"), ("api", "V3"), ("api", 3),
        ("payer_client_ip", "abc"), ("payer_client_ip", ""), ("payer_client_ip", "127.1"), ("payer_client_ip", "0x7f000001"),
        ("payer_client_ip", 1), ("payer_client_ip", "1.2.3.4 "), ("payer_client_ip", "fe80::1%" + "x" * 100),
    ],
)  # fmt: skip
def test_a_bad_sale_is_refused_by_field(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        CreateOrderRequest.parse(SALE | {field: value})
    assert refused.value.field == field


def test_an_optional_field_may_be_null() -> None:
    assert CreateOrderRequest.parse(
        SALE | dict.fromkeys(["out_trade_no", "attach", "expires_in_s", "api", "payer_client_ip"])
    ) == CreateOrderRequest.parse(SALE)


@pytest.mark.parametrize("trade_type", ["NATIVE", "MWEB", "H5"])
def test_an_openid_goes_with_jsapi_only(trade_type: str) -> None:
    with pytest.raises(BadRequest):
        CreateOrderRequest.parse(SALE | {"trade_type": trade_type})
    without = {"description": "x", "total": 1, "trade_type": trade_type, "payer_client_ip": "203.0.113.7"}
    assert CreateOrderRequest.parse(without).trade_type is (
        TradeType.NATIVE if trade_type == "NATIVE" else TradeType.MWEB
    )
    with pytest.raises(BadRequest):
        CreateOrderRequest.parse(without | {"trade_type": "JSAPI"})


@pytest.mark.parametrize("body", [{"CANARY": 1}, {"total": "CANARY"}, {"description": ["CANARY"]}, {"api": "CANARY"}])
def test_a_refusal_never_shows_what_was_sent(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        CreateOrderRequest.parse(SALE | body)
    assert "CANARY" not in refused.value.text.zh + refused.value.text.en + str(refused.value)


def test_equal_requests_have_equal_digests_and_others_do_not() -> None:
    assert CreateOrderRequest.parse(SALE).digest() == CreateOrderRequest.parse(dict(reversed(SALE.items()))).digest()
    assert CreateOrderRequest.parse(SALE).digest() != CreateOrderRequest.parse(SALE | {"total": 101}).digest()
    assert CheckoutRequest.parse({"sku": "a"}).digest("x", "yz") != CheckoutRequest.parse({"sku": "a"}).digest(
        "xy", "z"
    )
