"""What refused notifications leave behind: few copies, few lines, an alarm when it goes on, and a second try."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.contract.samples import NOW, NUMBER, an_order
from tests.support.clock import ManualClock
from tests.support.core import Backend
from wechat.alarms.texts import sentence, step
from wechat.diagnosis.diagnosis import explain
from wechat.diagnosis.snapshot import OrderSnapshot, Outcome, RemoteStatus
from wechat.domain.alarms import new_alarm
from wechat.domain.errors import (
    BadRequest,
    Bilingual,
    Malformed,
    Mismatch,
    MismatchReason,
    NotFound,
    NotifyError,
    SignatureInvalid,
)
from wechat.domain.facts import Api
from wechat.domain.metrics import Metric
from wechat.domain.refused import MOST_RAW_BYTES, PLACES, STAY
from wechat.notifications.reasons import MALFORMED, REASONS, group_of
from wechat.notifications.refusals import ALARM, KEEP, Refusals, RefusedMessage
from wechat.notifications.streaks import GOES_ON
from wechat.pay.signing import SignType, v2_sign
from wechat.pay.v2 import xmlcodec
from wechat.sign_explain.model import Keys
from wechat.slips.finder import SlipFinder

SECOND = timedelta(seconds=1)


class Gate:
    """Refusals over memory."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.backend = Backend(self.clock)
        runtime = self.backend.runtime()
        self.refusals = Refusals(self.backend.stores().refused, SlipFinder(None, runtime), runtime, self.clock)

    async def refuse(
        self, error: NotifyError, body: bytes = b"{}", about: str = NUMBER, *, ours: bool = False, **headers: str
    ) -> None:
        message = RefusedMessage(Api.V3, headers, body, error, about)
        self.refusals.report(message)
        if self.refusals.wants_copy(error, ours=ours):
            await self.refusals.keep(message, ours=ours)

    @property
    def alarms(self) -> int:
        return self.backend.telemetry.alarms(ALARM)

    def left_out(self, reason: str) -> int:
        return self.backend.telemetry.counted[(Metric.REFUSED_NOT_KEPT, reason)]


async def test_the_same_body_is_one_copy_that_counts() -> None:
    gate = Gate()
    for _ in range(3):
        await gate.refuse(SignatureInvalid("stale"))
        gate.clock.advance(1)
    [copy] = await gate.refusals.latest(100)
    assert (copy.seen, copy.first_at, copy.last_at) == (3, NOW, NOW + 2 * SECOND)
    assert copy.id == f"stale-00-{copy.body_hash[:8]}"


async def test_a_reason_has_so_many_places_and_the_oldest_makes_room() -> None:
    gate = Gate()
    for i in range(PLACES + 5):
        await gate.refuse(SignatureInvalid("sign_wrong"), b"%d" % i)
        gate.clock.advance(10)
    await gate.refuse(Malformed("json"), b"of another reason")
    kept = await gate.refusals.latest(1000)
    assert len(kept) == PLACES + 1
    left = {int(copy.raw) for copy in kept if copy.reason == "sign_wrong"}
    assert left == set(range(STAY)) | set(range(STAY + 5, PLACES + 5))
    assert gate.left_out("sign_wrong") == 0


async def test_a_flood_takes_no_place_of_a_message_that_names_an_order_of_ours() -> None:
    gate = Gate()
    await gate.refuse(SignatureInvalid("sign_wrong"), b"genuine", ours=True)
    for i in range(3 * PLACES):
        await gate.refuse(SignatureInvalid("sign_wrong"), b"%d" % i, "an-order-of-nobody")
        gate.clock.advance(10)
    await gate.refuse(SignatureInvalid("sign_wrong"), b"another genuine", "another-of-ours", ours=True)
    kept = [copy.raw for copy in await gate.refusals.latest(1000)]
    assert {b"genuine", b"another genuine"} < set(kept)
    assert len(kept) == PLACES + 2


async def test_of_one_order_the_first_message_and_the_latest_are_kept() -> None:
    gate = Gate()
    for i in range(9):
        await gate.refuse(SignatureInvalid("sign_wrong"), b"%d" % i, ours=True)
        gate.clock.advance(10)
    await gate.refuse(SignatureInvalid("sign_wrong"), b"0", ours=True)
    kept = {copy.raw: copy.seen for copy in await gate.refusals.latest(1000)}
    assert kept == {b"0": 2, b"8": 1}


async def test_of_a_long_body_the_beginning_is_kept_and_it_is_not_tried_again() -> None:
    gate = Gate()
    await gate.refuse(Malformed("json"), b"x" * (MOST_RAW_BYTES + 1))
    [copy] = await gate.refusals.latest(1)
    assert (len(copy.raw), copy.size, copy.complete) == (MOST_RAW_BYTES, MOST_RAW_BYTES + 1, False)


async def test_a_copy_ends_after_its_time() -> None:
    gate = Gate()
    await gate.refuse(SignatureInvalid("stale"))
    [copy] = await gate.refusals.latest(1)
    assert copy.expires_at == NOW + KEEP


async def test_a_flood_is_kept_in_part_and_the_rest_is_counted() -> None:
    gate = Gate()
    for i in range(1000):
        await gate.refuse(SignatureInvalid("sign_wrong"), b"%d" % i)
    kept = await gate.refusals.latest(1000)
    assert len(kept) == 10
    assert gate.left_out("sign_wrong") == 990


async def test_a_store_that_is_away_is_counted_and_nothing_is_raised() -> None:
    gate = Gate()
    gate.backend.down.add("refused_notifications")
    await gate.refuse(SignatureInvalid("stale"))
    assert gate.left_out("stale") == 1


async def test_an_alarm_is_raised_when_it_goes_on_and_again_after_an_hour() -> None:
    gate = Gate()
    for _ in range(100):
        await gate.refuse(SignatureInvalid("aead_tag"))
    assert gate.alarms == 0  # all at once: it may be a single scan
    gate.clock.advance(30)
    await gate.refuse(SignatureInvalid("aead_tag"))
    await gate.refuse(SignatureInvalid("aead_tag"))
    assert gate.alarms == 1
    for _ in range(13):
        gate.clock.advance(300)
        await gate.refuse(SignatureInvalid("aead_tag"))
    assert gate.alarms == 2


async def test_refusals_that_are_far_apart_and_probes_raise_no_alarm() -> None:
    gate = Gate()
    for _ in range(2 * GOES_ON):
        gate.clock.advance(960)
        await gate.refuse(SignatureInvalid("sign_wrong"))
    for _ in range(2 * GOES_ON):
        gate.clock.advance(20)
        await gate.refuse(SignatureInvalid("probe"))
    assert gate.alarms == 0


async def test_genuine_messages_that_do_not_fit_are_not_alarmed_as_malformed() -> None:
    gate = Gate()
    for _ in range(2 * GOES_ON):
        await gate.refuse(Mismatch(MismatchReason.TRANSACTION_USED))
        gate.clock.advance(60)
    assert gate.alarms == 0


async def test_an_id_names_the_message_and_not_its_place() -> None:
    gate = Gate()
    await gate.refuse(SignatureInvalid("stale"), b"first")
    [first] = await gate.refusals.latest(1)
    assert await gate.refusals.get(first.id) == first
    with pytest.raises(NotFound):
        await gate.refusals.get("stale-00-00000000")
    with pytest.raises(NotFound):
        await gate.refusals.get("stale-01-00000000")


async def test_probes_and_what_was_accepted_later_are_not_held_against_an_order() -> None:
    gate = Gate()
    await gate.refuse(SignatureInvalid("probe"))
    await gate.refuse(SignatureInvalid("stale"), b"late")
    await gate.refuse(SignatureInvalid("aead_tag"), b"sealed", about="")
    found = await gate.refusals.about(NUMBER, NOW)
    assert [message.reason for message in found] == ["stale", "aead_tag"]
    await gate.refusals.record_acceptance(found[0])
    assert [message.reason for message in await gate.refusals.about(NUMBER, NOW)] == ["aead_tag"]
    assert await gate.refusals.about(NUMBER, NOW + SECOND) == []


async def test_a_reason_that_does_not_exist_is_refused_with_those_that_do() -> None:
    gate = Gate()
    with pytest.raises(BadRequest) as refusal:
        await gate.refusals.latest(10, "whatever")
    assert "sign_wrong" in refusal.value.text.en


def test_reasons_with_a_row_or_a_field_in_them_are_one_group() -> None:
    assert {group_of(reason) for reason in ("amount.total", "refund_status_3", "json", "xml_size")} == {MALFORMED}


@pytest.mark.parametrize("text", [text for reason in REASONS.values() for text in reason])
def test_each_reason_is_told_in_both_languages(text: Bilingual) -> None:
    assert text.zh
    assert text.en.isascii() or "安全" in text.en


# -- which slip made a signature wrong ---------------------------------------------------------------------------------

V2_KEY, V3_KEY = "8934e7d15453e97507ef794cf7b0519d", "Zk4mWq8sVb2nTy6uRx0cPj3hLf7dGa9e"


class ExplainingGate(Gate):
    """Refusals that find out which slip it was."""

    def __init__(self) -> None:
        super().__init__()
        runtime = self.backend.runtime()
        self.finder = SlipFinder(Keys(v2=V2_KEY, v3=V3_KEY), runtime)
        self.refusals = Refusals(self.backend.stores().refused, self.finder, runtime, self.clock)

    async def settle(self) -> None:
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("slips ")))


def signed_by(secret: str, about: str = NUMBER) -> bytes:
    fields = {
        "return_code": "SUCCESS",
        "mch_id": "1900000109",
        "out_trade_no": about,
        "nonce_str": "n",
        "total_fee": "1",
    }
    return xmlcodec.build(fields | {"sign": v2_sign(fields, secret, SignType.MD5)})


async def test_the_slip_is_found_and_told_by_copy_alarm_and_why() -> None:
    gate = ExplainingGate()
    body = signed_by(V3_KEY)
    for _ in range(GOES_ON):
        await gate.refuse(SignatureInvalid("sign_wrong"), body)
        await gate.settle()
        gate.clock.advance(20)
    [copy] = await gate.refusals.latest(100)
    assert copy.slips == ("KEY_OF_OTHER_API",)
    [(kind, subject)] = gate.backend.telemetry.raised
    alarm = new_alarm(kind, subject, " ".join(copy.slips), NOW)
    assert subject == "sign_wrong"
    assert "签名用的是另一个接口版本的密钥" in sentence(alarm).zh
    assert "a key of another API version" in sentence(alarm).en
    assert step(alarm) == "manage.py notify list --reason sign_wrong"
    case = OrderSnapshot(an_order(), RemoteStatus(Outcome.UNKNOWN), (), (), NOW, unverified=(copy,))
    assert "签名用的是另一个接口版本的密钥" in explain(case)[0].zh


async def test_a_flood_is_examined_once_a_minute() -> None:
    gate = ExplainingGate()
    for at in range(100):
        body = signed_by(f"forged{at}")
        await gate.refuse(SignatureInvalid("sign_wrong"), body)
        await gate.settle()
        gate.clock.advance(0.1)
    assert sum(bool(copy.slips) for copy in await gate.refusals.latest(100)) == 1


@pytest.mark.parametrize("reason", ["probe", "stale", "unknown_serial", "headers_mixed", "malformed"])
async def test_a_reason_that_says_it_all_is_not_examined(reason: str) -> None:
    gate = ExplainingGate()
    await gate.refuse(SignatureInvalid(reason), signed_by(V3_KEY))
    assert not gate.finder.busy


async def test_an_operator_learns_the_slip_of_any_kept_message() -> None:
    gate = ExplainingGate()
    await gate.refuse(SignatureInvalid("sign_wrong"), signed_by(V3_KEY))
    [copy] = await gate.refusals.latest(100)
    assert [slip.code for slip in await gate.refusals.explain(copy)] == ["KEY_OF_OTHER_API"]
