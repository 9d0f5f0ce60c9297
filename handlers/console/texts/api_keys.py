"""Texts of the page of the API keys."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "keys": Bilingual("Fenpay API Key 管理", "API keys"),
    "keys_use": Bilingual(
        "商户自己的系统调用 /api 时使用：Authorization: Bearer <API Key>。",
        "Your own systems send a key when they call /api: Authorization: Bearer <key>.",
    ),
    "name": Bilingual("名称", "Name"),
    "name_hint": Bilingual(
        "字母、数字、_ 和 -，最多 32 个字符。订单和退款按名称区分来源，吊销后名称不能再用。",
        "Letters, digits, _ and -, at most 32 characters. The name shows which key created an order or a "
        "refund. The name of a revoked key cannot be used again.",
    ),
    "scopes": Bilingual("权限", "Scopes"),
    "state": Bilingual("状态", "State"),
    "active": Bilingual("有效", "Active"),
    "revoked": Bilingual("已吊销", "Revoked"),
    "configured": Bilingual("配置文件", "Settings file"),
    "configured_hint": Bilingual(
        "配置文件 merchants 中的 API Key 在配置文件里修改；不记录使用时间。",
        "Change keys under merchants in the settings file. The time of their last use is not recorded.",
    ),
    "created": Bilingual("创建", "Created"),
    "used": Bilingual("最近使用", "Last used"),
    "never": Bilingual("未使用", "Never"),
    "old_until": Bilingual("旧 API Key 有效至 {until}", "The old key works until {until}"),
    "none": Bilingual("还没有 API Key", "There are no keys yet"),
    "none_next": Bilingual("在下面新建一个。", "Create one below."),
    "add": Bilingual("新建 API Key", "Create a key"),
    "manage": Bilingual("管理 {name}", "Manage {name}"),
    "rotate": Bilingual("更换 API Key", "Rotate"),
    "overlap": Bilingual(
        "旧 API Key 继续有效（小时，0 为立即失效）", "Hours for which the old key still works (0 ends it now)"
    ),
    "revoke": Bilingual("吊销", "Revoke"),
    "revoke_hint": Bilingual(
        "几秒内在所有进程失效，不能恢复。", "Every process refuses it within seconds. This cannot be undone."
    ),
    "was_revoked": Bilingual("API Key {name} 已吊销", "The key {name} was revoked"),
    "secret_of": Bilingual("{name} 的新 API Key", "New key of {name}"),
    "secret_once": Bilingual(
        "请立即保存：只显示这一次，之后无法再查看。", "Save it now: it is shown only once and cannot be shown again."
    ),
    "back_to_keys": Bilingual("已保存，返回", "I have saved it"),
}
