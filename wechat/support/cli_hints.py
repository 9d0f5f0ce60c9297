"""Commands of manage.py that messages recommend, quoted for a shell."""

from __future__ import annotations

import shlex


def command(verb: str, *arguments: str) -> str:
    """Return ``manage.py VERB ARGUMENTS``, quoted for a shell."""
    return shlex.join(["manage.py", *verb.split(), *arguments])
