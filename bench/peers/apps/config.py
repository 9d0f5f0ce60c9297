"""Read the settings that the benchmark writes for both peers: keys, addresses of WeChat and of the stores."""

from __future__ import annotations

import json
import os
from pathlib import Path

CONFIG: dict[str, str] = json.loads(Path(os.environ["PEER_SETTINGS"]).read_text(encoding="utf-8"))
