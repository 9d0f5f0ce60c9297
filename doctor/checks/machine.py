"""The machine: its clock, its limits, the port, and the plugins that the process would load."""

from __future__ import annotations

import contextlib
import importlib
import socket
from http.client import HTTPConnection, HTTPException

from doctor.check import Check
from doctor.report import Judgement, combine, fail, ok, paste, skip, warn
from doctor.subject import Subject
from wechat.domain.errors import Bilingual, ConfigError

OPEN_FILES, LEAST_OPEN_FILES = 8192, 1024
MEMORY_MIB, LEAST_MEMORY_MIB = 512, 128
BEIJING_S = 8 * 3600
BUILT_IN_YEAR = 2025
ANSWER_S = 2.0


def check_time_zone(subject: Subject) -> Judgement:
    offset_s = subject.machine.utc_offset_s
    shown = f"UTC{offset_s / 3600:+g}"
    if offset_s not in (0, BEIJING_S):
        return warn(
            f"本机时区是 {shown}；订单与账单按北京时间，cron 和系统日志不是",
            f"the machine's time zone is {shown}; orders and bills use Beijing time, cron and system logs do not",
            paste("sudo timedatectl set-timezone Asia/Shanghai"),
        )
    return ok(shown, shown)


def check_clock(subject: Subject) -> Judgement:
    machine = subject.machine
    fix = paste("sudo timedatectl set-ntp true && timedatectl status")
    if machine.now.year < BUILT_IN_YEAR:
        return fail(
            f"本机时间是 {machine.now:%Y-%m-%d %H:%M} UTC",
            f"this machine's time is {machine.now:%Y-%m-%d %H:%M} UTC",
            fix,
        )
    if machine.synchronised is None:
        return skip("系统没有说明时钟是否同步", "the system does not report whether its clock is synchronised")
    if not machine.synchronised:
        return warn("时钟没有与 NTP 同步", "the clock is not synchronised with NTP", fix)
    return ok("时钟与 NTP 同步", "the clock is synchronised with NTP")


def check_open_files(subject: Subject) -> Judgement:
    """Check the limit of open files of the current user; for the service, supervisor's minfds decides."""
    limit = subject.machine.open_files
    fix = Bilingual(
        f"supervisor：minfds={OPEN_FILES}；systemd：LimitNOFILE={OPEN_FILES}；终端：ulimit -n {OPEN_FILES}",
        f"supervisor: minfds={OPEN_FILES}; systemd: LimitNOFILE={OPEN_FILES}; a shell: ulimit -n {OPEN_FILES}",
    )
    if limit < LEAST_OPEN_FILES:
        return fail(f"至多 {limit} 个描述符", f"at most {limit} open files", fix)
    if limit < OPEN_FILES and subject.production:
        return warn(f"至多 {limit} 个描述符", f"at most {limit} open files", fix)
    return ok(f"{limit}", f"{limit}")


def check_memory(subject: Subject) -> Judgement:
    mib = subject.machine.memory_mib
    fix = Bilingual("free -m；关掉别的程序，或换大一点的机器", "free -m; stop other programs, or use a larger machine")
    if mib is None:
        return skip("系统没有说明", "the system does not report it")
    if mib < LEAST_MEMORY_MIB:
        return fail(f"只剩 {mib} MiB", f"only {mib} MiB are left", fix)
    if mib < MEMORY_MIB:
        return warn(f"只剩 {mib} MiB", f"only {mib} MiB are left", fix)
    return ok(f"{mib} MiB", f"{mib} MiB")


def check_user(subject: Subject) -> Judgement:
    if subject.production and subject.machine.uid == 0:
        return warn(
            "以 root 运行",
            "the service runs as root",
            paste("sudo -u fenpay .venv/bin/python manage.py doctor --settings …"),
        )
    return ok(f"uid {subject.machine.uid}", f"uid {subject.machine.uid}")


def check_python(subject: Subject) -> Judgement:
    shown = ".".join(map(str, subject.machine.python))
    if subject.machine.python < (3, 11):
        return fail(f"Python {shown}", f"Python {shown}", paste("python3.11 -m venv .venv"))
    return ok(f"Python {shown}", f"Python {shown}")


def check_port(subject: Subject) -> Judgement:
    """Check that the port is free, or taken by this very service, which is then asked for /livez."""
    if not subject.settings:
        return skip("先修正配置", "fix the settings first")
    host, port = subject.settings.http.host, subject.settings.http.port
    if port == 0:
        return ok("任一空闲端口", "any free port")
    try:
        with socket.create_server((host, port)):
            return ok(f"{host}:{port} 空闲", f"{host}:{port} is free")
    except OSError as error:
        if _is_fenpay(host, port):
            return ok(f"{host}:{port} 上就是 Fenpay", f"Fenpay runs on {host}:{port}")
        why = error.strerror or "?"
        return fail(
            f"{host}:{port} 用不了（{why}）",
            f"{host}:{port} cannot be used ({why})",
            paste(f"sudo ss -ltnp 'sport = :{port}'"),
        )


def check_plugins(subject: Subject) -> Judgement:
    """Check that each module can be imported and is a plugin."""
    found = []
    for name in subject.settings.plugin_names if subject.settings else ():
        try:
            module = importlib.import_module(name)
        except ConfigError as error:
            found.append(fail(f"{name}：{error.text.zh}", f"{name}: {error.text.en}", paste(f"# - {name}")))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            found.append(fail(f"{name}：{said}", f"{name}: {said}", paste(f".venv/bin/python -c 'import {name}'")))
        else:
            if not hasattr(module, "routes") and not hasattr(module, "subscriptions"):
                fix = Bilingual("见 docs/zh/plugins.md", "see docs/en/plugins.md")
                found.append(fail(f"{name} 不是插件", f"{name} is not a plugin", fix))
    if subject.settings and not found and "handlers.wechat.notify" not in subject.settings.plugin_names:
        fix = paste("plugins:\n  - handlers.wechat.notify")
        found.append(
            fail(
                "没有 handlers.wechat.notify，收不到通知",
                "without handlers.wechat.notify, notifications cannot be received",
                fix,
            )
        )
    return combine(found, ok("都能加载", "all can be loaded"))


def _is_fenpay(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=ANSWER_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, HTTPException):
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        return answer.status == 200 and answer.read(16) == b"ok\n"
    return False


CHECKS = (
    Check(
        "host.time_zone",
        Bilingual("账单按北京时间的日期", "bills use the date in Beijing"),
        check_time_zone,
        bare=True,
    ),
    Check(
        "host.clock",
        Bilingual(
            "差 5 分钟，微信支付的签名互相都验不过",
            "with a difference of five minutes, neither side accepts the other's signatures",
        ),
        check_clock,
        bare=True,
    ),
    Check(
        "host.open_files",
        Bilingual(
            "每个用户的连接占用一个文件描述符，用完后无法再建立连接",
            "each connection uses one file descriptor; without a free one, new connections fail",
        ),
        check_open_files,
        bare=True,
    ),
    Check(
        "host.memory",
        Bilingual("内存不够时系统会杀掉进程", "the system kills processes when memory runs out"),
        check_memory,
        bare=True,
    ),
    Check(
        "host.user",
        Bilingual("服务不需要 root", "the service does not need root"),
        check_user,
        bare=True,
    ),
    Check("host.python", Bilingual("需要 3.11 或更新", "3.11 or later is needed"), check_python, bare=True),
    Check(
        "host.port",
        Bilingual("被别的程序占用就不能启动", "the service cannot start if another program uses the port"),
        check_port,
    ),
    Check(
        "plugins.load",
        Bilingual("一个插件加载失败，整个服务就不启动", "if one plugin cannot be loaded, the service does not start"),
        check_plugins,
    ),
)
