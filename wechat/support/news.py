"""Publish live news inside a process. Without listeners, publishing costs almost nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from wechat.domain.errors import Bilingual, TooMany
from wechat.domain.news import News, NewsKind, NewsValue
from wechat.domain.ports import Clock
from wechat.support.mailbox import Mailbox

MOST_LISTENERS = 16
MOST_QUEUED = 1000
TOO_MANY = Bilingual(
    f"已有 {MOST_LISTENERS} 个连接在接收实时消息；请先关掉一个",
    f"{MOST_LISTENERS} connections receive live news already; close one of them first",
)


class Listener(Mailbox[News]):
    """One who listens, to some kinds of news or to all (no ``kinds``), of one order or of all (no number)."""

    def __init__(self, kinds: Collection[NewsKind] = (), out_trade_no: str = "") -> None:
        super().__init__(MOST_QUEUED)
        self._kinds = frozenset(kinds or NewsKind)
        self._out_trade_no = out_trade_no

    def hear(self, news: News) -> None:
        """Keep ``news`` if it is wanted."""
        if news.kind in self._kinds and self._out_trade_no in ("", news.out_trade_no):
            self.put(news)


class NewsFeed:
    """Hands each piece of news to everybody who listens, in this process and, by what the composition root sets, in the
    others: ``on_listen`` is called when somebody begins to listen here, ``on_wanted`` with news that others want."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: set[Listener] = set()
        self._wanted_until = 0.0
        self._closed = False
        self.on_listen: Callable[[], None] = lambda: None
        self.on_wanted: Callable[[News], None] = lambda news: None

    @property
    def watched(self) -> bool:
        """Whether anybody listens, here or in another process."""
        return self.listening or self._wanted_elsewhere()

    @property
    def listening(self) -> bool:
        """Whether anybody listens here."""
        return bool(self._listeners)

    def want(self, seconds: float) -> None:
        """Somebody listens in another process; this counts for so long."""
        self._wanted_until = self._clock.monotonic() + seconds

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        """Hand out a piece of news, which happens now and in this process."""
        if not self.watched:
            return
        news = News(kind, self._clock.now(), out_trade_no, data)
        self.hand_out(news)
        if self._wanted_elsewhere():
            self.on_wanted(news)

    def hand_out(self, news: News) -> None:
        """Hand out a piece of news to those who listen here."""
        for listener in self._listeners:
            listener.hear(news)

    def _wanted_elsewhere(self) -> bool:
        return self._clock.monotonic() < self._wanted_until

    @contextmanager
    def listen(self, kinds: Collection[NewsKind] = (), out_trade_no: str = "") -> Iterator[Listener]:
        """Listen for as long as the context is open. Raises TooMany."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise TooMany(TOO_MANY, code="TOO_MANY_LISTENERS")
        listener = Listener(kinds, out_trade_no)
        if self._closed:
            listener.close()
        self._listeners.add(listener)
        self.on_listen()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every listener, and at once those that come later: the process is about to stop."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
