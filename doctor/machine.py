"""Facts about the machine, each a plain value, so that a test can change it."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MIB = 1024 * 1024
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
TIMEX_BYTES = 208
STATUS_AT = 40  # of struct timex on 64-bit Linux: modes, offset, freq, maxerror, esterror, status
UNSYNCHRONISED = 0x40


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory_mib`` is the available memory of the machine and of the container; ``synchronised`` is None where the
    system does not report it."""

    now: datetime
    uid: int
    groups: frozenset[int]
    utc_offset_s: int
    synchronised: bool | None
    open_files: int
    memory_mib: int | None
    python: tuple[int, int]
    variables: tuple[tuple[str, str], ...] = ()


def read_machine() -> Machine:
    return Machine(
        now=datetime.now(UTC),
        uid=os.geteuid(),
        groups=frozenset((os.getegid(), *os.getgroups())),
        utc_offset_s=time.localtime().tm_gmtoff,
        synchronised=_is_synchronised(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        memory_mib=_memory_mib(),
        python=sys.version_info[:2],
    )


def _is_synchronised() -> bool | None:
    """Whether NTP keeps the kernel's clock right (adjtimex(2)); None off Linux."""
    if not sys.platform.startswith("linux"):
        return None
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)
    try:
        state = ctypes.CDLL(None).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    return not int.from_bytes(buffer.raw[STATUS_AT : STATUS_AT + 4], sys.byteorder) & UNSYNCHRONISED


def _memory_mib() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    available = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")), None)
    limits = [limit for limit in map(_cgroup_mib, CGROUP_LIMITS) if limit is not None]
    return min([each for each in (available, *limits) if each is not None], default=None)


def _cgroup_mib(file: str) -> int | None:
    try:
        text = Path(file).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) // MIB if text.isdigit() and int(text) < 1 << 60 else None
