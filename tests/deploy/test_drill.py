"""The drill as a user runs it, on a short day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
def test_a_day_with_everything_that_goes_wrong_ends_with_every_order_settled_and_the_books_equal() -> None:
    command = [sys.executable, "manage.py", "drill", "--orders", "60", "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, check=False)
    payload = json.loads(ended.stdout)
    assert [line for line in payload["lines"] if not line["right"]] == []
    assert (ended.returncode, payload["right"], payload["orders"], payload["kills"]) == (0, True, 60, 4)
    assert len(payload["lines"]) > 30
