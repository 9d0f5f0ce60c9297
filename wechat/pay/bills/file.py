"""Write a bill to a file while it is downloaded: unpack, count bytes, hash. After any error the file is deleted.

Memory does not grow with the bill: a piece of the download is unpacked into pieces of ``PIECE`` bytes at most, and an
archive that unpacks to more than ``MOST`` bytes is refused.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wechat.pay.bills.parser import BillBroken

MOST = 2 * 1024**3  # bytes unpacked: some five million lines
PIECE = 1024 * 1024
MAX_REFUSAL = 64 * 1024
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # for zlib: expect a gzip header, and check its CRC


class BillSink:
    """Receives a download in pieces; ``write`` may run in a thread.

    The first bytes tell the format: gzip, plain text, or v2's XML refusal, which is stored in ``refusal`` and not in
    the file. ``sha1`` is of the unpacked file, in hex.
    """

    def __init__(self, path: Path, most: int = MOST) -> None:
        self._file = path.open("wb")
        self._most = most
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._head = b""
        self._take: Callable[[bytes], None] | None = None
        self._zip = zlib.decompressobj(_GZIP_WINDOW)
        self.size = 0
        self.refusal = b""

    @property
    def sha1(self) -> str:
        return self._sha1.hexdigest()

    def write(self, piece: bytes) -> None:
        """Write a piece. Raises BillBroken when the file is too large or not a valid archive."""
        if self._take is None:
            self._head += piece
            if len(self._head) < len(_GZIP):
                return
            piece, self._take = self._head, self._taker(self._head)
        self._take(piece)

    def close(self) -> None:
        self._file.close()

    def finish(self) -> None:
        """End the download. Raises BillBroken for an empty one and for a truncated archive."""
        self.close()
        zipped = self._take == self._unzip
        if not (self.size or self.refusal) or (zipped and not self._zip.eof):
            raise BillBroken("truncated")

    def _taker(self, head: bytes) -> Callable[[bytes], None]:
        if head.startswith(_GZIP):
            return self._unzip
        return self._refuse if head.startswith(b"<") else self._write

    def _refuse(self, piece: bytes) -> None:
        self.refusal += piece
        if len(self.refusal) > MAX_REFUSAL:
            raise BillBroken("size")

    def _write(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._most:
            raise BillBroken("size")
        self._sha1.update(piece)
        self._file.write(piece)

    def _unzip(self, piece: bytes) -> None:
        try:
            while piece:
                if self._zip.eof:  # an archive may have several members
                    self._zip = zlib.decompressobj(_GZIP_WINDOW)
                self._write(self._zip.decompress(piece, PIECE))
                piece = self._zip.unconsumed_tail or self._zip.unused_data
        except zlib.error:
            raise BillBroken("gzip") from None


@contextmanager
def receiving(into: Path, most: int = MOST) -> Iterator[BillSink]:
    """Open a sink to a temporary file. It becomes ``into`` when the block ends without an error, or is deleted."""
    into.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{into.name}.", suffix=".part", dir=into.parent)
    os.close(handle)
    part, sink = Path(name), BillSink(Path(name), most)
    try:
        yield sink
        if sink.size:
            part.replace(into)
    finally:
        sink.close()
        part.unlink(missing_ok=True)
