"""The slips that make a signature wrong, with a sentence each. ``{}`` stands for a name, an address or a number."""

from __future__ import annotations

from enum import StrEnum

from wechat.domain.errors import Bilingual


class SlipCode(StrEnum):
    """The codes of slips. Scripts may depend on the names."""

    WRONG_KEY = "WRONG_KEY"
    KEY_OF_OTHER_API = "KEY_OF_OTHER_API"
    OTHER_GIVEN_KEY = "OTHER_GIVEN_KEY"
    KEY_HAS_BLANKS = "KEY_HAS_BLANKS"
    KEY_NOT_APPENDED = "KEY_NOT_APPENDED"
    KEY_NOT_DECODED = "KEY_NOT_DECODED"
    CERTIFICATE_FOR_KEY = "CERTIFICATE_FOR_KEY"
    SERIAL_OF_OTHER_KEY = "SERIAL_OF_OTHER_KEY"
    TICKET_DIFFERS = "TICKET_DIFFERS"
    MD5_FOR_HMAC = "MD5_FOR_HMAC"
    HMAC_FOR_MD5 = "HMAC_FOR_MD5"
    WRONG_ALGORITHM = "WRONG_ALGORITHM"
    SIGN_TYPE_MISSING = "SIGN_TYPE_MISSING"
    SIGN_TYPE_SIGNED = "SIGN_TYPE_SIGNED"
    EMPTY_VALUE_SIGNED = "EMPTY_VALUE_SIGNED"
    SIGN_FIELD_SIGNED = "SIGN_FIELD_SIGNED"
    SIGN_MISSING = "SIGN_MISSING"
    NOT_SORTED = "NOT_SORTED"
    NOT_UTF8 = "NOT_UTF8"
    WRONG_PARAMETER_CASE = "WRONG_PARAMETER_CASE"
    PREPAY_ID_PREFIX_MISSING = "PREPAY_ID_PREFIX_MISSING"
    PREPAY_ID_PREFIX_DOUBLED = "PREPAY_ID_PREFIX_DOUBLED"
    NUMBER_FOR_TEXT = "NUMBER_FOR_TEXT"
    TIMESTAMP_DIFFERS = "TIMESTAMP_DIFFERS"
    TIMESTAMP_IN_MILLISECONDS = "TIMESTAMP_IN_MILLISECONDS"
    NONCE_DIFFERS = "NONCE_DIFFERS"
    METHOD_DIFFERS = "METHOD_DIFFERS"
    URL_ENCODED_VALUES = "URL_ENCODED_VALUES"
    LOWER_CASE_RESULT = "LOWER_CASE_RESULT"
    UPPER_CASE_RESULT = "UPPER_CASE_RESULT"
    SIGNATURE_ENCODING = "SIGNATURE_ENCODING"
    LAST_LINE_END_MISSING = "LAST_LINE_END_MISSING"
    LINE_END_CRLF = "LINE_END_CRLF"
    URL_WITH_HOST = "URL_WITH_HOST"
    URL_WITHOUT_QUERY = "URL_WITHOUT_QUERY"
    URL_WITH_FRAGMENT = "URL_WITH_FRAGMENT"
    URL_DIFFERS = "URL_DIFFERS"
    BODY_CHANGED = "BODY_CHANGED"
    VALUE_CHANGED = "VALUE_CHANGED"
    HTML_ENTITY = "HTML_ENTITY"
    PROBE = "PROBE"
    CLOCK_OFF = "CLOCK_OFF"


_C = SlipCode
SENTENCES: dict[SlipCode, Bilingual] = {
    _C.WRONG_KEY: Bilingual(
        "签名用的不是这个密钥：按各种常见错误都算不出这个签名，请核对密钥和商户号{}",
        "Another key made the signature: none of the usual mistakes gives it with this key; check key and merchant "
        "number{}",
    ),
    _C.KEY_OF_OTHER_API: Bilingual(
        "签名用的是另一个接口版本的密钥（APIv2密钥、APIv3密钥、商户API私钥不能混用）{}",
        "The signature was made with a key of another API version; APIv2 key, APIv3 key and merchant API private key "
        "are three different things{}",
    ),
    _C.OTHER_GIVEN_KEY: Bilingual(
        "签名用的是给出的另一个密钥，不是第一个；第一个是按正确的密钥检查的{}",
        "The signature was made with another of the given keys, not with the first, which is taken for the right one{}",
    ),
    _C.KEY_HAS_BLANKS: Bilingual("密钥首尾带有空白或换行{}", "The key has blanks or a line end around it{}"),
    _C.KEY_NOT_APPENDED: Bilingual(
        "待签名串末尾没有正确拼接 &key=密钥{}", "The string to sign does not end in &key= and the key{}"
    ),
    _C.KEY_NOT_DECODED: Bilingual(
        "whsec_ 后面是 base64，要先解码再作为密钥使用{}",
        "What follows whsec_ is base64 and has to be decoded before it is used as the key{}",
    ),
    _C.CERTIFICATE_FOR_KEY: Bilingual("该填密钥的地方给了证书{}", "A certificate was given where a key belongs{}"),
    _C.SERIAL_OF_OTHER_KEY: Bilingual(
        "序列号与签名用的密钥不匹配{}", "The serial number names another key than the one that signs{}"
    ),
    _C.TICKET_DIFFERS: Bilingual(
        "签名用的 jsapi_ticket 不是这一个（属于其他服务号、已过期，或误用了 access_token）{}",
        "The signature was made with another jsapi_ticket: of another account, expired, or an access_token{}",
    ),
    _C.MD5_FOR_HMAC: Bilingual(
        "声明的签名类型是 HMAC-SHA256，实际用 MD5 计算{}", "HMAC-SHA256 is declared, and MD5 was computed{}"
    ),
    _C.HMAC_FOR_MD5: Bilingual(
        "声明的签名类型是 MD5，实际用 HMAC-SHA256 计算{}", "MD5 is declared, and HMAC-SHA256 was computed{}"
    ),
    _C.WRONG_ALGORITHM: Bilingual("签名算法不对{}", "The signature was made with another algorithm{}"),
    _C.SIGN_TYPE_MISSING: Bilingual("缺少签名类型{}", "The sign type is missing{}"),
    _C.SIGN_TYPE_SIGNED: Bilingual(
        "APIv3 的 paySign 只签四行，signType 不参与签名{}",
        "paySign of APIv3 covers four lines; signType is not among them{}",
    ),
    _C.EMPTY_VALUE_SIGNED: Bilingual(
        "值为空的参数不参与签名，却被签了进去{}", "An empty parameter was signed; empty ones are left out{}"
    ),
    _C.SIGN_FIELD_SIGNED: Bilingual(
        "签名字段本身不参与签名，却被签了进去{}", "The signature's own field was signed; it is left out{}"
    ),
    _C.SIGN_MISSING: Bilingual("报文里没有签名{}", "There is no signature in the message{}"),
    _C.NOT_SORTED: Bilingual(
        "参数没有按参数名的 ASCII 码从小到大排序{}", "The parameters are not in ASCII order of their names{}"
    ),
    _C.NOT_UTF8: Bilingual("签名时的字符编码不是 UTF-8{}", "The text was signed in another encoding than UTF-8{}"),
    _C.WRONG_PARAMETER_CASE: Bilingual(
        "参数名的大小写或写法不对{}", "A parameter's name is spelt wrongly, often in its capital letters{}"
    ),
    _C.PREPAY_ID_PREFIX_MISSING: Bilingual(
        "package 要写成 prepay_id=…，缺少前缀 prepay_id={}",
        "package must be written prepay_id=…; the prefix prepay_id= is missing{}",
    ),
    _C.PREPAY_ID_PREFIX_DOUBLED: Bilingual("package 里的 prepay_id= 重复了{}", "package holds prepay_id= twice{}"),
    _C.NUMBER_FOR_TEXT: Bilingual("应为字符串，却传了数字{}", "A number was passed where a string is needed{}"),
    _C.TIMESTAMP_DIFFERS: Bilingual(
        "签名用的时间戳与发送的不是同一个{}", "Another timestamp was signed than the one that was sent{}"
    ),
    _C.TIMESTAMP_IN_MILLISECONDS: Bilingual(
        "时间戳应为 10 位的秒，却用了毫秒{}", "The timestamp is in milliseconds; seconds (ten digits) are needed{}"
    ),
    _C.NONCE_DIFFERS: Bilingual(
        "签名用的随机串与发送的不是同一个{}", "Another nonce was signed than the one that was sent{}"
    ),
    _C.METHOD_DIFFERS: Bilingual(
        "签名用的请求方法与发送的不同（须大写）{}", "Another method was signed than the one that was sent{}"
    ),
    _C.URL_ENCODED_VALUES: Bilingual(
        "参数值做了 URL 编码后才签名，应签原始值{}",
        "The values were URL-encoded before signing; sign them as they are{}",
    ),
    _C.LOWER_CASE_RESULT: Bilingual("签名结果应转成大写{}", "The result has to be in upper case{}"),
    _C.UPPER_CASE_RESULT: Bilingual("签名结果应为小写{}", "The result has to be in lower case{}"),
    _C.SIGNATURE_ENCODING: Bilingual(
        "签名值的编码不对，应为一行标准 base64{}", "The signature is not encoded as one line of standard base64{}"
    ),
    _C.LAST_LINE_END_MISSING: Bilingual(
        "待签名串的最后一行也要以换行符结尾{}", "The last line of the string to sign lacks its line end{}"
    ),
    _C.LINE_END_CRLF: Bilingual(
        "待签名串的换行符应为 \\n，却用了其他写法{}", "Lines end in \\n alone; something else was used{}"
    ),
    _C.URL_WITH_HOST: Bilingual(
        "签名用的 URL 带了域名，应从 / 开始{}", "The URL was signed with its host; it begins with / {}"
    ),
    _C.URL_WITHOUT_QUERY: Bilingual("签名用的 URL 少了 ? 后面的查询串{}", "The URL was signed without its query{}"),
    _C.URL_WITH_FRAGMENT: Bilingual(
        "签名用的 URL 带了 # 及其后部分，应去掉{}", "The URL was signed with # and what follows it, which has to go{}"
    ),
    _C.URL_DIFFERS: Bilingual("签名用的 URL 与实际的不同{}", "Another URL was signed than the actual one{}"),
    _C.BODY_CHANGED: Bilingual(
        "签名用的报文体与这里的不同，须用原始字节{}", "Another body was signed than this one; use the raw bytes{}"
    ),
    _C.VALUE_CHANGED: Bilingual(
        "签名之后参数值被改动，应对实际发送的值签名{}", "A value was changed after it was signed; sign what is sent{}"
    ),
    _C.HTML_ENTITY: Bilingual(
        "内容被当作 HTML 处理过（&amp; 或 &times 变成 ×）{}",
        "The text went through HTML (&amp;, or &times turned into ×){}",
    ),
    _C.PROBE: Bilingual(
        "这是微信支付的签名探测流量，签名故意是错的：应答 4xx 拒绝即可，随后会有正确的通知{}",
        "This is a signature probe of WeChat Pay, wrong on purpose: refuse it with 4xx; the real message follows{}",
    ),
    _C.CLOCK_OFF: Bilingual("时钟偏差超过 5 分钟{}", "The clock is more than five minutes off{}"),
}


def sentence(code: SlipCode, zh: str = "", en: str = "") -> Bilingual:
    """Return the sentence of ``code`` with a particular in both languages."""
    text = SENTENCES[code]
    return Bilingual(
        text.zh.replace("{}", f"：{zh}" if zh else ""), text.en.replace("{}", f": {en or zh}" if en or zh else "")
    )


def describe_code(code: str) -> Bilingual:
    """Return the sentence of a stored code; the code itself if it is unknown, because a newer release stored it."""
    return sentence(SlipCode(code)) if code in list(SlipCode) else Bilingual(code, code)
