"""The tables of texts and the templates fit together, for states too that no browser test can wait for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tornado.template import Loader

from handlers.payer.cashier import HINTED, RESTS
from handlers.web.texts import REFUSALS, SCRIPT_TEXTS, TEXTS, texts
from tests.contract.samples import a_payment, an_order
from wechat.domain.errors import Text
from wechat.domain.money import yuan
from wechat.domain.orders import PAID_STATES, Order, TradeState
from wechat.domain.times import beijing, to_v3

ROOT = Path(__file__).resolve().parents[2]
HAN = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize("text", [*TEXTS.values(), *SCRIPT_TEXTS.values()])
def test_every_sentence_is_chinese_in_chinese_and_english_in_english(text: Text) -> None:
    assert HAN.search(text.zh)
    assert text.en
    assert not HAN.search(text.en)


def test_templates_and_scripts_use_the_texts_that_exist_and_all_of_them() -> None:
    templates = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "templates").glob("*.html"))
    computed = {*RESTS.values(), *(f"{rest}_hint" for rest in HINTED)}
    asked = {key for call in re.findall(r"\bt\(([^)]*)\)", templates) for key in re.findall(r"[\"'](\w+)[\"']", call)}
    assert asked - {"wx"} | computed == set(TEXTS)
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "static/js").glob("*.js"))
    assert set(re.findall(r"\bwords\.(\w+)", scripts)) == set(SCRIPT_TEXTS)


def test_a_refusal_is_found_by_its_own_words_before_a_more_general_one() -> None:
    said = [refusal.said for refusal in REFUSALS]
    for index, words in enumerate(said):
        assert not any(earlier in words for earlier in said[:index])


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("支付验证签名失败", "微信没有认可这次支付的签名"),
        ("当前页面的URL未注册：https://pay.example.com/pay/1", "这个页面不在商户登记的支付目录里"),
        ("调用支付JSAPI缺少参数: total_fee", "这次支付的凭据已失效"),
        ("调用支付JSAPI缺少参数: appId", "支付参数不完整"),
        ("下单账号与支付账号不一致，请核实后再支付", "下单和付款的不是同一个微信号"),
        ("该订单已支付", "这笔订单已经付过了"),
        ("订单已过期失效，请重新下单再发起支付", "这笔订单已经过期"),
        ("config:invalid signature", "微信没有认可这个页面的签名"),
        ("chooseWXPay:fail, the permission value is offline verifying", "这个页面没有调起支付的权限"),
    ],
)
def test_wechats_words_are_put_plainly(words: str, means: str) -> None:
    first = next(refusal for refusal in REFUSALS if refusal.said in words)
    assert first.means.zh == means


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("state", list(RESTS))
def test_every_state_has_its_page(state: TradeState, lang: str) -> None:
    order = an_order(trade_state=state, payments=(a_payment(),) if state in PAID_STATES else ())
    html = rest_page(order, lang)
    assert f"<h1>{TEXTS[RESTS[state]].to(lang)}</h1>" in html
    assert "¥36.00" in html
    assert ("2026-03-01 12:05:06" in html) is order.paid
    assert ("支付成功" in html) is (lang == "zh" and state is TradeState.SUCCESS)
    assert "ribbon" not in html


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_page_says_when_orders_are_kept_in_memory_only(lang: str) -> None:
    said = {"zh": "订单只存在内存里，进程一停就没有了", "en": "Orders are kept in memory only"}[lang]
    assert said in rest_page(an_order(), lang, in_memory=True)
    assert said not in rest_page(an_order(), lang)


def rest_page(order: Order, lang: str, *, in_memory: bool = False) -> str:
    """The page of an order that is over."""
    rest = RESTS[order.trade_state]
    page = Loader(str(ROOT / "templates")).load("rest.html")
    html: bytes = page.generate(
        **{"order": order, "rest": rest, "hint": f"{rest}_hint" if rest in HINTED else "", "ask": False},
        **{"t": texts(lang), "lang": lang, "simulated": False, "in_memory": in_memory},
        **{"shop_name": "S", "product": "P", "yuan": yuan, "beijing": beijing, "rfc3339": to_v3},
    )
    return html.decode()


def test_amounts_are_written_to_the_fen() -> None:
    assert [yuan(fen) for fen in (1, 10, 100, 1800, 10_000_000)] == ["0.01", "0.10", "1.00", "18.00", "100000.00"]
