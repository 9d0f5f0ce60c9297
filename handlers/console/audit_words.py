"""Name the codes in the texts of audit entries.

The texts are those of ``summaries``: parts with ``; `` between them, then perhaps ``: `` and what a person wrote, which
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from handlers.console.states import DELIVERY_STATES, ORDER_STATES, REFUND_STATES
from handlers.console.texts.approvals import STATES
from handlers.console.texts.audit import ACTS
from wechat.domain.audit import Act, AuditEntry
from wechat.domain.errors import Bilingual
from wechat.domain.labels import ROLES, SCOPES, VERDICTS, Labels, label, name_of
from wechat.reconciliation.labels import ACTION_LABELS, KINDS
from wechat.reconciliation.labels import STATUSES as DIFFERENCE_STATUSES
from wechat.staff.audit import REFUSED

Name = Callable[[Labels, str, str], str]
WORD = re.compile(r"(?<![^\s(])[A-Za-z_]+(?![^\s,;:)])")
PLAIN: Labels = {
    "refunded": Bilingual("已退款", "refunded"),
    "reserved": Bilingual("占用", "reserved"),
    "tries": Bilingual("次", "tries"),
    "overlap": Bilingual("旧密钥继续有效", "overlap"),
}
"""Words between the codes. They have a name in each language, and no code."""
STOPS = {", ": "，", "; ": "；", ": ": "："}


def _by_code(*tables: Mapping[Any, Bilingual]) -> Labels:
    return {str(code): name for table in tables for code, name in table.items()}


OUTCOMES = _by_code(STATES, {REFUSED: Bilingual("未执行", "Not done")})
MONEY = (_by_code(ORDER_STATES), _by_code(REFUND_STATES))
WORDS: Mapping[Act, tuple[Labels, Labels]] = {
    Act.QUERY_ORDER: MONEY,
    Act.CLOSE_ORDER: MONEY,
    Act.REFUND: MONEY,
    Act.CANCEL_REFUND: MONEY,
    Act.RESEND: ({}, _by_code(DELIVERY_STATES)),
    Act.REPAIR: (_by_code(KINDS, DIFFERENCE_STATUSES, ACTION_LABELS), DIFFERENCE_STATUSES),
    Act.REPLAY: (VERDICTS, {}),
    Act.REQUEST_APPROVAL: (_by_code(ACTS), {}),
    Act.CONFIRM: (_by_code(ACTS), {}),
    Act.DECLINE: (_by_code(ACTS), {}),
    Act.ADD_USER: (ROLES, {}),
    Act.SET_ROLE: (ROLES, {}),
    Act.ADD_KEY: (SCOPES, SCOPES),
    **dict.fromkeys(
        (
            Act.CHANGE_PASSWORD,
            Act.DISABLE_USER,
            Act.ENABLE_USER,
            Act.SET_UP_TOTP,
            Act.REMOVE_TOTP,
            Act.RECONCILE,
            Act.ROTATE_KEY,
            Act.REVOKE_KEY,
        ),
        ({}, {}),
    ),
}
"""By act: what the first word of a part may be, and what the others may be, but for ``OUTCOMES`` and ``PLAIN``. What
the other acts wrote stays as it is."""


def name_act(entry: AuditEntry, lang: str) -> str:
    """Return ``退款``, or ``开始操作：退款`` for an entry written before the act."""
    name = ACTS[entry.act].to(lang)
    return _stop(f"{name}: {ACTS[Act(entry.wanted)].to(lang)}", lang) if entry.wanted else name


def name_codes(entry: AuditEntry, text: str, lang: str) -> str:
    """Return a text of ``entry`` with each code named: ``NOTPAY ¥18.00`` as ``未支付（NOTPAY） ¥18.00``."""
    return name_words(Act(entry.wanted) if entry.wanted else entry.act, text, lang, label)


def name_words(act: Act, text: str, lang: str, name: Name) -> str:
    """Return the ``text`` of an entry of ``act`` with each code replaced by ``name``, which adds the code or not."""
    words = WORDS.get(act)
    if words is None:
        return text
    head, colon, said = text.partition(": ")
    parts = [_name_part(part, *words, lang, name) for part in head.split("; ")]
    return _stop("; ".join(parts), lang) + _stop(colon, lang) + said


def _name_part(part: str, first: Labels, others: Labels, lang: str, name: Name) -> str:
    def say(found: re.Match[str]) -> str:
        word, labels = found[0], others if found.start() else {**OUTCOMES, **first}
        return name_of(PLAIN, word, lang) if word in PLAIN else name(labels, word, lang)

    return WORD.sub(say, part)


def _stop(text: str, lang: str) -> str:
    """Return ``text`` with Chinese punctuation if ``lang`` is Chinese."""
    for stop, chinese in STOPS.items():
        text = text.replace(stop, chinese) if lang == "zh" else text
    return text
