"""The tables of texts and the templates fit together, for states too that no browser test can wait for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tornado.template import Loader

from handlers.payer.cashier import FINAL_PAGES, HINTS, final_page
from handlers.web.texts import REFUSALS, SCRIPT_TEXTS, TEXTS, Refusal, texts
from tests.contract.samples import NOW, a_payment, a_refund, an_order
from wechat.catalogue.catalogue import entries
from wechat.domain.errors import Bilingual
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen, yuan
from wechat.domain.orders import PAID_STATES, Order, TradeState
from wechat.domain.times import beijing, to_v3

ROOT = Path(__file__).resolve().parents[2]
HAN = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize("text", [*TEXTS.values(), *SCRIPT_TEXTS.values()])
def test_every_sentence_is_chinese_in_chinese_and_english_in_english(text: Bilingual) -> None:
    assert HAN.search(text.zh)
    assert text.en
    assert not HAN.search(text.en)


SUPPORT_FILE = "support.html"
"""It has texts of its own, for whoever is sent it."""


def test_templates_and_scripts_use_the_texts_that_exist_and_all_of_them() -> None:
    pages = [path for path in (ROOT / "templates").glob("*.html") if path.name != SUPPORT_FILE]
    templates = "".join(path.read_text(encoding="utf-8") for path in pages)
    computed = {*FINAL_PAGES.values(), "refunded_all", *(f"{name}_hint" for name in HINTS)}
    asked = {key for call in re.findall(r"\bt\(([^)]*)\)", templates) for key in re.findall(r"[\"'](\w+)[\"']", call)}
    assert asked - {"wx"} | computed == set(TEXTS)
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "static/js").glob("*.js"))
    assert set(re.findall(r"\bwords\.(\w+)", scripts)) == set(SCRIPT_TEXTS)


def test_what_the_merchant_reads_is_the_catalogues() -> None:
    known = {entry.code: entry for entry in entries()}
    told = {refusal.entry: refusal.tell_merchant("en") for refusal in REFUSALS if refusal.entry}
    assert len(told) == 7
    for code, text in told.items():
        assert text.startswith(known[code].meaning.en)
        assert known[code].fix.en in text


def test_a_refusal_is_found_by_its_own_words_before_a_more_general_one() -> None:
    said = [refusal.said for refusal in REFUSALS]
    for index, words in enumerate(said):
        assert not any(earlier in words for earlier in said[:index])


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("支付验证签名失败", "暂时无法发起支付"),
        ("当前页面的URL未注册：https://pay.example.com/pay/1", "商家尚未完成支付配置，暂时无法付款"),
        ("调用支付JSAPI缺少参数: total_fee", "本次支付已失效"),
        ("调用支付JSAPI缺少参数: appId", "暂时无法发起支付"),
        ("下单账号与支付账号不一致，请核实后再支付", "当前微信号不是下单的微信号"),
        ("该订单已支付", "本订单已支付"),
        ("订单已过期失效，请重新下单再发起支付", "已超过支付时间"),
        ("config:invalid signature", "暂时无法发起支付"),
        ("chooseWXPay:fail, the permission value is offline verifying", "商家尚未完成支付配置，暂时无法付款"),
    ],
)
def test_wechats_words_are_put_plainly(words: str, means: str) -> None:
    first = next(refusal for refusal in REFUSALS if refusal.said in words)
    assert first.means.zh == means


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("state", list(FINAL_PAGES))
def test_every_state_has_its_page(state: TradeState, lang: str) -> None:
    order = an_order(trade_state=state, payments=(a_payment(),) if state in PAID_STATES else ())
    html = rest_page(order, lang)
    assert f"<h1>{TEXTS[FINAL_PAGES[state]].to(lang)}</h1>" in html
    assert "¥36.00" in html
    assert ("2026-03-01 12:05:06" in html) is order.paid
    assert ("支付成功" in html) is (lang == "zh" and state is TradeState.SUCCESS)
    assert "ribbon" not in html


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_page_says_when_orders_are_kept_in_memory_only(lang: str) -> None:
    said = {"zh": "订单仅保存在内存中，进程结束后丢失", "en": "Orders are kept in memory only"}[lang]
    assert said in rest_page(an_order(), lang, in_memory=True)
    assert said not in rest_page(an_order(), lang)


PAYER_NEVER_READS = ("签名", "密钥", "prepay_id", "appid", "目录", "域名", "signature", "prepay", "director", "domain")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.said)
def test_a_payer_reads_nothing_of_keys_and_signatures(refusal: Refusal) -> None:
    """The merchant's part is folded away; what the payer reads is something that a payer can do."""
    read = " ".join([refusal.means.zh, refusal.cure.zh, refusal.means.en, refusal.cure.en])
    assert [word for word in PAYER_NEVER_READS if word in read.lower()] == []


@pytest.mark.parametrize("key", ["unsure_hint", "confirming_hint", "expired_hint"])
def test_who_may_have_paid_is_told_not_to_pay_again(key: str) -> None:
    assert "请勿" in TEXTS[key].zh
    assert "not" in TEXTS[key].en


def test_f5_a_refunded_order_shows_what_was_refunded_and_when() -> None:
    done = a_refund("refund-1", refund=Fen(500), state=RefundState.SUCCESS, success_at=NOW)
    running = a_refund("refund-2", refund=Fen(100), state=RefundState.PROCESSING)
    refused = a_refund("refund-3", refund=Fen(700), state=RefundState.REFUSED)
    order = an_order(trade_state=TradeState.REFUND, payments=(a_payment(),), refunds=(done, running, refused))
    html = " ".join(re.sub(r"<[^>]+>", " ", rest_page(order, "zh")).split())
    assert "已退款 ¥5.00" in html
    assert "支付金额 ¥36.00" in html
    assert "¥5.00 退款成功 2026-03-01 12:05:06" in html
    assert "¥1.00 退款处理中" in html
    assert "¥7.00" not in html
    whole = replace(order, refunds=(replace(done, refund=Fen(3600)),))
    assert "已全额退款 ¥36.00" in " ".join(re.sub(r"<[^>]+>", " ", rest_page(whole, "zh")).split())


def test_f5_nothing_is_said_to_be_refunded_before_it_is() -> None:
    running = a_refund("refund-1", refund=Fen(500), state=RefundState.PROCESSING)
    order = an_order(trade_state=TradeState.REFUND, payments=(a_payment(),), refunds=(running,))
    html = " ".join(re.sub(r"<[^>]+>", " ", rest_page(order, "zh")).split())
    assert "退款处理中 ¥5.00 款项正在原路退款" in html
    assert "已退款" not in html
    closed = replace(order, refunds=(replace(running, state=RefundState.CLOSED),))
    html = " ".join(re.sub(r"<[^>]+>", " ", rest_page(closed, "zh")).split())
    assert "支付成功 ¥36.00" in html
    assert "退款" not in html


def test_a_late_payment_is_said_to_be_refunded_only_when_a_refund_is_under_way() -> None:
    order = an_order(trade_state=TradeState.PAID_LATE, payments=(a_payment(),))
    assert TEXTS["paid_late_hint"].zh in rest_page(order, "zh")
    under_way = replace(order, refunds=(a_refund("refund-1", refund=Fen(3600), state=RefundState.PROCESSING),))
    assert TEXTS["refunding_hint"].zh in rest_page(under_way, "zh")


def rest_page(order: Order, lang: str, *, in_memory: bool = False) -> str:
    """The page of an order that is over."""
    page = Loader(str(ROOT / "templates")).load("rest.html")
    html: bytes = page.generate(
        **{"order": order, "final": final_page(order), "ask": False},
        **{"t": texts(lang), "lang": lang, "simulated": False, "in_memory": in_memory},
        **{"shop_name": "S", "product": "P", "yuan": yuan, "beijing": beijing, "rfc3339": to_v3},
    )
    return html.decode()


def test_amounts_are_written_to_the_fen() -> None:
    assert [yuan(fen) for fen in (1, 10, 100, 1800, 10_000_000)] == ["0.01", "0.10", "1.00", "18.00", "100000.00"]
