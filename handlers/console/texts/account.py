"""Texts of the page of the own account."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "account": Bilingual("我的账号", "My account"),
    "ended": Bilingual("会话已结束", "The session has ended"),
    "change_password": Bilingual("修改密码", "Change the password"),
    "new_password": Bilingual("新密码（至少 10 个字符）", "New password (10 characters or more)"),
    "password_again": Bilingual("再输入一次新密码", "Repeat the new password"),
    "not_the_same": Bilingual("两次输入的新密码不一致", "The two new passwords are different"),
    "password_changed": Bilingual("密码已修改，其他会话已结束", "Password changed; your other sessions have ended"),
    "totp": Bilingual("动态验证码", "Code generator"),
    "totp_on": Bilingual("已启用。剩余恢复码：{left} 个。", "On. Recovery codes left: {left}."),
    "totp_off": Bilingual(
        "未启用。启用后，登录时还需输入手机上生成的 6 位数字。",
        "Off. When it is on, login also asks for six digits from your phone.",
    ),
    "totp_required": Bilingual(
        "你的角色必须启用动态验证码，启用后才能使用其他页面。",
        "Your role requires a code generator. Set it up to use the other pages.",
    ),
    "on": Bilingual("已启用", "On"),
    "off": Bilingual("未启用", "Off"),
    "set_up": Bilingual("启用动态验证码", "Set up a code generator"),
    "scan": Bilingual(
        "用身份验证器应用扫描二维码，或手动输入密钥，然后填写应用显示的 6 位数字。",
        "Scan this with an authenticator app, or type the key into the app. Then enter the six digits that "
        "the app shows.",
    ),
    "qr": Bilingual("动态验证码的二维码", "QR code for the code generator"),
    "secret": Bilingual("密钥", "Key"),
    "code": Bilingual("6 位验证码", "Six digits"),
    "remove": Bilingual("移除动态验证码", "Remove the code generator"),
    "removed": Bilingual("动态验证码已移除", "The code generator was removed"),
    "codes": Bilingual("恢复码", "Recovery codes"),
    "codes_hint": Bilingual(
        "动态验证码已启用。请保存下面的恢复码，它们只显示这一次；每个可代替一次验证码。",
        "The code generator is set up. Save these recovery codes: they are shown only once. Each replaces one code.",
    ),
}
