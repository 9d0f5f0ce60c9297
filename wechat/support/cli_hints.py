"""What to type next: commands of manage.py, as texts that a shell takes."""

from __future__ import annotations

import shlex


def command(verb: str, *arguments: str) -> str:
    """``manage.py VERB ARGUMENTS``, quoted where a shell would make something else of it."""
    return shlex.join(["manage.py", *verb.split(), *arguments])
