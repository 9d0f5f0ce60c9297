"""Texts of the doctor's page."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "doctor": Bilingual("自检", "Doctor"),
    "what_it_does": Bilingual(
        "检查配置、密钥、本机、数据库，以及与微信的连接；不涉及资金操作。",
        "Checks settings, keys, this machine, the databases and the connection to WeChat. No money moves.",
    ),
    "run": Bilingual("离线检查", "Check offline"),
    "run_live": Bilingual("离线检查并连接微信", "Check, and connect to WeChat"),
    "all_well": Bilingual("没有发现问题。", "No problems found."),
    "found": Bilingual("{count} 项需要处理", "{count} to fix"),
    "why": Bilingual("为什么重要", "Why it matters"),
    "fix": Bilingual("如何处理", "What to do"),
}
MARKS: Mapping[str, tuple[str, Bilingual]] = {
    "fail": ("bad", Bilingual("✘ 不通过", "✘ failed")),
    "warn": ("wait", Bilingual("! 注意", "! warning")),
    "ok": ("good", Bilingual("✔ 通过", "✔ passed")),
    "skip": ("", Bilingual("– 未检查", "– not checked")),
}
"""The class and the text of a status's badge, gravest first."""
