"""Recorded calls: many at once, found by their order, gone after their time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.contract.samples import NOW
from tests.storage.backing import Storage
from tests.support.calls import a_call


async def test_calls_are_stored_together_and_found_by_their_order_oldest_first(storage: Storage) -> None:
    calls = [replace(a_call(f"call-{i}"), at=NOW + timedelta(seconds=i)) for i in (3, 1, 2)]
    await storage.calls.add([*calls, a_call("another", out_trade_no="another")])
    assert [call.id for call in await storage.calls.of_order(calls[0].out_trade_no, 10)] == [
        "call-1",
        "call-2",
        "call-3",
    ]
    assert [call.id for call in await storage.calls.of_order(calls[0].out_trade_no, 2)] == ["call-2", "call-3"]


async def test_a_batch_that_is_written_again_changes_nothing(storage: Storage) -> None:
    await storage.calls.add([a_call("call-1")])
    await storage.calls.add([a_call("call-1", error="later"), a_call("call-2")])
    assert [(call.id, call.error) for call in await storage.calls.of_order(a_call().out_trade_no, 10)] == [
        ("call-1", ""),
        ("call-2", ""),
    ]


async def test_no_calls_are_no_command(storage: Storage) -> None:
    await storage.calls.add([])


async def test_names_of_headers_may_be_anything(storage: Storage) -> None:
    call = a_call(answer_headers={"$where": "1", "a.b": "2", "": "3"})
    await storage.calls.add([call])
    assert list(await storage.calls.of_order(call.out_trade_no, 1)) == [call]
