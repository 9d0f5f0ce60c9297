"""Send a test event to a webhook, or sign a payload for a webhook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wechat.domain.deliveries import Event, Outcome
from wechat.domain.errors import BadRequest, Bilingual, NotFound
from wechat.domain.events import EventType
from wechat.domain.ports import Runtime
from wechat.events.samples import build_sample
from wechat.events.webhooks import Webhook

ID_BYTES = 12


class Trial(NamedTuple):
    """A test event that was sent, and its outcome."""

    target: str
    event: Event
    outcome: Outcome
    duration_s: float


class WebhookTrials:
    """Webhooks by name. Nothing is stored, and no delivery of an order's event changes."""

    def __init__(self, webhooks: Sequence[Webhook], mchid: str, runtime: Runtime) -> None:
        self._webhooks: Mapping[str, Webhook] = {webhook.name: webhook for webhook in webhooks}
        self._mchid = mchid
        self._random = runtime.random
        self._clock = runtime.clock

    @property
    def targets(self) -> Sequence[str]:
        """The names of all webhooks."""
        return list(self._webhooks)

    def find(self, name: str = "") -> Webhook:
        """Return the webhook with that name; without a name, the only one. Raises NotFound and BadRequest."""
        if not self._webhooks:
            text = Bilingual("配置中没有 webhooks", "There are no webhooks in the settings")
            raise NotFound(text, code="NO_WEBHOOK")
        if name in self._webhooks or (not name and len(self._webhooks) == 1):
            return self._webhooks[name or next(iter(self._webhooks))]
        names = ", ".join(self._webhooks)
        raise BadRequest(Bilingual(f"target 可取 {names}", f"target is one of {names}"), field="target")

    async def send(self, target: str, kind: EventType) -> Trial:
        """Send a test event once, signed like any other. Raises as ``find``."""
        webhook, started = self.find(target), self._clock.monotonic()
        event = build_sample(kind, self._random.token(ID_BYTES), self._mchid, self._clock.now())
        outcome = await webhook.deliver(event)
        return Trial(webhook.name, event, outcome, self._clock.monotonic() - started)
