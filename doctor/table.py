"""All checks, in the order in which they are told."""

from __future__ import annotations

from doctor.check import Check
from doctor.checks import files, keys, machine, network, settings, stores

PARTS = (settings, files, keys, machine, stores, network)
CHECKS: tuple[Check, ...] = tuple(check for part in PARTS for check in part.CHECKS)
