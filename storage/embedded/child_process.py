"""Child processes that never outlive their parent, not even one that is killed with SIGKILL.

Each child has a watcher, a shell that reads from a pipe whose other end only the parent holds. When the parent ends,
for whatever reason, the kernel closes that end and the watcher kills the child's process group. The child itself
replaces the shell that made the watcher, so its pid, signals and exit status are its own. POSIX only: Linux and macOS.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wechat.domain.errors import Bilingual, FenpayError

POLL_S = 0.01
STOP_S = 10.0
TAIL_LINES = 15

# A background command reads /dev/null unless told otherwise, hence the detour over descriptor 3.
_WATCHED = 'exec 3<&0; { read -r _ <&3 || kill -s KILL -- -$$; } >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'


class ChildFailed(FenpayError):
    """A child process ended or stayed silent before it was ready; ``tail`` is the end of what it printed."""

    code = "CHILD_FAILED"

    def __init__(self, name: str, why: Bilingual, tail: str) -> None:
        super().__init__(Bilingual(f"{name} {why.zh}", f"{name} {why.en}"))
        self.name = name
        self.tail = tail


class Process:
    """A running child process. Ctrl-C does not reach it, because it has a session of its own; its output goes to
    ``log``, which is started anew.

    ``keep`` are file descriptors that the child inherits, such as a lock that must last as long as it does.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        keep: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - our own programs, no shell expands their arguments
                ["/bin/sh", "-c", _WATCHED, name, *argv],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=None if env is None else dict(env),
                pass_fds=keep,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def wait_for(self, line: re.Pattern[str], timeout_s: float) -> re.Match[str]:
        """Return the first match of ``line`` in the log. Raises ChildFailed if the child ends or time runs out
        first."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            ended = not self.alive
            if found := line.search(self._read_log()):
                return found
            if ended:
                raise self.build_failure(Bilingual("启动后退出了", "ended while starting"))
            time.sleep(POLL_S)
        raise self.build_failure(Bilingual(f"{timeout_s:g} 秒内没有就绪", f"was not ready within {timeout_s:g} s"))

    def build_failure(self, why: Bilingual) -> ChildFailed:
        """Return an error that carries the end of the log."""
        return ChildFailed(self.name, why, "\n".join(self._read_log().splitlines()[-TAIL_LINES:]))

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Ask the child to end, then force it; return its exit status (negative: a signal)."""
        if self.alive:
            self._popen.terminate()
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._release()
        return self._popen.wait()

    def kill(self) -> None:
        """End the child and all its children at once."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def _release(self) -> None:
        """End the watcher: the pid that it would kill may soon belong to another process."""
        pipe = self._popen.stdin
        if pipe is None or pipe.closed:
            return
        try:
            pipe.write(b"\n")
            pipe.close()
        except BrokenPipeError:  # killed together with the child
            pass

    def _read_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")
