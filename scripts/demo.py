"""Run the demo: the WeChat simulator and the service in front of it, from the first start to an address to open.

All files of this installation (keys, secrets, data, logs) are in ``var/``, so that a restart keeps sessions and orders.
Both processes end with this one, even when it is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from rich.console import Console
from rich.panel import Panel

from scripts import demo_files
from scripts.steps import ROOT, Failed, step
from storage.embedded.child_process import ChildFailed, Process
from wechat.domain.errors import Bilingual
from wechat.staff.operator import sign_request

SERVICE_PORT, SIMULATOR_PORT, SECURE_PORT = 8888, 9000, 9443
PORT_TRIES = 100
USERS = "/api/users"
READY_S = 60.0  # on a busy machine; a process that ends is noticed at once
WATCH_S = 0.2
POLL_S = 0.02

_direct = build_opener(ProxyHandler({}))  # loopback never goes through a proxy


def main(var: Path) -> int:
    """Run the demo, with all its files in ``var``, until Ctrl-C or SIGTERM; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: it is ignored in a process started in the background
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            try:
                _run(stack, var)
            finally:  # a second signal must not interrupt the stop
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        print("已停止 · stopped")
        return 0
    except ChildFailed as failure:
        print(f"✘ {failure.text.zh} · {failure.text.en}\n{failure.tail}", file=sys.stderr)
        print(f"  日志 · log: {var / 'log' / f'{failure.name}.log'}", file=sys.stderr)
        return 1
    except Failed as error:
        print(f"✘ {error}", file=sys.stderr)
        return 1
    return 0


def _run(stack: ExitStack, var: Path) -> None:
    """Start both processes. After the first start the keys are known, and the service starts beside the simulator
    instead of after it."""
    stack.enter_context(_only_one(var))
    base_url = _address(stack, _wanted_port("PORT", SERVICE_PORT), "服务 · service")
    wanted = _wanted_port("SIMULATOR_PORT", SIMULATOR_PORT)
    simulator_url = _address(stack, wanted, "微信模拟器 · WeChat simulator")
    secure_url = _address(stack, SECURE_PORT, "微信模拟器（退款） · WeChat simulator, refunds")
    earlier = demo_files.load_credentials(var)
    with step("微信模拟器 · WeChat simulator"):
        simulator = _start_simulator(stack, var, simulator_url, secure_url)
        service = _start_service(stack, var, base_url, simulator_url, earlier) if earlier else None
        simulator.wait_for(re.compile("simulator listening"), READY_S)
        _call("POST", f"{simulator_url}/simulator/settings", demo_files.console_settings(base_url))
        credentials = _call("GET", f"{simulator_url}/simulator/credentials")
    with step("密钥、数据库、服务 · keys, databases, service"):
        if service is None or credentials != earlier:
            if service:
                service.stop()
            service = _start_service(stack, var, base_url, simulator_url, credentials)
        _wait_ready(service, f"{base_url}/readyz")
    shown = demo_files.load_shown(var)
    _add_console_user(shown, demo_files.load_session_secret(var))
    _print_addresses(var, shown, simulator_url)
    if os.environ.get("OPEN") == "1":
        webbrowser.open(shown["console_login_url"])
    _watch([service, simulator])


def _start_simulator(stack: ExitStack, var: Path, url: str, secure_url: str) -> Process:
    """Start the simulator. The service follows its clock, so that messages and bills carry its dates."""
    port, secure_port = (address.rpartition(":")[2] for address in (url, secure_url))
    ports = ("--port", port, "--secure-port", secure_port)
    state = ("--state", str(var / "simulator"), "--calendar", "simulated")
    return _spawn(stack, var, "simulator", "-m", "simulator", *ports, *state)


def _start_service(
    stack: ExitStack, var: Path, base_url: str, simulator_url: str, credentials: dict[str, Any]
) -> Process:
    demo_files.write(var, base_url, simulator_url, credentials)
    return _spawn(stack, var, "service", "server.py", "--settings", str(var / "demo.yml"))


def _spawn(stack: ExitStack, var: Path, name: str, *arguments: str) -> Process:
    process = Process(name, [sys.executable, *arguments], var / "log" / f"{name}.log", cwd=ROOT)
    stack.callback(process.stop)
    return process


def _wait_ready(service: Process, url: str) -> None:
    """Wait until the service reports that it is ready. Raises ChildFailed."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if not service.alive:
            raise service.build_failure(Bilingual("启动后退出了", "ended while starting"))
        try:
            with _direct.open(url, timeout=5):
                return
        except (HTTPException, OSError):  # HTTPException: the client may connect to itself
            time.sleep(POLL_S)
    raise service.build_failure(Bilingual(f"{READY_S:g} 秒内没有就绪", f"was not ready within {READY_S:g} s"))


def _add_console_user(shown: dict[str, str], secret: str) -> None:
    """Add the demo's console user with the password in ``shown``; an existing user is not changed."""
    users = _ask_as_operator(shown, secret, "GET")["users"]
    if all(user["name"] != shown["console_user"] for user in users):
        user = {"name": shown["console_user"], "role": "admin", "password": shown["console_password"]}
        _ask_as_operator(shown, secret, "POST", json.dumps(user).encode())


def _ask_as_operator(shown: dict[str, str], secret: str, method: str, body: bytes = b"") -> dict[str, Any]:
    """Make a signed request about the console's users. Raises Failed."""
    signature = sign_request(secret, method, USERS, body, int(time.time()), secrets.token_hex(16))
    headers = {"Authorization": signature, "Content-Type": "application/json"}
    request = Request(shown["base_url"] + USERS, body or None, headers, method=method)  # noqa: S310 - built from loopback
    try:
        with _direct.open(request, timeout=10) as answer:
            answered: dict[str, Any] = json.load(answer)
            return answered
    except HTTPError as refused:
        raise Failed(f"管理后台的用户 · the console's users: HTTP {refused.code}") from None


def _watch(children: list[Process]) -> None:
    """Wait until a child ends (raises ChildFailed), the process is interrupted, or the make that started it is gone."""
    parent = os.getppid()
    while os.getppid() == parent or "MAKELEVEL" not in os.environ:
        for child in children:
            if not child.alive:
                raise child.build_failure(Bilingual("意外退出了", "ended unexpectedly"))
        time.sleep(WATCH_S)


def _print_addresses(var: Path, shown: dict[str, str], simulator_url: str) -> None:
    console = Console()
    console.print(
        Panel.fit(
            f"店铺 · shop              [bold]{shown['base_url']}/[/bold]\n"
            f"管理后台 · console       {shown['console_url']}\n"
            f"  用户、密码 · log in     {shown['console_user']} {shown['console_password']}\n"
            f"微信模拟器 · simulator   {simulator_url}/simulator/\n"
            f"Fenpay API Key · key     {var / 'demo.json'}\n"
            f"日志 · logs              {var / 'log'}\n\n"
            "[bold red]模拟环境，不涉及真实资金 · simulated, no real money moves[/bold red]\n"
            "Ctrl-C 停止 · Ctrl-C stops",
            title="Fenpay",
        )
    )
    console.print("管理后台，一次性登录 · console, logs in once:")
    console.print(shown["console_login_url"], soft_wrap=True, markup=False)


def _wanted_port(name: str, default: int) -> int:
    """Return the port that the environment variable ``name`` requires. Raises Failed."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise Failed(f"{name} 要是 1 到 65535 的端口号 · {name} is a port from 1 to 65535")
    return int(text)


def _address(stack: ExitStack, wanted: int, whose: str) -> str:
    """Return the address on port ``wanted``, or on the next one that is free and not reserved by another demo, and a
    note about it.

    The port stays reserved until ``stack`` ends: between this check and the process that listens, another demo may
    check.
    """
    for port in range(wanted, min(wanted + PORT_TRIES, 65536)):
        if _reserve(stack, port) and _free(port):
            if port != wanted:
                print(f"  {whose}: 端口 {wanted} 被占用，改用 {port} · port {wanted} is taken, using {port}")
            return f"http://127.0.0.1:{port}"
    raise Failed(f"{whose}: {wanted} 起没有空闲端口 · no free port from {wanted} on")


def _reserve(stack: ExitStack, port: int) -> bool:
    """Whether ``port`` could be reserved for this demo until ``stack`` ends: no other demo of this user has it."""
    lock = (Path(gettempdir()) / f"fenpay-demo-{os.getuid()}-{port}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    stack.callback(lock.close)
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _call(method: str, url: str, body: object = None) -> dict[str, Any]:
    """Make a JSON call to the simulator."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - built from loopback
    with _direct.open(request, timeout=10) as answer:
        answered: dict[str, Any] = json.loads(answer.read() or b"{}")
        return answered


@contextmanager
def _only_one(var: Path) -> Iterator[None]:
    """Allow one demo per directory. Raises Failed."""
    var.mkdir(mode=0o700, exist_ok=True)
    with (var / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("这里已有一个演示在运行 · a demo is already running in this directory") from None
        yield


def _interrupt(number: int, frame: object) -> None:
    """Raise KeyboardInterrupt, as Ctrl-C does by default; SIGTERM stops the demo the same way."""
    raise KeyboardInterrupt
