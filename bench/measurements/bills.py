"""``python -m bench bills``: measure how fast a bill is read and matched, and the memory that this takes.

One process makes the bill, another reads it, so that its peak memory is that of the reading. Half a percent of the
lines differ from our side; all of them must be found.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from simulator.bills.lines import HEADERS, SUMS, TradeKind
from wechat.domain.money import yuan
from wechat.pay.bills.parser import read_lines, trade_lines
from wechat.reconciliation.books import BookEntry, classify, missing_there
from wechat.reconciliation.match_database import MatchDatabase

ROOT = Path(__file__).parents[2]
START = datetime(2026, 2, 28, tzinfo=UTC)
PROC, PEAK = Path("/proc/self/status"), re.compile(r"VmHWM:\s+(\d+) kB")
EVERY = 200  # one line in so many differs from our side


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of one run; memory in MB above that of the interpreter with everything imported."""

    lines: int
    parse_s: float
    match_s: float
    memory_mb: float
    differences: int

    @property
    def parsed_per_s(self) -> float:
        return self.lines / self.parse_s

    @property
    def matched_per_s(self) -> float:
        return self.lines / self.match_s


def entry(number: int) -> BookEntry:
    """Return our side of a line; some orders have a fen more here."""
    total = 100 + number % 9900 + (number % EVERY == 0)
    return BookEntry(f"order-{number:012}", f"4200{number:024}", "", "", total, "CNY", "SUCCESS")


def write(path: Path, count: int) -> None:
    """Write a bill of ``count`` payments in WeChat's format."""
    total = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"\ufeff{HEADERS[TradeKind.ALL]}\r\n")
        for number in range(count):
            amount = 100 + number % 9900
            total += amount
            at = START + timedelta(seconds=number * 86_400 // count)
            file.write(f"{_line(number, yuan(amount), at)}\r\n")
        sums = (f"{count}.0", yuan(total), "0.0", "0.0", "0.0", yuan(total), "0.0")
        file.write(f"{SUMS}\r\n`{',`'.join(sums)}\r\n")


def measure(path: Path, count: int, directory: Path) -> Figures:
    """Parse the bill, then match it with our side; return the results."""
    rest_mb = _peak_mb()
    started = time.perf_counter()
    parsed = sum(1 for _ in trade_lines(read_lines(path)))
    parse_s = time.perf_counter() - started
    started = time.perf_counter()
    with MatchDatabase(directory / "scratch.sqlite") as database:
        database.add_bill(BookEntry.of_line(line) for line in trade_lines(read_lines(path)))
        database.add_entries((entry(number) for number in range(count)), of_day=True)
        differences = sum(
            classify(p.recorded, p.billed, nth=p.nth, again=p.again) is not None for p in database.pairs()
        )
        differences += sum(missing_there(ours) is not None for ours in database.missing_from_bill())
    return Figures(parsed, parse_s, time.perf_counter() - started, _peak_mb() - rest_mb, differences)


def run(count: int) -> Figures:
    """Return the results of a bill with ``count`` lines, read by a process of its own."""
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as directory:
        path = Path(directory) / "bill.csv"
        write(path, count)
        command = [sys.executable, "-m", "bench.measurements.bills", str(path), str(count)]
        output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return Figures(**json.loads(output))


def show(figures: Figures, console: Console) -> None:
    rates = f"{figures.parsed_per_s:,.0f} lines/s parsed, {figures.matched_per_s:,.0f} matched"
    console.print(f"a bill of {figures.lines:,} lines: {rates}")
    console.print(f"{figures.memory_mb:.0f} MB more than at rest, {figures.differences} differences found")


def _line(number: int, amount: str, at: datetime) -> str:
    numbers = f"`4200{number:024},`order-{number:012}"
    middle = "`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`JSAPI,`SUCCESS,`OTHERS,`CNY"
    money = f"`{amount},`0.00,`0,`0,`0.00,`0.00,`,`,`拿铁咖啡,`,`0.01000,`0.60%,`{amount},`0.00,`"
    return f"`{at:%Y-%m-%d %H:%M:%S},`wx0123456789abcdef,`1900000109,`0,`,{numbers},{middle},{money}"


def _peak_mb() -> float:
    """Return the peak memory of this program alone; Linux's ``ru_maxrss`` begins with that of the parent."""
    if PROC.exists():
        return int(PEAK.findall(PROC.read_text())[0]) / (1 << 10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def main() -> None:
    """Run as the reading process: ``python -m bench.measurements.bills BILL LINES``; prints the results as JSON."""
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps(asdict(measure(path, count, path.parent))))


if __name__ == "__main__":
    main()
