"""WeChat's formats of times and dates.

In this system every time is an aware ``datetime`` in UTC. v2 writes Beijing time without an offset
(``yyyyMMddHHmmss``), v3 writes RFC 3339 with an offset.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

from wechat.domain.errors import Bilingual

BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")  # China has had no daylight saving since 1991

ABOUT_MIDNIGHT = timedelta(minutes=10)
"""The greatest difference between our clock and WeChat's. Within it of midnight, each may count a payment for another
day."""

YEARS = range(1970, 9000)
"""Years that are accepted. Nearer to the limits of ``datetime``, a change of zone or an addition overflows."""

_HOUR = "([01][0-9]|2[0-3])"  # Python 3.13 reads 24:00 as the next day's first moment; WeChat does not write it
_V2 = re.compile(rf"[0-9]{{8}}{_HOUR}[0-9]{{4}}", re.ASCII)
_V2_DATETIME = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} {_HOUR}:[0-9]{{2}}:[0-9]{{2}}", re.ASCII)
_RFC3339 = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_HOUR}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,6}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}})",
    re.ASCII,
)


def to_v2(moment: datetime) -> str:
    """Format a time as ``20091225091010``: Beijing time, as in v2's time_start, time_expire and time_end."""
    return moment.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def from_v2(text: str) -> datetime:
    """Parse a v2 time. Raises ValueError for anything but fourteen ASCII digits of a real date."""
    if not _V2.fullmatch(text):
        raise ValueError("not a yyyyMMddHHmmss time")
    return _utc(datetime.fromisoformat(f"{text[:8]}T{text[8:]}+08:00"))


def to_v2_datetime(moment: datetime) -> str:
    """Format a time as ``2017-11-25 15:36:17``: Beijing time, as in v2's refunds and in all bills."""
    return moment.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def from_v2_datetime(text: str) -> datetime:
    """Parse ``2017-11-25 15:36:17``, the format of v2's refunds and of all bills. Raises ValueError."""
    if not _V2_DATETIME.fullmatch(text):
        raise ValueError("not a yyyy-MM-dd HH:mm:ss time")
    return _utc(datetime.fromisoformat(f"{text}+08:00"))


def to_v3(moment: datetime) -> str:
    """Format a time as ``2018-06-08T10:34:56+08:00``: RFC 3339 in Beijing time, to the second, as v3 prints it."""
    return moment.astimezone(BEIJING).isoformat(timespec="seconds")


def from_v3(text: str) -> datetime:
    """Parse an RFC 3339 time. Raises ValueError for any other text, or without an offset."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time with an offset")
    return _utc(datetime.fromisoformat(text))


def beijing(moment: datetime) -> str:
    """Format a time as ``2026-03-01 12:00:00`` in Beijing time, for people; v2 uses the same format."""
    return to_v2_datetime(moment)


def span(length: timedelta) -> Bilingual:
    """Format a duration in its two largest units, ``1 天 4 小时``; less than a second gives ``0 秒``."""
    minutes, seconds = divmod(max(0, int(length.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "天", "d"), (hours, "小时", "h"), (minutes, "分", "min"), (seconds, "秒", "s")]
    shown = [part for part in parts if part[0]][:2] or parts[-1:]
    return Bilingual(*(" ".join(f"{part[0]} {part[unit]}" for part in shown) for unit in (1, 2)))


def beijing_day(moment: datetime) -> date:
    """Return the date in Beijing at ``moment``: the day of WeChat's bill that lists it."""
    return moment.astimezone(BEIJING).date()


def day_begun_about(moment: datetime) -> date | None:
    """Return the Beijing day that begins within ``ABOUT_MIDNIGHT`` of ``moment``; None when none does."""
    day = beijing_day(moment + ABOUT_MIDNIGHT)
    return day if day != beijing_day(moment - ABOUT_MIDNIGHT) else None


def parse_day(text: str) -> date:
    """Parse a day such as ``2026-03-01``. Raises ValueError, also for a year outside ``YEARS``."""
    day = date.fromisoformat(text)
    if day.year not in YEARS:
        raise ValueError("not a year of any use")
    return day


def day_span(day: date) -> tuple[datetime, datetime]:
    """Return the Beijing day in UTC: its first moment, and the first moment of the next day."""
    start = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
    return start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    """Convert ``moment`` to UTC. Raises ValueError for a year outside ``YEARS``."""
    if moment.year not in YEARS:
        raise ValueError("not a year that WeChat could mean")
    return moment.astimezone(UTC)
