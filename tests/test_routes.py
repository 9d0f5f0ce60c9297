"""The table of routes, as ``server.py --routes`` prints it, is a file: a route that comes or changes shows in a diff."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.route_requests import TABLE
from tests.support.service import overlay, run_server
from tests.support.settings import KNOWN

ACCESS = {"public", "payer", "merchant", "wechat", "staff", "operator"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("routes")
    settings = overlay(8899, "http://127.0.0.1:9", KNOWN, "mongodb://127.0.0.1:1", "redis://127.0.0.1:1", directory)
    file = directory / "settings.yml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    done = run_server("--settings", str(file), "--routes")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_routes_are_the_ones_written_down(table: str) -> None:
    """After a wanted change: ``python server.py --settings FILE --routes | sed -E 's/ {2,}/  /g' > tests/routes.txt``.

    The file has no columns, so that a longer route changes one line of it.
    """
    assert re.sub(" {2,}", "  ", table) == TABLE.read_text(encoding="utf-8")


def test_every_route_has_an_access_level_a_name_and_a_plugin(table: str) -> None:
    rows = [line.split() for line in table.splitlines()]
    assert all(row[0].partition(":")[0] in ACCESS for row in rows)
    assert all((":" in row[0]) is row[0].startswith("staff") for row in rows)
    assert all(row[-1].startswith("handlers.") for row in rows)
    assert len({row[-2] for row in rows}) == len(rows)


def test_only_one_address_is_wechats_and_it_takes_posts_only(table: str) -> None:
    assert [line.split()[:3] for line in table.splitlines() if line.startswith("wechat ")] == [
        ["wechat", "/notify", "POST"]
    ]
