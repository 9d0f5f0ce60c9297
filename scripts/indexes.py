"""``manage.py indexes``: create missing indexes, without a time limit."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

from service.settings.loading import load
from service.settings.values import EMBEDDED
from storage.embedded.servers import EmbeddedMongo
from storage.mongo.storage import create_indexes
from wechat.domain.errors import ConfigError, StoreUnavailable


def main(path: Path) -> int:
    """Create the missing indexes of the database of the settings in ``path``; return the exit status."""
    try:
        settings = load(path)
        with ExitStack() as stack:
            url = settings.mongo.url
            if url == EMBEDDED:
                server = EmbeddedMongo(settings.mongo.directory)
                url = server.start()
                stack.callback(server.stop)
            created = asyncio.run(create_indexes(url, settings.mongo.database, settings.mongo.driver))
    except ConfigError as error:
        for problem in error.problems:
            print(f"✘ {problem.zh}\n  {problem.en}", file=sys.stderr)
        return 3
    except StoreUnavailable as error:
        print(f"✘ {error.text.zh}\n  {error.text.en}", file=sys.stderr)
        return 5
    for name in created:
        print(name)
    print(f"✔ 新建 {len(created)} 个索引 · {len(created)} indexes created")
    return 0
