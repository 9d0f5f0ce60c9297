"""Fuzz one target for so many seconds with atheris, and keep what reached new code.

``pip install atheris`` and ``python -m tests.fuzz xml 60``; targets are xml, notify and bill. An input that fails is
written to the working directory as ``crash-…``: mend the code, then keep the input in the corpus.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["wechat"]):
    from tests.fuzz.targets import BILLS, CORPUS, TARGETS

if __name__ == "__main__":
    name, seconds = sys.argv[1], sys.argv[2]
    seeds = [str(BILLS)] if name == "bill" else []
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *options, str(CORPUS / name), *seeds], TARGETS[name])
    atheris.Fuzz()
