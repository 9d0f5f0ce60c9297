"""``users …``: the people of the console. Who may read the service's settings may use them; there is no API key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.context import AsJson, Context, Url
from cli.operator import SettingsFile, ask_password, operator_context
from cli.output import cell, moment, words
from wechat.domain.errors import Bilingual
from wechat.domain.labels import ROLES
from wechat.domain.staff import Role

app = typer.Typer(no_args_is_help=True, help=words("管理后台的用户", "people of the console"))

Name = Annotated[str, typer.Argument(metavar="NAME", help=words("用户名", "user name"))]
RoleOption = Annotated[Role, typer.Option("--role", help=words("角色", "role"))]
Generate = Annotated[
    bool, typer.Option("--generate", help=words("生成密码，只显示一次", "make a password, shown once"))
]


@app.command(
    help=words(
        "添加用户；密码在终端输入，或从标准输入读一行", "Add a person; the password is typed, or a line of stdin."
    )
)
def add(
    name: Name,
    role: RoleOption = Role.READER,
    generate: Generate = False,
    url: Url = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a person; the password is typed, or a line of stdin."""
    with operator_context("users add", url, settings, as_json) as desk:
        password, shown = ask_password(desk.screen, generate=generate)
        user = desk.service.post("/api/users", {"name": name, "role": role.value, "password": password})
        _show(desk, user, shown)
        desk.screen.say(Bilingual(f"登录地址：{user['login_url']}", f"Log in at {user['login_url']}"))


@app.command("list", help=words("列出用户", "List everybody."))
def list_users(url: Url = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """List everybody."""
    with operator_context("users list", url, settings, as_json) as desk:
        answer = desk.service.get("/api/users")
        columns = (
            Bilingual("用户名", "Name"),
            Bilingual("角色", "Role"),
            Bilingual("状态", "State"),
            Bilingual("动态验证码", "Code generator"),
            Bilingual("添加时间", "Added"),
        )
        rows = [_row(desk, user) for user in answer["users"]]
        desk.screen.show(answer, desk.screen.table(Bilingual("用户", "People"), columns, rows))


@app.command(help=words("重设密码；其全部登录会话结束", "Set a new password; all sessions of the person end."))
def passwd(
    name: Name,
    generate: Generate = False,
    url: Url = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Set a new password; all sessions of the person end."""
    with operator_context("users passwd", url, settings, as_json) as desk:
        password, shown = ask_password(desk.screen, generate=generate)
        _show(desk, desk.service.post(f"/api/users/{name}/password", {"password": password}), shown)


@app.command(help=words("调整角色，立即生效", "Change the role, at once."))
def role(
    name: Name,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help=words("角色", "role"))],
    url: Url = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Change the role, at once."""
    with operator_context("users role", url, settings, as_json) as desk:
        _show(desk, desk.service.post(f"/api/users/{name}/role", {"role": role.value}))


@app.command(help=words("停用用户：不能再登录，已登录的立即退出", "Let a person in no more; all sessions end."))
def disable(name: Name, url: Url = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Let a person in no more; all sessions end."""
    with operator_context("users disable", url, settings, as_json) as desk:
        _show(desk, desk.service.post(f"/api/users/{name}/disable"))


@app.command(help=words("重新启用用户", "Let a person log in again."))
def enable(name: Name, url: Url = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Let a person log in again."""
    with operator_context("users enable", url, settings, as_json) as desk:
        _show(desk, desk.service.post(f"/api/users/{name}/enable"))


@app.command(
    "reset-totp",
    help=words("移除动态验证码（手机丢失时）", "Remove the code generator, when the phone is lost."),
)
def reset_totp(name: Name, url: Url = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Remove the code generator, when the phone is lost."""
    with operator_context("users reset-totp", url, settings, as_json) as desk:
        _show(desk, desk.service.post(f"/api/users/{name}/reset_totp"))


def _show(desk: Context, user: Mapping[str, Any], password: str = "") -> None:
    views: list[RenderableType] = [cell(f"✔ {' '.join(_row(desk, user)[:3])}")]
    if password:
        text = Bilingual(f"密码（只显示这一次）：{password}", f"Password, shown this once: {password}")
        views.append(cell(text.to(desk.screen.lang)))
    desk.screen.show({**user, **({"password": password} if password else {})}, *views)


def _row(desk: Context, user: Mapping[str, Any]) -> list[str]:
    lang = desk.screen.lang
    state = Bilingual("启用", "active") if user["active"] else Bilingual("已停用", "disabled")
    totp = Bilingual("已启用", "yes") if user["totp"] else Bilingual("未启用", "no")
    role = ROLES[Role(user["role"])].to(lang)
    return [user["name"], role, state.to(lang), totp.to(lang), moment(user["created_at"])]
