"""Texts of the page of the people."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "people": Bilingual("用户", "People"),
    "name": Bilingual("用户名", "User name"),
    "role": Bilingual("角色", "Role"),
    "state": Bilingual("状态", "State"),
    "active": Bilingual("启用", "Active"),
    "disabled": Bilingual("已停用", "Disabled"),
    "totp": Bilingual("动态验证码", "Code generator"),
    "yes": Bilingual("已启用", "Yes"),
    "no": Bilingual("未启用", "No"),
    "added": Bilingual("添加时间", "Added"),
    "add": Bilingual("添加用户", "Add a person"),
    "was_added": Bilingual("已添加用户 {name}", "{name} was added"),
    "password": Bilingual("密码（至少 10 个字符）", "Password (10 characters or more)"),
    "password_hint": Bilingual(
        "请当面或通过其他渠道告知本人，并请对方登录后修改。",
        "Give it to the person directly or through another channel, and ask them to change it after the first login.",
    ),
    "set_role": Bilingual("调整角色", "Change the role"),
    "disable": Bilingual("停用", "Disable"),
    "enable": Bilingual("启用", "Enable"),
    "reset_totp": Bilingual("移除动态验证码", "Remove the code generator"),
    "set_password": Bilingual("重设密码", "Set a new password"),
    "changed": Bilingual("已修改 {name}，立即生效", "{name} was changed; effective at once"),
    "own_account": Bilingual(
        "不能调整自己的角色或停用自己，请另一位管理员操作",
        "You cannot change your own role or disable yourself; ask another administrator",
    ),
    "change": Bilingual("修改 {name}", "Change {name}"),
}
