"""Settings in front of the simulator, to break one thing of them and look with ``--live``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from doctor.check import look_all
from doctor.report import Judgement
from doctor.subject import read
from doctor.table import CHECKS
from tests.doctor.site import MACHINE
from tests.support.service import overlay
from tests.support.simulator import SimulatorProcess


class Live:
    """Settings in front of the simulator, to be changed by dotted keys."""

    def __init__(self, simulator: SimulatorProcess, folder: Path) -> None:
        self.simulator = simulator
        self.folder = folder
        known = simulator.credentials
        self.values = overlay(8888, simulator.url, known, "mongodb://127.0.0.1:1", "redis://127.0.0.1:1", folder)

    def set(self, key: str, value: Any) -> Live:
        *sections, name = key.split(".")
        at = self.values
        for section in sections:
            at = at[section]
        at[name] = value
        return self

    def refuse(self, path: str, code: str, message: str = "") -> None:
        self.simulator.control("POST", "faults", {"path": path, "fault": "refuse", "code": code, "message": message})

    def break_down(self, path: str) -> None:
        self.simulator.control("POST", "faults", {"path": path, "fault": "http_500"})

    async def look(self, check_id: str) -> Judgement:
        file = self.folder / "settings.yml"
        file.write_text(yaml.safe_dump(self.values), encoding="utf-8")
        [check] = [check for check in CHECKS if check.id == check_id]
        [result] = await look_all([check], read(file, MACHINE), [check.part])
        return result.judgement
