"""What the login page says."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "login": Bilingual("登录", "Log in"),
    "name": Bilingual("用户名", "User name"),
    "password": Bilingual("密码", "Password"),
    "code": Bilingual("动态验证码（已启用时填写）", "Code (if you use a code generator)"),
    "forgotten": Bilingual(
        "忘记密码时，请管理员用 manage.py users passwd 重设。",
        "If you have forgotten it, your administrator sets a new one by manage.py users passwd.",
    ),
    "logged_out": Bilingual("已退出登录", "You are logged out"),
    "too_many": Bilingual("登录失败次数过多，请稍后再试", "Too many failed logins; wait a while before you try again"),
}
