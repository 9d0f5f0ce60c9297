"""The service with its functions counted, as ``python -m bench functions`` starts it.

    python -m bench.processes.profiled COUNTS --settings FILE

SIGUSR1 begins a count, SIGUSR2 ends it and writes it to the file COUNTS, in the form of ``pstats``. What is counted are
calls on the thread of the event loop: those of the driver's threads are not.
"""

from __future__ import annotations

import signal
import sys
from cProfile import Profile
from pathlib import Path

import server


def main() -> int:
    """Run the service with counted functions; return its exit status."""
    counts = Path(sys.argv.pop(1))
    profile = Profile()

    def write_counts() -> None:
        profile.disable()
        unfinished = counts.with_suffix(".part")
        profile.dump_stats(unfinished)
        unfinished.rename(counts)
        profile.clear()

    signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
    signal.signal(signal.SIGUSR2, lambda *_: write_counts())
    return server.main()


if __name__ == "__main__":
    sys.exit(main())
