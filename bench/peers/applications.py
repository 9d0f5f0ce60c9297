"""Start the two peer applications as their users run them in production."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.peers.postgres import Postgres
from bench.processes.stack import Stack, Target
from scripts.steps import Failed
from storage.embedded.servers import free_port

APPS = Path(__file__).with_name("apps")
DATABASE = "peer"
THREADS = 4  # the best of 2, 4, 8, 16 and 32, in requests a second as well as in CPU per request
READY_S = 30.0
GUNICORN = ("--workers", "1", "--threads", str(THREADS), "--worker-class", "gthread", "--no-control-socket")
UVICORN = ("--workers", "1", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
FROM_SIMULATOR = (
    "appid",
    "mchid",
    "api_v2_key",
    "api_v3_key",
    "merchant_private_key_pem",
    "merchant_serial_no",
    "public_key_pem",
    "public_key_id",
)


class Applications:
    """Both peers, on loopback, as merchants of ``stack``'s simulator; their files are in ``directory``."""

    def __init__(self, stack: Stack, directory: Path, python: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._python = str(python)

    def start_django(self, postgres: Postgres) -> Target:
        """Django REST framework and wechatpy over PostgreSQL, under gunicorn."""
        env = self._environment("django", {"postgres_host": postgres.host})
        self._create_tables(env)
        port = free_port()
        argv = [self._python, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *GUNICORN, "django_shop.wsgi"]
        process = self._stack.spawn("django", argv, env, APPS)
        process.wait_for(re.compile("Booting worker"), READY_S)
        return Target(f"http://127.0.0.1:{port}", process)

    def start_fastapi(self, mongo_url: str) -> Target:
        """FastAPI, wechatpayv3 and Motor under uvicorn."""
        env = self._environment("fastapi", {"mongo_url": mongo_url, "mongo_database": DATABASE})
        port = free_port()
        address = ["--host", "127.0.0.1", "--port", str(port)]
        argv = [self._python, "-m", "uvicorn", *address, *UVICORN, "fastapi_shop:app"]
        process = self._stack.spawn("fastapi", argv, env, APPS)
        process.wait_for(re.compile("Uvicorn running"), READY_S)
        return Target(f"http://127.0.0.1:{port}", process)

    def _create_tables(self, env: Mapping[str, str]) -> None:
        """Create the tables. Raises Failed."""
        argv = [self._python, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
        environment = os.environ | dict(env)
        done = subprocess.run(
            argv, cwd=APPS, env=environment, capture_output=True, text=True, timeout=READY_S, check=False
        )
        if done.returncode:
            raise Failed(f"Django made no tables: {done.stderr.strip()}")

    def _environment(self, name: str, own: Mapping[str, str]) -> dict[str, str]:
        """Write the peer's settings; return the environment that points to them."""
        settings = {key: self._stack.keys[key] for key in FROM_SIMULATOR} | {
            "api_key": self._stack.api_key,
            "secret_key": secrets.token_hex(32),
            "wechat_url": self._stack.simulator.url,
            "notify_url": "http://127.0.0.1:9/notify",
            **own,
        }
        file = self._directory / f"{name}.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        return {
            "PEER_SETTINGS": str(file),
            "PYTHONPATH": str(APPS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "django_shop.settings",
        }
