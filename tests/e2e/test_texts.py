"""The tables of texts and the templates fit together, for states too that no browser test can wait for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tornado.template import Loader

from handlers.cashier import RESTS, beijing, yuan
from handlers.texts import REFUSALS, SCRIPT_TEXTS, TEXTS, texts
from tests.contract.samples import an_order
from wechat.models import TradeState
from wechat.times import to_v3

ROOT = Path(__file__).resolve().parents[2]
HAN = re.compile("[\u4e00-\u9fff]")
