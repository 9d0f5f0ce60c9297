"""What made a paySign wrong, by the parameters that the page passed to WeChat."""

from __future__ import annotations

import json

import pytest

from tests.sign_explain.signing import V2_KEY, V3_KEY
from tests.support.keys import private_pem
from wechat.pay.key_files import read_pem
from wechat.pay.signing import Signer, SignType, v2_pay_fields, v2_sign, v3_pay_message
from wechat.sign_explain.model import Keys
from wechat.slips.client_errors import find_pay_slips

APPID, TIME, NONCE, PACKAGE = "wx8888888888888888", "1772337906", "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", "prepay_id=wx2"
KEYS = Keys(v2=V2_KEY, v3=V3_KEY, private_key=read_pem(private_pem("ours")))


def v2(secret: str = V2_KEY) -> dict[str, str]:
    fields = v2_pay_fields(APPID, TIME, NONCE, PACKAGE, SignType.HMAC_SHA256)
    return fields | {"paySign": v2_sign(fields, secret, SignType.HMAC_SHA256)}


def v3(name: str = "ours") -> dict[str, str]:
    pem = read_pem(private_pem(name))
    assert pem
    assert pem.private_key
    sign = Signer("", "", pem.private_key).sign(v3_pay_message(APPID, TIME, NONCE, PACKAGE))
    fields = {"appId": APPID, "timeStamp": TIME, "nonceStr": NONCE, "package": PACKAGE, "signType": "RSA"}
    return fields | {"paySign": sign}


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        (v2() | {"nonceStr": "x"}, "VALUE_CHANGED"),
        (v2(V3_KEY), "KEY_OF_OTHER_API"),
        (v2() | {"signType": "RSA"}, "KEY_OF_OTHER_API"),
        (v2() | {"package": "wx2"}, "PREPAY_ID_PREFIX_MISSING"),
        (v2(), "WRONG_KEY"),
        (v3() | {"package": "prepay_id=wx3"}, "VALUE_CHANGED"),
        (v3() | {"signType": "MD5"}, "KEY_OF_OTHER_API"),
        (v3("another"), "WRONG_KEY"),
        (v3(), "WRONG_KEY"),
    ],
    ids=[
        "v2 nonce changed", "v2 signed by the APIv3 key", "v2 declared as v3", "v2 without its prefix", "v2 as signed",
        "v3 package changed", "v3 declared as v2", "v3 signed by another key", "v3 as signed",
    ],
)  # fmt: skip
def test_the_slip_is_named(bundle: dict[str, str], code: str) -> None:
    """Parameters that are as they were signed leave one cause: WeChat knows another key for the merchant number."""
    assert code in [slip.code for slip in find_pay_slips(json.dumps(bundle).encode(), KEYS)]
