"""Deliver an event again by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wechat.domain.deliveries import Delivery, DeliveryState, revive_delivery
from wechat.domain.errors import Bilingual, Conflict, NotFound
from wechat.domain.ports import DeliveryStore, Runtime
from wechat.events.delivery_worker import LEASE
from wechat.support.update import Updater


class Redelivery:
    """Makes deliveries due again. The composition root sets ``on_due``, which wakes the delivery workers."""

    def __init__(self, store: DeliveryStore, runtime: Runtime) -> None:
        self._store = store
        self._clock = runtime.clock
        self.on_due: Callable[[], None] = lambda: None
        self._updater: Updater[Delivery] = Updater(store, lambda delivery: delivery.id, runtime.random, remembered=0)

    async def resend(self, event_id: str, target: str = "") -> list[Delivery]:
        """Deliver the event again to ``target``; without one, to every target that has not received it.

        Deliveries that are dead, or whose next attempt is more than a lease away, become due, with the same id and new
        attempts. Raises NotFound, and Conflict when there is nothing to deliver again.
        """
        deliveries = await self._store.of_event(event_id)
        chosen = [delivery for delivery in deliveries if target in ("", delivery.target)]
        if not chosen:
            raise NotFound(
                Bilingual("没有这个事件，或它不推送给该接收方", "There is no such event, or its target is another")
            )
        again = [delivery for delivery in chosen if target or delivery.state is not DeliveryState.DELIVERED]
        revived = [await self._revive(delivery.id) for delivery in again]
        if not any(revived):
            raise Conflict(_nothing_to_resend(again), code="NOTHING_TO_RESEND")
        self.on_due()
        return [delivery for delivery in revived if delivery]

    async def _revive(self, delivery_id: str) -> Delivery | None:
        now = self._clock.now()
        change = await self._updater.update(delivery_id, lambda each: revive_delivery(each, now, LEASE))
        return change.after if change and change.happened else None


def _nothing_to_resend(pending: Sequence[Delivery]) -> Bilingual:
    """Explain why no delivery was made due; ``pending`` are the chosen deliveries."""
    if not pending:
        return Bilingual("已送达；如需重新推送，请指定 target", "It was delivered; name a target to deliver it again")
    if all(delivery.tries for delivery in pending):
        return Bilingual("一分钟内会自动重试", "It is retried within a minute")
    return Bilingual(
        "同一订单有更早的事件未送达，请先重新推送那一条",
        "An earlier event of the same order is not delivered yet; deliver that one again first",
    )
