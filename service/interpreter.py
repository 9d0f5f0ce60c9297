"""Restart a command with the project's own Python if another one runs it. Standard library only."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = "typer"  # installed by each of our requirement files
PYTHON = ROOT / ".venv" / "bin" / "python"
NOT_INSTALLED = (
    "✘ 还没有安装依赖：请在 {root} 里运行 make install，再试一次\n"
    "  The dependencies are not installed yet: run make install in {root}, then try again"
)


def ensure_dependencies() -> None:
    """Restart this command with ``.venv`` if this Python lacks our dependencies; exit with a message if no ``.venv``
    has them."""
    if importlib.util.find_spec(NEEDED) is not None:
        return
    if PYTHON.exists() and not PYTHON.parent.parent.samefile(sys.prefix):
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - this very command once more
    sys.exit(NOT_INSTALLED.format(root=ROOT))
