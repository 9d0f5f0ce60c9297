"""Print the steps of a longer job: what is done, ✔ or ✘, and the seconds it took. Standard library only."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "var" / "log"
SLOW_S = 30
TAIL_LINES = 8


class Failed(Exception):
    """A step failed; the text says why and what to do."""


@contextmanager
def step(title: str, slow_hint: str = "") -> Iterator[None]:
    """Print ``title``, show that time passes, and print the result. ``slow_hint`` is shown after a while."""
    done = threading.Event()
    started = time.monotonic()
    ticker = threading.Thread(target=_tick, args=(title, slow_hint, done), daemon=True)
    ticker.start()
    mark = "✘"
    try:
        yield
        mark = "✔"
    finally:
        done.set()
        ticker.join()
        seconds = time.monotonic() - started
        print(f"{_overwrite()}{mark} {title}  {seconds:.1f} s", flush=True)


def _overwrite() -> str:
    return "\r\033[K" if sys.stdout.isatty() else ""


def _tick(title: str, slow_hint: str, done: threading.Event) -> None:
    """Update a counting line on a terminal; elsewhere print a line now and then."""
    on_terminal = sys.stdout.isatty()
    seconds = 0
    if on_terminal:
        print(f"… {title}", end="", flush=True)
    while not done.wait(1):
        seconds += 1
        if on_terminal:
            print(f"{_overwrite()}… {title}  {seconds} s", end="", flush=True)
        elif seconds % 10 == 0:
            print(f"… {title}  {seconds} s", flush=True)
        if seconds == SLOW_S and slow_hint:
            print(f"{_overwrite()}  {slow_hint}", flush=True)


def run(argv: Sequence[str], log_name: str) -> None:
    """Run a command with its output in var/log. Raises Failed with the end of that output."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / log_name
    with log.open("wb") as output:
        ended = subprocess.run(argv, cwd=str(ROOT), stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if ended.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        raise Failed(
            "\n".join([f"{Path(argv[0]).name} exited with {ended.returncode}:", *(f"  {line}" for line in tail)])
        )
