"""Records of plugins: one document each, of all plugins in one collection."""

from __future__ import annotations

from typing import Any

from bson import Int64

from storage.documents import Document, Documents
from storage.store import Codec, DocumentStore
from wechat.domain.plugin_records import PluginRecord


class PluginRecords(DocumentStore[PluginRecord]):
    """``PluginRecordStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, RECORD)


def _write_record(record: PluginRecord) -> Document:
    return {"plugin": record.plugin, "name": record.name, "data": dict(record.data)}


def _read_record(document: Document) -> PluginRecord:
    return PluginRecord(document["plugin"], document["name"], _plain(document["data"]))


def _plain(value: Any) -> Any:
    """Return ``value`` with BSON's own integer type converted to Python's."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, Int64) else value


RECORD = Codec(
    key=lambda record: record.key,
    write=_write_record,
    read=_read_record,
    fields=frozenset({"plugin", "name", "data"}),
    parts={},
)
