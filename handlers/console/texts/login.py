"""Texts of the login page."""

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
        "If you forgot your password, ask an administrator to set a new one with manage.py users passwd.",
    ),
    "logged_out": Bilingual("已退出登录", "You are logged out"),
    "link_refused": Bilingual(
        "登录链接无效；演示每次启动都会打印新的链接，正式环境请用用户名和密码登录",
        "The link is not valid. The demo prints a new link at each start; in production, log in with your "
        "name and password",
    ),
    "link_used": Bilingual(
        "登录链接只能用一次；请重新启动演示，或用 manage.py users passwd demo 设置密码",
        "The link works only once; restart the demo, or set a password with manage.py users passwd demo",
    ),
    "too_many": Bilingual("登录失败次数过多，请稍后再试", "Too many failed logins; try again later"),
}
