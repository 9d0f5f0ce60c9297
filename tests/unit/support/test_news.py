"""News inside a process: everybody who listens gets it, nobody can make it grow, and without a listener there is none."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from tests.support.clock import ManualClock
from wechat.domain.errors import TooMany
from wechat.domain.news import NewsKind
from wechat.support.news import MOST_LISTENERS, MOST_QUEUED, NewsFeed

NUMBER = "ORDER-1"


@pytest.fixture
def feed() -> NewsFeed:
    return NewsFeed(ManualClock())


async def test_each_listener_gets_what_it_asked_for(feed: NewsFeed) -> None:
    watched = [feed.watched]
    with feed.listen() as all_news, feed.listen([NewsKind.CALL]) as calls, feed.listen(out_trade_no=NUMBER) as one:
        watched.append(feed.watched)
        feed.publish(NewsKind.ORDER, NUMBER, {"what": "paid"})
        feed.publish(NewsKind.CALL, "", {"call": "query"})
        assert [news.kind for news in await all_news.take(1)] == [NewsKind.ORDER, NewsKind.CALL]
        assert [news.data for news in await calls.take(1)] == [{"call": "query"}]
        assert [news.out_trade_no for news in await one.take(1)] == [NUMBER]
    assert [*watched, feed.watched] == [False, True, False]


async def test_news_from_before_is_not_repeated(feed: NewsFeed) -> None:
    feed.publish(NewsKind.ORDER, NUMBER, {})
    with feed.listen() as listener:
        assert await listener.take(0.01) == []


async def test_a_slow_listener_loses_the_oldest_and_knows_how_many(feed: NewsFeed) -> None:
    with feed.listen() as slow:
        for count in range(MOST_QUEUED + 3):
            feed.publish(NewsKind.ORDER, NUMBER, {"count": count})
        taken = await slow.take(1)
    assert (len(taken), taken[0].data["count"], slow.missed) == (MOST_QUEUED, 3, 3)


async def test_there_are_only_so_many_listeners(feed: NewsFeed) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_LISTENERS):
            stack.enter_context(feed.listen())
        with pytest.raises(TooMany), feed.listen():
            pass
    with feed.listen():
        pass


async def test_closing_ends_every_wait_and_every_later_one(feed: NewsFeed) -> None:
    with feed.listen() as listener:
        waiting = asyncio.create_task(listener.take(60))
        await asyncio.sleep(0)
        feed.close()
        assert await asyncio.wait_for(waiting, 1) == []
        assert listener.closed
    with feed.listen() as later:
        assert later.closed


async def test_news_is_made_for_other_processes_only_while_they_want_it() -> None:
    clock, sent = ManualClock(), list[str]()
    feed = NewsFeed(clock)
    feed.on_wanted = lambda news: sent.append(news.out_trade_no)
    feed.publish(NewsKind.ORDER, "BEFORE-1", {})
    feed.want(10)
    feed.publish(NewsKind.ORDER, "WANTED-1", {})
    clock.advance(11)
    feed.publish(NewsKind.ORDER, "AFTER-1", {})
    assert (sent, feed.watched) == (["WANTED-1"], False)
