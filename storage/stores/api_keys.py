"""API keys that were made at the console or by the command line."""

from __future__ import annotations

from collections.abc import Sequence

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from wechat.domain.api_keys import ApiKey, KeySecret, Scope

MOST_KEYS = 500


class ApiKeys(DocumentStore[ApiKey]):
    """``ApiKeyStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, API_KEY)

    async def all(self) -> Sequence[ApiKey]:
        found = await self._documents.find(Range("created_at", FIRST, LAST, limit=MOST_KEYS, latest=True))
        return sorted(self.values(found), key=lambda key: key.name)

    async def of_digest(self, digest: str) -> ApiKey | None:
        found = await self._documents.find_equal("digests", digest, 1)
        return next(iter(self.values(found)), None)


def _write(key: ApiKey) -> Document:
    document: Document = {
        "scopes": [scope.value for scope in key.scopes],
        "secrets": [_write_secret(secret) for secret in key.secrets],
        "created_at": key.created_at,
        "created_by": key.created_by,
    }
    if key.secrets:
        document["digests"] = [secret.digest for secret in key.secrets]
    for name in ("used_at", "revoked_at"):
        if value := getattr(key, name):
            document[name] = value
    return document


def _write_secret(secret: KeySecret) -> Document:
    ends = {"ends_at": secret.ends_at} if secret.ends_at else {}
    return {"digest": secret.digest, "created_at": secret.created_at, **ends}


def _read(document: Document) -> ApiKey:
    secrets = tuple(
        KeySecret(each["digest"], each["created_at"], each.get("ends_at")) for each in document.get("secrets", ())
    )
    return ApiKey(
        name=document["_id"],
        scopes=tuple(Scope(scope) for scope in document["scopes"]),
        secrets=secrets,
        created_at=document["created_at"],
        created_by=document["created_by"],
        used_at=document.get("used_at"),
        revoked_at=document.get("revoked_at"),
    )


API_KEY = Codec(
    key=lambda key: key.name,
    write=_write,
    read=_read,
    fields=frozenset({"scopes", "secrets", "digests", "created_at", "created_by", "used_at", "revoked_at"}),
    parts={"secrets": ("digest", frozenset({"digest", "created_at", "ends_at"}))},
)
