"""A circuit breaker: after several timeouts in a row, calls to WeChat fail at once for a while instead of waiting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

HUNG_IN_A_ROW = 3
"""The number of consecutive calls without an answer that open the circuit."""
RETRY_S = 5.0
"""Seconds after which one call is tried again; the others are refused until it is answered."""

log = structlog.get_logger("wechat.support.circuit")


@dataclass(slots=True)
class _State:
    hung: int = 0
    retry_at: float = 0.0


class Circuits:
    """A circuit for each call at each host, because one call may hang while others are answered."""

    def __init__(self, trial_s: float, monotonic: Callable[[], float]) -> None:
        """``trial_s``: how long a call may take at most. ``monotonic`` tells the time in seconds."""
        self._trial_s = trial_s
        self._monotonic = monotonic
        self._states: dict[tuple[str, str], _State] = defaultdict(_State)

    def admits(self, host: str, call: str) -> bool:
        """Whether to send ``call`` now. While the circuit is open, one call at a time is admitted as a trial."""
        state, now = self._states[host, call], self._monotonic()
        if state.hung < HUNG_IN_A_ROW:
            return True
        if now < state.retry_at:
            return False
        state.retry_at = now + self._trial_s
        return True

    def report(self, host: str, call: str, *, hung: bool) -> None:
        """Record how an admitted call ended. ``hung``: it got no answer in its time."""
        state = self._states[host, call]
        if not hung:
            if state.hung >= HUNG_IN_A_ROW:
                log.info("wechat_answers_again", call=call, host=host)
            state.hung = 0
            return
        state.hung += 1
        state.retry_at = self._monotonic() + RETRY_S
        if state.hung == HUNG_IN_A_ROW:
            log.warning("wechat_hangs", call=call, host=host)
