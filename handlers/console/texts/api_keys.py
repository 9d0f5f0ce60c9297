"""Texts of the page of the API keys."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "keys": Bilingual("Fenpay API Key 管理", "API keys"),
    "keys_use": Bilingual(
        "商户自己的系统调用 /api 时使用：Authorization: Bearer <API Key>。",
        "Your own systems call /api with one: Authorization: Bearer <key>.",
    ),
    "name": Bilingual("名称", "Name"),
    "name_hint": Bilingual(
        "字母、数字、_ 和 -，最多 32 个字符。订单和退款按名称区分来源，吊销后名称不能再用。",
        "Letters, digits, _ and -, 32 at most. Orders and refunds are told apart by it; a revoked key keeps its name.",
    ),
    "scopes": Bilingual("权限", "May"),
    "state": Bilingual("状态", "State"),
    "active": Bilingual("有效", "Active"),
    "revoked": Bilingual("已吊销", "Revoked"),
    "configured": Bilingual("配置文件", "Settings file"),
    "configured_hint": Bilingual(
        "配置文件 merchants 中的 API Key 在配置文件里修改；不记录使用时间。",
        "Keys under merchants in the settings file are changed there; when they were used is not recorded.",
    ),
    "created": Bilingual("创建", "Made"),
    "used": Bilingual("最近使用", "Last used"),
    "never": Bilingual("未使用", "Never"),
    "old_until": Bilingual("旧 API Key 有效至 {until}", "The old one works until {until}"),
    "none": Bilingual("还没有 API Key", "There are no keys yet"),
    "none_next": Bilingual("在下面新建一个。", "Make one below."),
    "add": Bilingual("新建 API Key", "Make a key"),
    "manage": Bilingual("管理 {name}", "Manage {name}"),
    "rotate": Bilingual("更换 API Key", "Rotate"),
    "overlap": Bilingual("旧 API Key 继续有效（小时，0 为立即失效）", "The old one goes on for (hours; 0 ends it now)"),
    "revoke": Bilingual("吊销", "Revoke"),
    "revoke_hint": Bilingual("几秒内在所有进程失效，不能恢复。", "It stops in every process within seconds, for good."),
    "was_revoked": Bilingual("API Key {name} 已吊销", "The key {name} is revoked"),
    "secret_of": Bilingual("{name} 的新 API Key", "The new key of {name}"),
    "secret_once": Bilingual(
        "请立即保存：只显示这一次，之后无法再查看。", "Keep it now: it is shown this once and can never be seen again."
    ),
    "back_to_keys": Bilingual("已保存，返回", "I have kept it"),
}
