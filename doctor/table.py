"""All checks, in the order of their report."""

from __future__ import annotations

from doctor.check import Check
from doctor.checks import console, files, keys, machine, network, settings, stores, wechat

PARTS = (settings, files, keys, machine, stores, network, wechat, console)
CHECKS: tuple[Check, ...] = tuple(check for part in PARTS for check in part.CHECKS)
