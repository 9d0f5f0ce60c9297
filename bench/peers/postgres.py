"""PostgreSQL of the distribution's package, run as a child of the benchmark on a temporary directory.

It listens on a Unix socket in that directory only, with its own defaults: every commit is on disk before its answer.
PostgreSQL refuses to run as root, so root runs it as another user.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.steps import Failed
from storage.embedded.child_process import ChildFailed, Process

PACKAGES = Path("/usr/lib/postgresql")  # Debian keeps the servers of all versions there, off the PATH
MISSING = "PostgreSQL is not installed; install it with `apt-get install -y postgresql`, then run this again."
USER = "postgres"
OTHER_USERS = (USER, "nobody")
READY_S = 20.0


class Postgres:
    """A PostgreSQL server that runs from entry to exit. Raises Failed if PostgreSQL is not installed or does
    not start."""

    def __init__(self) -> None:
        self._programs = find_programs()
        self._user = find_user() if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="fenpay-bench-postgres-")
        self.host = self._directory.name
        if self._user:
            os.chown(self.host, self._user.pw_uid, self._user.pw_gid)
        data = Path(self.host) / "data"
        self._create_cluster(data)
        self._process = Process("postgres", self._as_user(self._argv(data)), Path(self.host) / "postgres.log")
        try:
            self._process.wait_for(re.compile("ready to accept connections"), READY_S)
        except ChildFailed as failure:
            self._process.kill()
            raise Failed(f"{failure}: {failure.tail}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
        self._directory.cleanup()

    def _create_cluster(self, data: Path) -> None:
        initdb = [str(self._programs / "initdb"), "--username", USER, "--auth", "trust", "--encoding", "UTF8"]
        command = self._as_user([*initdb, "--no-locale", "--pgdata", str(data)])
        done = subprocess.run(command, cwd=self.host, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"initdb failed: {done.stderr.strip()}")

    def _argv(self, data: Path) -> list[str]:
        return [str(self._programs / "postgres"), "-D", str(data), "-k", self.host, "-c", "listen_addresses="]

    def _as_user(self, argv: list[str]) -> list[str]:
        """Return ``argv`` with a prefix that runs it as another user than root, in the same process."""
        if self._user is None:
            return argv
        setpriv = ["setpriv", f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return [*setpriv, "--", *argv]


def find_programs() -> Path:
    """Return the directory of ``initdb`` and ``postgres`` of the newest version. Raises Failed."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(PACKAGES.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    for directory in found:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise Failed(MISSING)


def find_user() -> pwd.struct_passwd:
    """Return the user that runs PostgreSQL for root. Raises Failed."""
    for name in OTHER_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise Failed("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as.")
