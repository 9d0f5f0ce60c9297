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
    """A mailbox for news of some kinds or of all (no ``kinds``), of one order or of all (no number)."""

    def __init__(self, kinds: Collection[NewsKind] = (), out_trade_no: str = "") -> None:
        super().__init__(MOST_QUEUED)
        self._kinds = frozenset(kinds or NewsKind)
        self._out_trade_no = out_trade_no

    def hear(self, news: News) -> None:
        """Add ``news`` if it is wanted."""
        if news.kind in self._kinds and self._out_trade_no in ("", news.out_trade_no):
            self.add(news)


class NewsFeed:
    """Gives each piece of news to all listeners in this process, and to those in other processes.

    The composition root sets the link to the others: ``on_listen`` is called when a listener begins here, ``on_wanted``
    with news that another process wants.
    """

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
        """Note that another process has a listener, for the next ``seconds``."""
        self._wanted_until = self._clock.monotonic() + seconds

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        """Publish a piece of news that happens now, in this process."""
        if not self.watched:
            return
        news = News(kind, self._clock.now(), out_trade_no, data)
        self.hand_out(news)
        if self._wanted_elsewhere():
            self.on_wanted(news)

    def hand_out(self, news: News) -> None:
        """Give a piece of news to the listeners of this process."""
        for listener in self._listeners:
            listener.hear(news)

    def _wanted_elsewhere(self) -> bool:
        return self._clock.monotonic() < self._wanted_until

    @contextmanager
    def listen(self, kinds: Collection[NewsKind] = (), out_trade_no: str = "") -> Iterator[Listener]:
        """Listen as long as the context is open. Raises TooMany."""
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
        """End every listener, and later ones at once, because the process is about to stop."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
