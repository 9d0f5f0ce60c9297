"""AES-256-GCM, by which v3 encrypts certificates and notifications; AES-256-ECB, by which v2 encrypts refund results.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012071382 (如何解密回调报文和平台证书),
https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_16 (退款结果通知, 解密方式).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from wechat.domain.errors import Bilingual, Malformed

KEY_BYTES = 32
NONCE_BYTES = 12
WRONG_KEY = Bilingual(
    "APIv3密钥与该商户号不一致；请检查后重启，微信支付会再次发送通知",
    "The APIv3 key does not belong to this merchant; correct it and restart, WeChat repeats the notification",
)


class AeadCipher:
    """Decrypts (for the simulator, encrypts) ``resource`` and ``encrypt_certificate`` with the APIv3 key.

    ``other_keys`` decrypt, too, because a message may be older or newer than a change of the key.
    """

    def __init__(self, api_v3_key: str, *other_keys: str) -> None:
        keys = [key.encode() for key in (api_v3_key, *other_keys)]
        if any(len(key) != KEY_BYTES for key in keys):  # AESGCM itself would take 16 or 24
            raise ValueError("the APIv3 key has 32 bytes")
        self._ciphers = [AESGCM(key) for key in keys]

    def open(self, *, nonce: str, associated_data: str, ciphertext: str) -> bytes:
        """Decrypt ``ciphertext``, base64 of the encrypted bytes and their 16-byte tag. Raises Malformed."""
        if len(nonce) != NONCE_BYTES or not nonce.isascii():
            raise Malformed("aead_nonce")
        try:
            sealed = base64.b64decode(ciphertext.encode("ascii"), validate=True)
            for cipher in self._ciphers:
                with suppress(InvalidTag):
                    return cipher.decrypt(nonce.encode(), sealed, associated_data.encode())
        except (binascii.Error, ValueError):
            raise Malformed("aead_base64") from None
        raise Malformed("aead_tag", WRONG_KEY)

    def seal(self, plaintext: bytes, *, nonce: str, associated_data: str) -> str:
        """Encrypt; the inverse of ``open``."""
        return base64.b64encode(self._ciphers[0].encrypt(nonce.encode(), plaintext, associated_data.encode())).decode()


def open_req_info(req_info: str, api_v2_key: str) -> bytes:
    """Decrypt the XML in v2's ``req_info``. Raises Malformed.

    The result proves nothing: blocks of genuine messages can be recombined undetected.
    """
    try:
        sealed = base64.b64decode(req_info.encode("ascii"), validate=True)
        decryptor = _ecb(api_v2_key).decryptor()
        unpadder = PKCS7(AES256.block_size).unpadder()
        return unpadder.update(decryptor.update(sealed) + decryptor.finalize()) + unpadder.finalize()
    except (binascii.Error, ValueError):
        raise Malformed("req_info") from None


def seal_req_info(plaintext: bytes, api_v2_key: str) -> str:
    """Encrypt, for the simulator; the inverse of ``open_req_info``."""
    padder, encryptor = PKCS7(AES256.block_size).padder(), _ecb(api_v2_key).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _ecb(api_v2_key: str) -> Cipher[ECB]:
    """Build the cipher. Its key is the 32 letters of an MD5 in lower-case hex, not 16 bytes. WeChat chose the mode."""
    digest = hashlib.md5(api_v2_key.encode(), usedforsecurity=False).hexdigest()
    return Cipher(AES256(digest.encode()), ECB())  # noqa: S305 - what v2 sends; nothing inside it is believed
