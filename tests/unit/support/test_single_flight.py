"""Of several callers that want the same thing at once, one does it."""

from __future__ import annotations

import asyncio

from wechat.support.single_flight import SingleFlight


class Question:
    """Each time it is asked, the answer is held until ``go``, and counts how often it was asked when it began."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    async def ask(self) -> int:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        return number


async def test_callers_at_once_share_one_answer() -> None:
    flights, question = SingleFlight[int](), Question()
    tasks = [asyncio.create_task(flights.do("a", question.ask)) for _ in range(3)]
    await asyncio.sleep(0)
    question.go.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert await flights.do("a", question.ask) == 2


async def test_who_needs_a_new_answer_does_not_get_one_that_was_asked_for_before() -> None:
    """And several of them share the new one."""
    flights, question = SingleFlight[int](), Question()
    first = asyncio.create_task(flights.do("a", question.ask))
    await asyncio.sleep(0)
    later = [asyncio.create_task(flights.do_anew("a", question.ask)) for _ in range(3)]
    await asyncio.sleep(0)
    assert question.asked == 1
    question.go.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2, 2, 2]
