"""Whatever words people quote when WeChat payment does not work, ``explain`` names the cause and what to do."""

from __future__ import annotations

import pytest

from wechat.catalogue.catalogue import find

WORDS = {
    # keys of WeChat Pay's
    '{"code":"RESOURCE_NOT_EXISTS","message":"无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"}': ("没有微信支付平台证书", "public_key"),
    "证书不存在": ("平台证书", "public_key"),
    "平台证书序列号不相符，未找到平台序列号": ("验签失败", "public key"),
    "No wechatpay platform certificate, please double check your init params.": ("验签失败", "public key"),
    "ValueError: invalid literal for int() with base 16: '0xPUB_KEY_ID_0116'": ("公钥ID", "as text"),
    "SYSTEM_ERROR 系统繁忙，请稍后重试": ("结果未知", "same number"),
    # the access_token and the ticket
    '{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest"}': ("不是最新的", "stable"),
    "reach max api daily quota limit (45009)": ("次数已用完", "quota"),
    "api freq out of limit": ("次数已用完", "quota"),
    "40164 invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist": ("白名单", "IP"),
    # messages that do not verify
    "signature verification failed": ("验签失败", "raw bytes"),
    "Failed to verify signature": ("验签失败", "raw bytes"),
    "非法请求，头部信息验证失败": ("验签失败", "raw bytes"),
    "Invalid request body": ("验签失败", "raw bytes"),
    "empty Wechatpay-Serial": ("验签失败", "same number"),
    "应答的微信支付签名验证失败，实际已经锁定了资金": ("钱可能已经动了", "never repeat under a new number"),
    "IllegalArgumentException: Last unit does not have enough valid bits": ("签名探测流量", "Refuse it"),
    "参数格式校验错误！": ("验签失败", "every field"),
    "AEADBadTagException: Tag mismatch": ("解密失败", "pay.v3.key"),
    "mac check in GCM failed": ("解密失败", "pay.v3.key"),
    "cipher: message authentication failed": ("解密失败", "pay.v3.key"),
    "Invalid key length": ("不是 32 个字符", "32 characters"),
    "invalid key size 6": ("不是 32 个字符", "32 characters"),
    "支付成功但没有收到回调": ("通知没有到达", "queries by itself"),
    # signatures of ours
    "<xml><return_code>FAIL</return_code><return_msg>签名错误</return_msg></xml>": ("签名错误", "pay.v2.key"),
    "签名错误，请检查后再试": ("签名错误", "pay.v2.key"),
    "沙箱验证签名失败，请确认沙箱签名key是否正确": ("沙箱", "simulator"),
    "SIGN_ERROR 商户证书序列号有误": ("serial_no", "pay.v3.merchant_cert"),
    "Http头Authorization值格式错误": ("Authorization", "serial_no"),
    "The certs(…) contains the merchant's certificate serial number which is not allowed here": ("serial_no", "pay.v3"),
    # the page
    "支付验证签名失败": ("paySign", "sign explain"),
    "getBrandWCPayRequest:fail_invalid signature": ("paySign", "sign explain"),
    "chooseWXPay:fail": ("chooseWXPay", "explain"),
    "config:fail, invalid signature": ("wx.config", "realAuthUrl"),
    "invalid url domain": ("JS接口安全域名", "JS-safe domain"),
    "当前页面的URL未注册：https://pay.example.com/pay/1": ("支付授权目录", "directory"),
    "getBrandWCPayRequest:fail_no permission to execute": ("权限", "payment directory"),
    "调用支付JSAPI缺少参数：total_fee": ("prepay_id", "new parameters"),
    "调用支付JSAPI缺少参数: package": ("package", "prepay_id="),
    "调用支付JSAPI缺少参数：appId": ("appId", "appId"),
    "redirect_uri域名与后台配置不一致，错误码：10003": ("redirect_uri", "domain"),
    "redirect_uri 参数错误": ("redirect_uri", "domain"),
    '{"errcode":40163,"errmsg":"code been used, hints: [ req_id: x ]"}': ("code 已被使用", "code"),
    "40029 invalid code": ("code 无效", "Authorise again"),
    "41008": ("缺少 code", "authorisation link"),
    "is_snapshotuser: 1": ("快照页", "使用完整服务"),
    # numbers and names
    "INVALID_REQUEST 201 商户订单号重复": ("参数与首次请求不同", "number"),
    "OUT_TRADE_NO_USED": ("订单号已被使用", "number"),
    "ORDERPAID": ("已支付", "query"),
    "appid和mch_id不匹配，请检查后再试": ("没有绑定关系", "AppID"),
    "appid and openid not match": ("不匹配", "Authorise again"),
    "appid和openid不匹配": ("openid", "openid"),
    "invalid openid": ("openid", "Authorise again"),
    "AppID不存在": ("AppID 不存在", "account.appid"),
    "JSAPI支付必须传openid": ("openid", "openid"),
    "total_fee参数长度有误": ("total_fee", "fen"),
    "invalid spbill_create_ip": ("IP", "IP"),
    "spbill_create_ip参数长度有误": ("IP", "IP"),
    "交易有效截止时间非法": ("支付截止时间", "Beijing time"),
    "字符串必须是符合 RFC3339 日期时间格式": ("RFC 3339", "expires_in_s"),
    # refunds, bills, certificates
    "NOTENOUGH 基本账户余额不足": ("余额不足", "under its number"),
    "订单金额或退款金额与之前请求不一致": ("金额与首次请求不同", "number"),
    "400 No required SSL certificate was sent": ("客户端证书", "refund_api: v3"),
    "400 The SSL certificate error": ("双向 TLS", "refund_api: v3"),
    "SSLError: [SSL] PEM lib": ("不是一对", "pay.v2.client_key"),
    "证书出错，请登录微信支付商户平台下载证书": ("双向 TLS", "pay.v2.client_cert"),
    "No Bill Exist": ("没有账单", ""),
    "NO_STATEMENT_EXIST": ("没有账单", ""),
    "证书过期": ("证书已过期", "public key"),
    "Could not deserialize key data": ("读不出商户API私钥", "apiclient_key.pem"),
    "failed to load private key.": ("读不出商户API私钥", "apiclient_key.pem"),
    "v3请求构造异常！": ("读不出商户API私钥", "apiclient_key.pem"),
    "Resolving timed out": ("域名解析失败", "getent hosts"),
}  # fmt: skip
"""What is quoted, a part of what it is said to mean, and of what to do."""


@pytest.mark.parametrize("quoted", WORDS)
def test_the_words_lead_to_a_cause_and_a_cure(quoted: str) -> None:
    meaning, cure = WORDS[quoted]
    entry = find(quoted)[0]
    assert meaning in entry.meaning.zh
    assert cure in f"{entry.fix.en} {entry.next_step}"
    assert entry.causes
    assert entry.where.zh
