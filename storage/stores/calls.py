"""Calls to WeChat and of WeChat, each for a limited time."""

from __future__ import annotations

from collections.abc import Sequence

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import SCHEMA, Codec, DocumentStore
from wechat.domain.calls import Call, Direction, Message


class Calls(DocumentStore[Call]):
    """``CallStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, CALL)

    async def add(self, calls: Sequence[Call]) -> None:
        documents = [_write(call) | {"_id": call.id, "schema": SCHEMA, "rev": 1, "writes": [call.id]} for call in calls]
        await self._documents.insert_all(documents)

    async def of_order(self, out_trade_no: str, limit: int) -> Sequence[Call]:
        wanted = Range("at", FIRST, LAST, {"out_trade_no": out_trade_no}, limit=limit, latest=True)
        return sorted(self.values(await self._documents.find(wanted)), key=lambda call: (call.at, call.id))


def _write(call: Call) -> Document:
    return {
        "at": call.at,
        "direction": call.direction.value,
        "api": call.api,
        "call": call.call,
        "out_trade_no": call.out_trade_no,
        "method": call.method,
        "url": call.url,
        "request": _write_message(call.request),
        "status": call.status,
        "answer": _write_message(call.answer),
        "duration_ms": call.duration_ms,
        "verdict": call.verdict,
        "error": call.error,
        "expires_at": call.expires_at,
    }


def _write_message(message: Message) -> Document:
    """Convert a message. Headers are stored as a list, because a header's name may be invalid as a field's."""
    headers = [part for pair in message.headers.items() for part in pair]
    return {"headers": headers, "body": message.body, "size": message.size, "cut": message.cut}


def _read(document: Document) -> Call:
    return Call(
        id=document["_id"],
        at=document["at"],
        direction=Direction(document["direction"]),
        api=document["api"],
        call=document["call"],
        out_trade_no=document["out_trade_no"],
        method=document["method"],
        url=document["url"],
        request=_read_message(document["request"]),
        status=document["status"],
        answer=_read_message(document["answer"]),
        duration_ms=document["duration_ms"],
        verdict=document["verdict"],
        error=document["error"],
        expires_at=document["expires_at"],
    )


def _read_message(part: Document) -> Message:
    headers = part["headers"]
    return Message(
        dict(zip(headers[::2], headers[1::2], strict=True)),
        part["body"],
        part["size"],
        part["cut"],
    )


CALL = Codec(
    key=lambda call: call.id,
    write=_write,
    read=_read,
    fields=frozenset(
        {
            "at", "direction", "api", "call", "out_trade_no", "method", "url", "request", "status", "answer",
            "duration_ms", "verdict", "error", "expires_at",
        }
    ),
    parts={},
)  # fmt: skip
