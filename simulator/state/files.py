"""Files that only their owner can read."""

from __future__ import annotations

import os
from pathlib import Path


def owner_only(path: str, flags: int) -> int:
    """Open with mode 600 from the first moment; an ``opener`` for ``open``."""
    return os.open(path, flags, 0o600)


def save(path: Path, text: str) -> None:
    """Write all of a file or nothing."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "w", encoding="utf-8", opener=owner_only) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
