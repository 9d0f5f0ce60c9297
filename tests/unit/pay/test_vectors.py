"""Vectors that WeChat, or an SDK's own tests, published; each is recomputed from its inputs.

Every rule of ours has one but two: v2's paySign (its formula is v2's signature over five other names, so a second
implementation stands in: openssl) and the notification ``resource``, which is the same AES-256-GCM as the certificates.
The private key belongs to the documents ("apiclient_test_key.pem"); it protects nothing.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from wechat.account.page_signature import page_url, signature
from wechat.domain.errors import SignatureInvalid
from wechat.domain.facts import UnsignedRefundNotice
from wechat.domain.times import from_v2_datetime
from wechat.pay.certificates import Certificates, KeyRing, Unverified, load_public_key
from wechat.pay.ciphers import AeadCipher, open_req_info, seal_req_info
from wechat.pay.signing import (
    Signer,
    SignType,
    rsa_verify,
    v2_pay_fields,
    v2_sign,
    v2_string,
    v2_verify,
    v3_answer_message,
    v3_pay_message,
    v3_request_message,
)
from wechat.pay.v2.fields import refund_notice

HERE = Path(__file__).parent / "vectors"

# https://pay.weixin.qq.com/doc/v2/merchant/4011985891 (安全规范 · 签名算法), "举例"
V2_FIELDS = {
    "appid": "wxd930ea5d5a258f4f",
    "mch_id": "10000100",
    "device_info": "1000",
    "body": "test",
    "nonce_str": "ibuaiVcKdpRxkhJA",
}
V2_KEY = "192006250b4c09247ec02edce69f6a2d"
V2_MD5 = "9A0A8659F005D6984697E2CA0A9CF3B7"
V2_HMAC = "6A9AE1657590FD6257D693A078E1C3E4BB6BA4DC30B23E0EE2496E54170DACD6"

# https://pay.weixin.qq.com/doc/v3/merchant/4012365336 (如何生成请求签名), the POST example
V3_BODY = (
    '{"appid":"wxd678efh567hg6787","mchid":"1900007291","description":"Image形象店-深圳腾大-QQ公仔",'
    '"out_trade_no":"1217752501201407033233368018","notify_url":"https://www.weixin.qq.com/wxpay/pay.php",'
    '"amount":{"total":100,"currency":"CNY"},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}'
).encode()
V3_TIME = "1554208460"
V3_NONCE = "593BEC0C930BF1AFEB40B4A08C8FB242"
V3_SERIAL = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"
V3_SIGNATURE = (
    "jnks4dlrPw3ZX+ozVvSK39oa0t7OMBsg83BHAwd8BRdUFiVaQNTLTvci+wURgP1OQBbKYhFGvt7iqYpDSTQkp7Uq1sltaQKyncCyrA1g88m5bsKE"
    "RQfPyT0ahSwKTYJ1CAn9QiJuSJRq1QsQs07eehbU/k9BCS51jTyc1Jpsi2H77HF9f/BnjXAOP3/sPObg6V5Ee4EzwLox684hhuMuIwHo7D8KFk3L"
    "IHOKDcNI4It1aCXydFWNpNK+SG86VUDe5kwoDpw4Ulqfu9z8OFDGbDs9TCxEv8iqQzbpxOlEVoOe2kalSYM5kApQb3nZcxdUtoE0liJGW3RGUNE0"
    "t4v01A=="
)

# https://pay.weixin.qq.com/doc/v3/merchant/4012365341 (小程序调起支付签名; JSAPI's .../4012365340 signs the same four lines)
PAY_SIGN = (
    "mI35pfNEQV6777ke/1T+LJLQDNTm7yeoUJH+j/adPGhmCCi0PbgkvYQTRcXH0uibcLVtvFLdGLpmoYO9FV6lBBsTAjuhh5YOvQi0e2g3e0yytiti"
    "NET9FEuqM0pjnKfRW4K6LIZDdbWJv9KhZUx3DrJa5TL7OJ7VdADVivxVySIlPVKjGwuCXzuXSJes0UcILgWQUMyha5/3nYofuHtS7r+KYyMuxD+o"
    "J9VM1Qdxk4UIG59CP5Y3wtYIFybyF3bdu1caHTRRX+DLyMXyYA/IrTmiW01c4RPjpHBX5Dk1sZyY1zVsWNsvMHr2e1NTWtBxKJ+qk5N61J7caYoe"
    "pHFaxw=="
)

# https://pay.weixin.qq.com/doc/v3/merchant/4013053249 (如何使用微信支付公钥验签), the answer of a native order
ANSWER_TIME = "1722850421"
ANSWER_NONCE = "d824f2e086d3c1df967785d13fcd22ef"
ANSWER_BODY = b'{"code_url":"weixin://wxpay/bizpayurl?pr=JyC91EIz1"}'
ANSWER_SIGNATURE = (
    "mfI1CPqvBrgcXfgXMFjdNIhBf27ACE2YyeWsWV9ZI7T7RU0vHvbQpu9Z32ogzc+k8ZC5n3kz7h70eWKjgqNdKQF0eRp8mVKlmfzMLBVHbssB9jEZ"
    "EDXThOX1XFqX7s7ymia1hoHQxQagPGzkdWxtlZPZ4ZPvr1RiqkgAu6Is8MZgXXrRoBKqjmSdrP1N7uxzJ/cjfSiis9FiLjuADoqmQ1P7p2N876YP"
    "Aol7Rn0+GswwAwxldbdLrmVSjfytfSBJFqTMHn4itojgxSWWN1byuckQt8hSTEv/Lg97QoeGniYP17T80pJeQyL3b+295FPHSO2AtvCgyIbKMZ0B"
    "ALilAA=="
)

# https://github.com/wechatpay-apiv3/wechatpay-java core/src/test: TestConfig.java and AeadAesCipherTest.java
JAVA_KEY = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
JAVA_SEALED = {"nonce": "uluk4a9R25RW", "associated_data": "associatedData"}
JAVA_CIPHERTEXT = "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI="
JAVA_SERIAL = "5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC"


@pytest.fixture(scope="module")
def signer() -> Signer:
    key = load_pem_private_key((HERE / "apiclient_test_key.pem").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return Signer("1900007291", V3_SERIAL, key)


def openssl(*arguments: str, stdin: bytes) -> str:
    """Run the openssl command, an implementation independent of ours; return its output without outer white space."""
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_the_document_signs_a_v2_request_with_md5_as_we_do() -> None:
    assert v2_sign(V2_FIELDS, V2_KEY, SignType.MD5) == V2_MD5


def test_the_document_signs_a_v2_request_with_hmac_as_we_do() -> None:
    assert v2_sign(V2_FIELDS, V2_KEY, SignType.HMAC_SHA256) == V2_HMAC


@pytest.mark.parametrize("sign", [V2_MD5, V2_HMAC])
def test_both_published_v2_signatures_verify_and_name_their_kind(sign: str) -> None:
    kind = v2_verify(V2_FIELDS | {"sign": sign}, V2_KEY)
    assert kind is (SignType.MD5 if sign == V2_MD5 else SignType.HMAC_SHA256)


def test_an_empty_v2_field_is_not_signed() -> None:
    # https://github.com/yansongda/pay tests/Plugin/Wechat/Radar: name, age and an empty foo under the key "yansongda"
    fields = {"name": "yansongda", "age": "29", "foo": ""}
    assert v2_sign(fields, "yansongda", SignType.MD5) == "3213848AED2C380749FD1D559555881D"


def test_openssl_agrees_on_the_v2_pay_sign() -> None:
    fields = v2_pay_fields("wx2421b1c4370ec43b", V3_TIME, "e61463f8efa94090", "prepay_id=u802345jgf", SignType.MD5)
    text = (
        "appId=wx2421b1c4370ec43b&nonceStr=e61463f8efa94090&package=prepay_id=u802345jgf&signType=MD5"
        f"&timeStamp={V3_TIME}&key={V2_KEY}"
    )
    assert v2_string(fields, V2_KEY) == text
    digest = openssl("dgst", "-md5", "-r", stdin=text.encode()).split()[0]
    assert v2_sign(fields, V2_KEY, SignType.MD5) == digest.upper()
    mac = openssl("dgst", "-sha256", "-hmac", V2_KEY, "-r", stdin=text.encode()).split()[0]
    assert v2_sign(fields, V2_KEY, SignType.HMAC_SHA256) == mac.upper()


def test_the_js_sdk_appendix_signs_a_page_as_we_do() -> None:
    # https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html#62
    ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
    page = page_url("http://mp.weixin.qq.com?params=value#fragment")
    assert signature(ticket, "Wm3WZYTPz0wzccnW", "1414587457", page) == "0f9de62fce790f9a083d5c99e95740ceb90c27ed"


def test_the_document_signs_a_v3_request_as_we_do(signer: Signer) -> None:
    message = v3_request_message("POST", "/v3/pay/transactions/jsapi", V3_TIME, V3_NONCE, V3_BODY)
    assert signer.sign(message) == V3_SIGNATURE


def test_the_documents_authorization_header_is_ours_to_the_letter(signer: Signer) -> None:
    header = signer.authorization("POST", "/v3/pay/transactions/jsapi", V3_BODY, timestamp=V3_TIME, nonce=V3_NONCE)
    assert header == (
        f'WECHATPAY2-SHA256-RSA2048 mchid="1900007291",nonce_str="{V3_NONCE}",signature="{V3_SIGNATURE}",'
        f'timestamp="{V3_TIME}",serial_no="{V3_SERIAL}"'
    )


def test_a_v3_request_without_a_body_still_ends_in_an_empty_line() -> None:
    # The same document's GET example: the refund 123123123123
    message = v3_request_message("GET", "/v3/refund/domestic/refunds/123123123123", V3_TIME, V3_NONCE, b"")
    assert message.decode() == f"GET\n/v3/refund/domestic/refunds/123123123123\n{V3_TIME}\n{V3_NONCE}\n\n"


def test_the_document_signs_the_pay_params_as_we_do(signer: Signer) -> None:
    package = "prepay_id=wx201410272009395522657a690389285100"
    assert signer.sign(v3_pay_message("wx2421b1c4370ec43b", V3_TIME, V3_NONCE, package)) == PAY_SIGN


def test_the_documents_signed_answer_verifies() -> None:
    key = load_public_key((HERE / "wechatpay_test_public_key.pem").read_text())
    rsa_verify(key, v3_answer_message(ANSWER_TIME, ANSWER_NONCE, ANSWER_BODY), ANSWER_SIGNATURE)


@pytest.mark.parametrize("position", range(0, len(ANSWER_BODY), 7))
def test_the_documents_signed_answer_does_not_verify_once_a_byte_has_changed(position: int) -> None:
    key = load_public_key((HERE / "wechatpay_test_public_key.pem").read_text())
    changed = bytearray(ANSWER_BODY)
    changed[position] ^= 1
    with pytest.raises(SignatureInvalid):
        rsa_verify(key, v3_answer_message(ANSWER_TIME, ANSWER_NONCE, bytes(changed)), ANSWER_SIGNATURE)


def test_the_java_sdks_sealed_message_opens_and_seals_as_ours() -> None:
    cipher = AeadCipher(JAVA_KEY)
    assert cipher.open(**JAVA_SEALED, ciphertext=JAVA_CIPHERTEXT) == b"message"
    assert cipher.seal(b"message", **JAVA_SEALED) == JAVA_CIPHERTEXT


async def test_the_java_sdks_certificate_download_fills_the_ring() -> None:
    body = (HERE / "certificates_answer.json").read_bytes()
    clock = ManualClock(datetime(2024, 1, 1, tzinfo=UTC))
    ring = KeyRing(clock)

    async def download() -> Unverified:
        return Unverified(body, lambda keys: _holds(keys, JAVA_SERIAL))

    await Certificates(ring, AeadCipher(JAVA_KEY), download, a_runtime(clock)).refresh()
    assert ring.preferred_serial == JAVA_SERIAL
    assert ring.find(JAVA_SERIAL).key_size == 2048


def test_openssl_reads_the_same_serial_in_the_downloaded_certificate() -> None:
    row = json.loads((HERE / "certificates_answer.json").read_bytes())["data"][0]
    sealed = row["encrypt_certificate"]
    pem = AeadCipher(JAVA_KEY).open(
        nonce=sealed["nonce"], associated_data=sealed["associated_data"], ciphertext=sealed["ciphertext"]
    )
    assert openssl("x509", "-noout", "-serial", stdin=pem) == f"serial={JAVA_SERIAL}"


def _holds(ring: KeyRing, serial: str) -> None:
    ring.find(serial)


def test_a_published_refund_message_opens_and_seals_as_ours() -> None:
    """github.com/rwscode/payutil, wechat/payment_api_test.go (TestDecryptRefundNotifyReqInfo), with its key."""
    sealed, key = (HERE / "req_info.txt").read_text().strip(), "ziR0QKsTUfMOuochC9RfCdmfHECorQAP"
    plain = open_req_info(sealed, key)
    assert seal_req_info(plain, key) == sealed
    notice = refund_notice({"req_info": sealed}, key)
    assert notice == UnsignedRefundNotice("50fd012ed1b311e7af7800163e32c503", "4893e76d8c8b434cb64e9cd536338e33")
    assert b"<success_time><![CDATA[2017-11-25 15:36:17]]></success_time>" in plain
    assert from_v2_datetime("2017-11-25 15:36:17") == datetime(2017, 11, 25, 7, 36, 17, tzinfo=UTC)
