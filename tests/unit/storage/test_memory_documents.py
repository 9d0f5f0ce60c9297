"""The memory store hands out copies, answers from indexes, and keeps them right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from storage.documents import FIRST, LAST, Document, Range, Replacement
from storage.memory.documents import REMEMBERED, MemoryDocuments

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def documents() -> MemoryDocuments:
    return MemoryDocuments(lambda: NOW)


def document(key: str = "a", **fields: object) -> Document:
    return {"_id": key, "rev": 1, "writes": ["w"], "parts": [{"of": {"lines": [1]}}], **fields}


async def test_whoever_changes_what_was_read_changes_nothing_in_the_store() -> None:
    store = documents()
    store.poke(document(at=NOW))
    wanted = Range("at", FIRST, LAST)
    for read in (
        store.peek("a"),
        store.everything()[0],
        (await store.get_many(["a"]))["a"],
        (await store.find(wanted))[0],
        (await store.find(Range("at", FIRST, LAST, fields=("parts.of",))))[0],
        (await store.find_equal("at", NOW, 5))[0],  # type: ignore[arg-type]
    ):
        assert read is not None
        read["parts"][0]["of"]["lines"].append(2)
        read["parts"].append({})
        read["new"] = 1
    assert store.peek("a") == document(at=NOW)


async def test_whoever_changes_what_was_written_changes_nothing_in_the_store() -> None:
    store, written = documents(), document()
    await store.insert_many([store.encode(written, "w")])
    written["parts"][0]["of"]["lines"].append(2)
    assert store.peek("a") == document()


async def test_only_the_fields_that_were_asked_for_are_read() -> None:
    store = documents()
    store.poke(document(at=NOW, more=1))
    [found] = await store.find(Range("at", FIRST, LAST, fields=("at", "parts.of")))
    assert found == {"_id": "a", "at": NOW, "parts": [{"of": {"lines": [1]}}]}


DATED = Range("at", FIRST, LAST)


async def test_the_earliest_date_is_of_those_that_are_wanted() -> None:
    store = documents()
    store.poke(document("a", at=NOW, target="x"))
    store.poke(document("b", at=NOW + timedelta(hours=1), target="y"))
    assert store.earliest(Range("at", FIRST, LAST, {"target": "y"})) == NOW + timedelta(hours=1)
    assert store.earliest(Range("at", FIRST, LAST, {"target": "z"})) is None


async def test_the_earliest_date_follows_each_write() -> None:
    store = documents()
    assert store.earliest(DATED) is None
    store.poke(document("a", at=NOW))
    store.poke(document("b", at=NOW + timedelta(hours=1)))
    assert store.earliest(DATED) == NOW
    later = document("a") | {"rev": 2}
    assert await store.replace_many([Replacement(store.encode(later, "x"), 1)]) == [True]
    assert store.earliest(DATED) == NOW + timedelta(hours=1)


def test_more_documents_than_are_remembered_are_all_there() -> None:
    store = documents()
    for number in range(2 * REMEMBERED + 5):
        store.poke(document(str(number), at=NOW + timedelta(seconds=number)))
    assert [each["_id"] for each in store.everything()] == [str(number) for number in range(2 * REMEMBERED + 5)]
    assert store.earliest(DATED) == NOW
