"""The audit log names each code, and leaves alone what a person wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers.console.audit_words import name_act, name_codes
from tests.contract.samples import NOW
from wechat.domain.audit import Act, AuditEntry

ENTRY = AuditEntry("1", NOW, "anna", "finance", "203.0.113.7", Act.LOG_IN)
NAMED = [
    (Act.CLOSE_ORDER, "NOTPAY ¥18.00", "未支付（NOTPAY） ¥18.00", "Not paid (NOTPAY) ¥18.00"),
    (
        Act.REFUND,
        "REFUND ¥18.00, refunded ¥5.00, reserved ¥6.00; R1 SUCCESS ¥5.00: SUCCESS, open",
        "已支付（有退款，REFUND） ¥18.00，已退款 ¥5.00，占用 ¥6.00；R1 退款成功（SUCCESS） ¥5.00：SUCCESS, open",
        "Paid, with refunds (REFUND) ¥18.00, refunded ¥5.00, reserved ¥6.00; R1 Refunded (SUCCESS) ¥5.00: SUCCESS, open",
    ),
    (Act.REFUND, "refused: MORE_THAN_LEFT", "未执行（refused）：MORE_THAN_LEFT", "Not done (refused): MORE_THAN_LEFT"),
    (
        Act.RESEND,
        "order.paid 0a1b dead, 8 tries",
        "order.paid 0a1b 已放弃（dead），8 次",
        "order.paid 0a1b Given up (dead), 8 tries",
    ),
    (
        Act.REPAIR,
        "refund; double_payment repaired ¥18.00",
        "退款（refund）；重复支付（double_payment） 已处理（repaired） ¥18.00",
        "Refund (refund); Double payment (double_payment) Repaired (repaired) ¥18.00",
    ),
    (Act.CONFIRM, "refund ¥9.00, 0a, ben: paid twice", "退款（refund） ¥9.00，0a，ben：paid twice", None),
    (Act.SET_ROLE, "finance", "财务（finance）", "Finance (finance)"),
    (Act.ADD_KEY, "read orders", "查询（read） 订单（orders）", "Read (read) Orders (orders)"),
    (Act.WRITE_NOTE, "SUCCESS: open", "SUCCESS: open", "SUCCESS: open"),
]


@pytest.mark.parametrize(("act", "text", "zh", "en"), NAMED, ids=[text for _, text, _, _ in NAMED])
def test_codes_have_their_names_in_both_languages(act: Act, text: str, zh: str, en: str | None) -> None:
    entry = replace(ENTRY, act=act)
    assert name_codes(entry, text, "zh") == zh
    assert en is None or name_codes(entry, text, "en") == en


def test_an_entry_that_begins_an_act_names_it() -> None:
    entry = replace(ENTRY, act=Act.BEGIN, wanted=Act.SET_ROLE)
    assert (name_act(entry, "zh"), name_act(entry, "en")) == ("开始操作：调整角色", "Started an action: Changed a role")
    assert name_codes(entry, "admin", "zh") == "管理员（admin）"
