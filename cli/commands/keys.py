"""``keys …``: API keys. Requests are signed with the secret of the service's settings, so the first key needs no other
key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.context import Context, declare
from cli.operator import operator_context
from cli.output import cell, moment, words
from wechat.domain.api_keys import OVERLAP_HOURS, Scope
from wechat.domain.errors import Bilingual

app = typer.Typer(no_args_is_help=True, help=words("管理 Fenpay API Key", "API keys"))

Name = Annotated[str, typer.Argument(metavar="NAME", help=words("Fenpay API Key 名称", "name of the key"))]
Scopes = Annotated[
    list[Scope] | None,
    typer.Option("--scope", help=words("权限，可重复；不指定时为 read", "scope, repeatable; read by default")),
]
Overlap = Annotated[
    int,
    typer.Option(
        "--overlap-hours",
        min=0,
        max=OVERLAP_HOURS[-1],
        help=words("旧 Fenpay API Key 继续有效的小时数", "hours for which the old secret keeps working"),
    ),
]


@declare(
    app,
    "keys add",
    words("新建 Fenpay API Key，只显示一次", "Create a key; it is shown once."),
    within=operator_context,
)
def add(context: Context, name: Name, scope: Scopes = None) -> None:
    """Create a key; its secret is shown once."""
    body = {"name": name, "scopes": [each.value for each in scope or [Scope.READ]]}
    _show(context, context.service.post("/api/keys", body))


@declare(
    app,
    "keys list",
    words("列出 Fenpay API Key，包括配置文件中的", "List all keys, including those in the settings file."),
    within=operator_context,
)
def list_keys(context: Context) -> None:
    """List all keys, including those of the settings."""
    answer = context.service.get("/api/keys")
    columns = (
        Bilingual("名称", "Name"),
        Bilingual("权限", "Scopes"),
        Bilingual("状态", "State"),
        Bilingual("来源", "From"),
        Bilingual("最近使用", "Last used"),
    )
    rows = [_row(context, key) for key in answer["keys"]]
    context.screen.show(answer, context.screen.table(Bilingual("Fenpay API Key 列表", "API keys"), columns, rows))


@declare(
    app,
    "keys rotate",
    words(
        "换新 Fenpay API Key，只显示一次；旧的继续有效一段时间",
        "Give a key a new secret, shown once; the old one keeps working for some hours.",
    ),
    within=operator_context,
)
def rotate(context: Context, name: Name, overlap_hours: Overlap = 24) -> None:
    """Give a key a new secret, shown once; the old one keeps working for some hours."""
    _show(context, context.service.post(f"/api/keys/{name}/rotate", {"overlap_hours": overlap_hours}))


@declare(
    app,
    "keys revoke",
    words("吊销 Fenpay API Key，几秒内生效", "Revoke a key; it stops working within seconds."),
    within=operator_context,
)
def revoke(context: Context, name: Name) -> None:
    """Revoke a key; it stops working within seconds."""
    _show(context, context.service.post(f"/api/keys/{name}/revoke"))


def _show(context: Context, key: Mapping[str, Any]) -> None:
    views: list[RenderableType] = [cell(f"✔ {' · '.join(_row(context, key)[:3])}")]
    if "key" in key:
        text = Bilingual(f"API Key（只显示这一次）：{key['key']}", f"The key, shown only once: {key['key']}")
        views.append(cell(text.to(context.screen.lang)))
    if key["old_until"]:
        until = moment(key["old_until"])
        text = Bilingual(f"旧 API Key 有效至 {until}", f"The old secret works until {until}")
        views.append(cell(text.to(context.screen.lang)))
    context.screen.show(key, *views)


def _row(context: Context, key: Mapping[str, Any]) -> list[str]:
    lang = context.screen.lang
    state = Bilingual("有效", "active") if key["active"] else Bilingual("已吊销", "revoked")
    source = Bilingual("配置文件", "settings") if key["source"] == "settings" else Bilingual("管理后台", "console")
    used = moment(key["used_at"]) if key["used_at"] else "—"
    return [key["name"], " ".join(key["scopes"]), state.to(lang), source.to(lang), used]
