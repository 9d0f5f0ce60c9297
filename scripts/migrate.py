"""``manage.py migrate``: copy the data of release 0.1.0; starts its embedded server if it has one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from service.settings.loading import load
from service.settings.model import Settings
from service.settings.values import EMBEDDED
from storage.embedded.servers import EmbeddedMongo
from storage.migration.copying import Line, Migration, MigrationRefused
from wechat.domain.errors import Bilingual, ConfigError


def main(path: Path, *, as_json: bool) -> int:
    """Migrate the database of the settings in ``path``; return the exit status."""
    talk = Console(stderr=True)
    try:
        lines = _migrate(load(path), lambda text: talk.print(f"… {text.zh} · {text.en}"))
    except MigrationRefused as refusal:
        print(f"✘ {refusal.text.zh}\n  {refusal.text.en}", file=sys.stderr)
        return 0 if refusal.public_code == "NOTHING_TO_MIGRATE" else 1
    except ConfigError as error:
        for problem in error.problems:
            print(f"✘ {problem.zh}\n  {problem.en}", file=sys.stderr)
        return 3
    if as_json:
        print(json.dumps({line.name: line.after for line in lines}))
    else:
        Console().print(_table(lines))
        print(
            "✔ 已迁移，可以启动新版本；旧的集合原样保留\n"
            "  Migrated: start the new release. The old collections are kept."
        )
    return 0


def _migrate(settings: Settings, say: Callable[[Bilingual], None]) -> list[Line]:
    with ExitStack() as stack:
        url = settings.mongo.url
        if url == EMBEDDED:
            server = EmbeddedMongo(settings.mongo.directory)
            url = server.start()
            stack.callback(server.stop)
        migration = Migration(url, settings.mongo.database, settings.pay.mchid)
        stack.callback(migration.close)
        return migration.run(say)


def _table(lines: list[Line]) -> Table:
    table = Table()
    for heading in ("", "0.1.0", "现在 now"):
        table.add_column(heading, justify="left" if not heading else "right")
    for line in lines:
        table.add_row(line.name, f"{line.before:,}", f"{line.after:,}")
    return table
