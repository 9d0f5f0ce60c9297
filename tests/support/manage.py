"""Run ``manage.py`` as operators do: in a process of its own, with its streams in pipes or on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.service import ROOT

RUN_S = 60
PREFIXES = ("FENPAY", "LC_", "LANG", "NO_COLOR", "COLUMNS", "TERM", "FORCE_COLOR")


class Ran(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the JSON document on stdout."""
        return json.loads(self.out)

    def error(self) -> dict[str, Any]:
        """Return the JSON document on stderr."""
        payload = json.loads(self.err)
        assert isinstance(payload, dict)
        return payload


class Manage:
    """The command line for one service. ``settings`` are variables of the environment."""

    def __init__(self, url: str, key: str, **settings: str) -> None:
        ours = {"FENPAYCLI_URL": url, "FENPAYCLI_API_KEY": key, "LANG": "zh_CN.UTF-8"}
        self.environment = _clean() | ours | settings

    async def __call__(self, *arguments: str, cwd: Path = ROOT, **settings: str) -> Ran:
        """Run a command with pipes, in a thread, because its service may run on this event loop."""
        return await asyncio.to_thread(self._run, arguments, cwd, settings)

    def _run(self, arguments: tuple[str, ...], cwd: Path, settings: dict[str, str]) -> Ran:
        done = subprocess.run(
            self._argv(arguments),
            cwd=cwd,
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    async def on_a_terminal(self, *arguments: str, answer: str = "", **settings: str) -> Ran:
        """Run a command with its stdin and stderr on a terminal, where ``answer`` is typed."""
        return await asyncio.to_thread(self._typed, arguments, answer, settings)

    def _typed(self, arguments: tuple[str, ...], answer: str, settings: dict[str, str]) -> Ran:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self._argv(arguments),
            cwd=ROOT,
            env=self.environment | {"TERM": "xterm"} | settings,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        os.write(ours, answer.encode())
        shown = _read_all(ours)
        out, _ = process.communicate(timeout=RUN_S)
        return Ran(process.returncode, out, shown)

    @contextmanager
    def running(self, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command that continues, its output in pipes; interrupt it at the end if it still runs."""
        process = subprocess.Popen(
            self._argv(arguments),
            cwd=ROOT,
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @staticmethod
    def _argv(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *arguments]


def _clean() -> dict[str, str]:
    """Return the environment without a developer's settings of the command line or the terminal."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}


def _read_all(terminal: int) -> str:
    """Return everything written to a terminal until no process has it open."""
    read = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's way to say so; others send an empty piece
            piece = b""
        if not piece:
            os.close(terminal)
            return read.decode()
        read += piece
