"""Install what the peer applications need into an environment of their own: ``python -m bench.peers.install``.

Does nothing when the requirements have not changed since the last time.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from scripts.steps import ROOT, Failed, run, step

VENV = ROOT / ".venv-peers"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
STAMP = VENV / "requirements.sha256"


def install() -> Path:
    """Update .venv-peers; return its Python. Raises Failed."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="ascii") == digest:
        return PYTHON
    with step("the peers' libraries in .venv-peers"):
        _make_venv()
        _install_requirements()
    STAMP.write_text(digest, encoding="ascii")
    return PYTHON


def _make_venv() -> None:
    """Create a new environment, with uv if it is installed."""
    if VENV.exists():
        shutil.rmtree(VENV)
    uv = shutil.which("uv")
    command = [uv, "venv", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    run([*command, str(VENV)], "venv-peers.log")


def _install_requirements() -> None:
    """Install exactly the listed packages; nothing is resolved."""
    uv = shutil.which("uv")
    pip = [uv, "pip", "install", "--python", str(PYTHON)] if uv else [str(PYTHON), "-m", "pip", "install"]
    run([*pip, "--no-deps", "-r", str(REQUIREMENTS)], "install-peers.log")


def main() -> int:
    try:
        install()
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
