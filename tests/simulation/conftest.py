"""The simulation waits as the service does."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def nothing_is_under_way() -> None:
    """Whatever may be under way is waited for, in virtual time."""
