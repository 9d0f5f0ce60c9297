"""All checks, in the order in which they are told."""

from __future__ import annotations

from doctor.check import Check
from doctor.checks import files, keys, machine, settings, stores

CHECKS: tuple[Check, ...] = (*settings.CHECKS, *files.CHECKS, *keys.CHECKS, *machine.CHECKS, *stores.CHECKS)
