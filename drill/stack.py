"""The processes of a drill: stores, the WeChat simulator with simulated dates, and two services.

Everything is on loopback and in one directory, and ends with the drill.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import yaml

from scripts.overlay import overlay
from scripts.steps import ROOT
from storage.embedded.child_process import Process
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port

START_S = 120.0  # enough for a busy machine
SERVICES = 2
TILL = "TILL-"
"""The prefix of order numbers of another system at the same merchant number."""


class Stack:
    """``urls`` are the services'; WeChat calls the first. Events are sent to ``receiver_port``, signed with
    ``webhook_secret``."""

    def __init__(self, directory: Path, receiver_port: int) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.api_key = secrets.token_urlsafe(24)
        self.webhook_secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        self._receiver_url = f"http://127.0.0.1:{receiver_port}/events"
        self.kills = 0

    def __enter__(self) -> Self:
        with self._stack as stack:
            mongo, redis = EmbeddedMongo(self._directory / "mongo"), EmbeddedRedis(self._directory / "redis")
            for server in (mongo, redis):
                server.start()
                stack.callback(server.stop)
            self.mongo_url, self._redis_url = mongo.url, redis.url
            self.simulator_url = self._simulator()
            with urlopen(f"{self.simulator_url}/simulator/credentials") as answer:  # noqa: S310 - loopback
                self.credentials: dict[str, Any] = json.load(answer)
            ports = [free_port() for _ in range(SERVICES)]
            self.urls = [f"http://127.0.0.1:{port}" for port in ports]
            self._settings = [self._write_settings(number) for number in range(SERVICES)]
            self._services = [self._serve(number) for number in range(SERVICES)]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kill(self, number: int) -> None:
        """Kill a service by SIGKILL; supervisor starts it again."""
        self._services[number].kill()
        self.kills += 1
        self._services[number] = self._serve(number)

    def _simulator(self) -> str:
        state = ("--state", str(self._directory / "simulator"), "--calendar", "simulated")
        process = self._spawn("simulator", "-m", "simulator", "--port", "0", *state)
        return process.wait_for(re.compile(r"listening on (http://\S+)"), START_S)[1]

    def _serve(self, number: int) -> Process:
        process = self._spawn(f"service{number}", str(ROOT / "server.py"), "--settings", str(self._settings[number]))
        process.wait_for(re.compile('"event":"listening"'), START_S)
        return process

    def _spawn(self, name: str, *arguments: str) -> Process:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        log = self._directory / f"{name}-{self.kills}.log"
        process = Process(name, [sys.executable, *arguments], log, env=environment)
        self._stack.callback(process.stop)
        return process

    def _write_settings(self, number: int) -> Path:
        """Write the settings of a service: the demo's, with refunds over both APIs and automatic refunds of late
        payments."""
        values = overlay(self.urls[0], self.simulator_url, self.credentials)
        values["http"] |= {"port": int(self.urls[number].rpartition(":")[2])}
        values["pay"] |= {"late_policy": "refund"}
        values |= {
            "session": {"secret": secrets.token_hex(32)},
            "mongo": {"url": self.mongo_url},
            "redis": {"url": self._redis_url},
            "books": {"directory": str(self._directory / "bills"), "foreign_numbers": [f"{TILL}.*"]},
            "merchants": [{"name": "drill", "sha256": hashlib.sha256(self.api_key.encode()).hexdigest()}],
            "webhooks": [
                {
                    "name": "drill",
                    "url": self._receiver_url,
                    "secrets": [self.webhook_secret],
                    "events": "all",
                    "allow_private": True,
                }
            ],
        }
        path = self._directory / f"service{number}.yml"
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        return path
