"""The catalogue of errors: complete, in both languages, each entry with a source, and found by whatever people have."""

from __future__ import annotations

import re

import pytest

from scripts.error_pages import render
from scripts.steps import ROOT
from wechat.catalogue.catalogue import NAMES, Entry, entries, find

HAN = re.compile("[\u4e00-\u9fff]")
NAMED = "《》「」"


def name(entry: Entry) -> str:
    return f"{entry.api}/{entry.code}"


def test_there_are_at_least_150_entries_and_some_of_each_api() -> None:
    assert len(entries()) >= 150
    assert {entry.api for entry in entries()} == set(NAMES)


def test_no_code_of_an_api_is_there_twice() -> None:
    names = [name(entry) for entry in entries()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_an_entry_is_complete_in_both_languages(entry: Entry) -> None:
    texts = [entry.meaning, *entry.causes, entry.where, entry.fix]
    assert entry.causes
    assert entry.source.startswith("https://")
    assert [text for text in texts if not text.zh or not text.en] == []
    assert [text for text in texts if not HAN.search(text.zh) and text.zh not in ("…",)] == []
    assert not entry.next_step or re.match(r"(manage\.py|make|curl|openssl|timedatectl|getent) ", entry.next_step)


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_an_entry_is_found_by_its_code_and_by_each_of_its_texts(entry: Entry) -> None:
    for text in (entry.code, *entry.texts):
        assert name(entry) in [name(found) for found in find(text)], text


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_nobody_is_told_to_look_it_up(entry: Entry) -> None:
    said = " ".join([entry.fix.zh, entry.fix.en, *(cause.en for cause in entry.causes)]).lower()
    assert "look it up" not in said
    assert "look the code up" not in said
    assert "查看微信支付文档" not in said


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("NOTENOUGH", "v2/NOTENOUGH"),
        ("NOT_ENOUGH", "v3/NOT_ENOUGH"),
        ("40163", "oauth/40163"),
        ("支付验证签名失败", "bridge/支付验证签名失败"),
        ("-268443699", "request-id/268443699"),
        ("08F78BD0B90610-268443699", "request-id/268443699"),
        ('{"errcode":40163,"errmsg":"code been used, hints: [ req_id: x ]"}', "oauth/40163"),
        ('{"errcode":40164,"errmsg":"invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist"}', "account/40164"),
        ('{"code":"ORDERPAID","message":"该订单已支付"}', "v3/ORDER_PAID"),
        ('{"code":"SIGN_ERROR","message":"Http头Authorization值格式错误，请参考…"}', "v3/SIGN_ERROR: Authorization"),
        ('{"code":"RESOURCE_NOT_EXISTS","message":"无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥"}', "v3/RESOURCE_NOT_EXISTS"),
        ("<xml><return_code>FAIL</return_code><return_msg><![CDATA[签名错误]]></return_msg></xml>", "v2/SIGN_ERROR"),
        ("<xml><return_code>SUCCESS</return_code><err_code><![CDATA[ORDERNOTEXIST]]></err_code></xml>", "v2/ORDERNOTEXIST"),
        ("get_brand_wcpay_request:fail", "bridge/get_brand_wcpay_request:fail"),
        ("调用支付JSAPI缺少参数: total_fee", "bridge/调用支付JSAPI缺少参数：total_fee"),
        ("当前页面的URL未注册：https://pay.example.com/", "bridge/当前页面的URL未注册"),
        ("config:fail, invalid signature", "jssdk/config:invalid signature"),
        ("redirect_uri域名与后台配置不一致，错误码：10003", "oauth/10003"),
        ("HTTP/1.1 502 Bad Gateway", "network/HTTP 502"),
        ("404", "network/HTTP 404"),
        ("Cannot connect to host api.mch.weixin.qq.com:443 ssl:default [Name or service not known]", "network/DNS_FAILED"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "network/TLS_CERTIFICATE"),
        ("cryptography.exceptions.InvalidTag", "v3/AEAD"),
        ("aead_tag", "notify/aead_tag"),
        ('{"event":"notification_refused","reason":"unknown_serial","serial":"PUB_KEY_ID_0"}', "notify/unknown_serial"),
    ],
)  # fmt: skip
def test_what_people_paste_leads_to_the_right_entry(text: str, first: str) -> None:
    assert [name(entry) for entry in find(text)][:1] == [first]


@pytest.mark.parametrize("text", ["", "hello", "\x00\xff", "{" * 5000, "完全无关的一句话", "9" * 400])
def test_what_is_unknown_finds_nothing_and_breaks_nothing(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_what_the_catalogue_says(lang: str) -> None:
    """Out of date? ``python -m scripts.error_pages``."""
    assert (ROOT / "docs" / lang / "errors.md").read_text(encoding="utf-8") == render(lang)
