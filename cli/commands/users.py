"""``users …``: the people of the console. Requests are signed with the secret of the service's settings, without an API
key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.context import Context, declare
from cli.operator import ask_password, operator_context
from cli.output import cell, moment, words
from wechat.domain.errors import Bilingual
from wechat.domain.labels import ROLES
from wechat.domain.staff import Role

app = typer.Typer(no_args_is_help=True, help=words("管理后台的用户", "people of the console"))

Name = Annotated[str, typer.Argument(metavar="NAME", help=words("用户名", "user name"))]
RoleOption = Annotated[Role, typer.Option("--role", help=words("角色", "role"))]
Generate = Annotated[
    bool, typer.Option("--generate", help=words("生成密码，只显示一次", "generate a password, shown once"))
]


@declare(
    app,
    "users add",
    words(
        "添加用户；密码在终端输入，或从标准输入读一行",
        "Add a person; type the password, or pass it as a line of standard input.",
    ),
    within=operator_context,
)
def add(context: Context, name: Name, role: RoleOption = Role.READER, generate: Generate = False) -> None:
    """Add a person; the password is typed, or the first line of stdin."""
    password, shown = ask_password(context.screen, generate=generate)
    user = context.service.post("/api/users", {"name": name, "role": role.value, "password": password})
    _show(context, user, shown)
    context.screen.say(Bilingual(f"登录地址：{user['login_url']}", f"Log in at {user['login_url']}"))


@declare(app, "users list", words("列出用户", "List all people."), within=operator_context)
def list_users(context: Context) -> None:
    """List all people."""
    answer = context.service.get("/api/users")
    columns = (
        Bilingual("用户名", "Name"),
        Bilingual("角色", "Role"),
        Bilingual("状态", "State"),
        Bilingual("动态验证码", "Code generator"),
        Bilingual("添加时间", "Added"),
    )
    rows = [_row(context, user) for user in answer["users"]]
    context.screen.show(answer, context.screen.table(Bilingual("用户", "People"), columns, rows))


@declare(
    app,
    "users passwd",
    words("重设密码；其全部登录会话结束", "Set a new password; all sessions of the person end."),
    within=operator_context,
)
def passwd(context: Context, name: Name, generate: Generate = False) -> None:
    """Set a new password; all sessions of the person end."""
    password, shown = ask_password(context.screen, generate=generate)
    _show(context, context.service.post(f"/api/users/{name}/password", {"password": password}), shown)


@declare(app, "users role", words("调整角色，立即生效", "Change the role; effective at once."), within=operator_context)
def role(
    context: Context, name: Name, role: Annotated[Role, typer.Argument(metavar="ROLE", help=words("角色", "role"))]
) -> None:
    """Change the role; effective at once."""
    _show(context, context.service.post(f"/api/users/{name}/role", {"role": role.value}))


@declare(
    app,
    "users disable",
    words("停用用户：不能再登录，已登录的立即退出", "Disable a person: no login, and all sessions end."),
    within=operator_context,
)
def disable(context: Context, name: Name) -> None:
    """Disable a person's account; all their sessions end."""
    _show(context, context.service.post(f"/api/users/{name}/disable"))


@declare(app, "users enable", words("重新启用用户", "Enable a person again."), within=operator_context)
def enable(context: Context, name: Name) -> None:
    """Enable the account of a disabled person."""
    _show(context, context.service.post(f"/api/users/{name}/enable"))


@declare(
    app,
    "users reset-totp",
    words("移除动态验证码（手机丢失时）", "Remove the code generator, when the phone is lost."),
    within=operator_context,
)
def reset_totp(context: Context, name: Name) -> None:
    """Remove the code generator of a person who lost their phone."""
    _show(context, context.service.post(f"/api/users/{name}/reset_totp"))


def _show(context: Context, user: Mapping[str, Any], password: str = "") -> None:
    views: list[RenderableType] = [cell(f"✔ {' '.join(_row(context, user)[:3])}")]
    if password:
        text = Bilingual(f"密码（只显示这一次）：{password}", f"Password, shown only once: {password}")
        views.append(cell(text.to(context.screen.lang)))
    context.screen.show({**user, **({"password": password} if password else {})}, *views)


def _row(context: Context, user: Mapping[str, Any]) -> list[str]:
    lang = context.screen.lang
    state = Bilingual("启用", "active") if user["active"] else Bilingual("已停用", "disabled")
    totp = Bilingual("已启用", "yes") if user["totp"] else Bilingual("未启用", "no")
    role = ROLES[Role(user["role"])].to(lang)
    return [user["name"], role, state.to(lang), totp.to(lang), moment(user["created_at"])]
