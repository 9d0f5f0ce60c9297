"""Parse names and values in the notations of programming languages, loggers and tools.

Each notation is parsed separately; adjacent pairs are one group, so that a log's own fields and a second message are
not mixed with the first message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from wechat.sign_explain.json_objects import objects
from wechat.sign_explain.messages import encode

NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
QUOTED = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'"
NUMBER = r"-?\d{1,32}(?:\.\d{1,16})?(?![\w.])"
NOTHING = ("null", "None", "NULL", "nil", "<nil>", "undefined")
DEEPEST, LONGEST_LIST = 6, 50
MOST_PAIRS = 2_000  # for each notation; no message has more

CODE = re.compile(
    rf"""["'\[:]{{0,2}}(?<![A-Za-z0-9_])({NAME})["'\]]{{0,2}}\s{{0,8}}(?::|=>|=)\s{{0,8}}"""
    rf"""(b?(?:{QUOTED})|\[[^\[\]\n]{{0,400}}\]|{NUMBER}|true|false|null|None|NULL|undefined|nil)"""
)
"""JavaScript, Python, PHP and Ruby literals, Java beans with quotes, a browser's console."""
TUPLE = re.compile(rf"""\(\s{{0,8}}["']({NAME})["'],\s{{0,8}}({QUOTED}|{NUMBER})\s{{0,8}}\)""")
VAR_DUMP = re.compile(
    rf"""\["?({NAME})"?\]\s{{0,8}}=>\s{{0,16}}"""
    r'(?:string\((\d{1,6})\) "|(?:int|float)\(([^)\n]{1,32})\)|(NULL)|bool\((\w+)\))'
)
PRINT_R = re.compile(rf"^[ \t]{{0,64}}\[({NAME})\] => ?(.*)$", re.MULTILINE)
_END = r"[})\]]{1,8}[ \t]{0,8}(?:\n|$|[ ,])"
COMMA_MAP = re.compile(rf"(?<![\w&?%])({NAME})=(?![{{(\[])((?:(?!, ?{NAME}=|{_END}|\r?\n).)*)", re.DOTALL)
"""A map or a bean as Java prints it: ``name=value, name=value``."""
_WORD = r"(?:[^\s\]}]|[\]}](?!\s|$))"
SPACE_MAP = re.compile(rf"(?<![\w/&?%])({NAME}):(?!map\[|&?{{)({_WORD}+(?:[ ](?!{NAME}:){_WORD}+)*|)")
"""A map or a struct as Go prints it: ``name:value name:value``."""
LINE = re.compile(rf"""^[ \t]{{0,64}}["']?({NAME})["']?[ ]{{0,8}}(?::|=|\t)[ \t]{{0,8}}(\S.*|)$""", re.MULTILINE)
FIRST = re.compile(rf"(?<![\w%])({NAME})=(.*)")
NEXT = re.compile(rf"({NAME})=(.*)")
CUT = re.compile(r"""[\s"'<>\\]""")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Values by name. ``numbers`` are the names whose values have no quotes, in a notation that quotes texts."""

    values: Mapping[str, str]
    numbers: frozenset[str] = frozenset()


class _Pair(NamedTuple):
    start: int
    end: int
    name: str
    value: str
    is_number: bool = False


def find_pairs(text: str, wanted: Callable[[Mapping[str, str]], bool]) -> Pairs | None:
    """Return the first group in ``text`` whose values ``wanted`` accepts; None without one."""
    return next((group for group in groups(text) if wanted(group.values)), None)


def groups(text: str) -> Iterator[Pairs]:
    """Yield all groups, from the strictest notation to the loosest."""
    for document in objects(text):
        yield from _walk(document, 0)
    yield from _group(_var_dump(text), r"\s*", text)
    yield from _group(_code(text), r"[\s,;{}()]*(?://[^\n]*\n[\s}]*)?", text, need_quotes=True)
    yield from _group(_tuples(text), r"[\s,]*", text)
    yield from _queries(text)
    yield from _group(_plain(PRINT_R, text), r"\s*", text)
    yield from _group(_plain(COMMA_MAP, text), r", ?", text)
    yield from _group(_plain(SPACE_MAP, text), r" ", text)
    yield from _group(_plain(LINE, text), r"\s*", text)


def _group(pairs: Iterable[_Pair], gap: str, text: str, *, need_quotes: bool = False) -> Iterator[Pairs]:
    """Group pairs that have only ``gap`` between them. A repeated name begins another group."""
    between = re.compile(gap)
    group: dict[str, _Pair] = {}
    last = -1
    for pair in islice(pairs, MOST_PAIRS):
        apart = last >= 0 and not between.fullmatch(text, last, pair.start)
        if group and (apart or pair.name in group):
            yield from _as_group(group, need_quotes=need_quotes)
            group = {}
        group[pair.name] = pair
        last = pair.end
    yield from _as_group(group, need_quotes=need_quotes)


def _as_group(group: Mapping[str, _Pair], *, need_quotes: bool) -> Iterator[Pairs]:
    numbers = frozenset(name for name, pair in group.items() if pair.is_number)
    if len(group) > 1 and not (need_quotes and len(numbers) == len(group)):
        yield Pairs({name: pair.value for name, pair in group.items()}, numbers)


def _walk(document: Any, depth: int) -> Iterator[Pairs]:
    """Yield the objects of a JSON document, also those inside lists and texts."""
    if isinstance(document, dict) and depth < DEEPEST:
        values = {name: _scalar(value) for name, value in document.items() if _is_scalar(value)}
        yield Pairs(values, frozenset(name for name in values if type(document[name]) in (int, float)))
        for value in document.values():
            yield from _walk(value, depth + 1)
    elif isinstance(document, list) and depth < DEEPEST:
        for value in document[:LONGEST_LIST]:
            yield from _walk(value, depth + 1)
    elif isinstance(document, str) and document.startswith("{") and depth < DEEPEST:
        for inner in objects(document):
            yield from _walk(inner, depth + 1)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _code(text: str) -> Iterator[_Pair]:
    for match in CODE.finditer(text):
        written = match[2]
        is_number = written[0].isdigit() or written[0] == "-"
        yield _Pair(match.start(), match.end(), match[1], _literal(written), is_number)


def _tuples(text: str) -> Iterator[_Pair]:
    for match in TUPLE.finditer(text):
        yield _Pair(match.start(), match.end(), match[1], _literal(match[2]), match[2][0].isdigit())


def _var_dump(text: str) -> Iterator[_Pair]:
    """Parse PHP's var_dump(), which counts bytes and escapes nothing."""
    for match in VAR_DUMP.finditer(text):
        name, length, number, nothing = match[1], match[2], match[3], match[4]
        if length is None:
            yield _Pair(match.start(), match.end(), name, "" if nothing else number or match[5] or "", bool(number))
            continue
        value = _take_bytes(text, match.end(), int(length))
        yield _Pair(match.start(), match.end() + len(value) + 1, name, value)


def _take_bytes(text: str, start: int, length: int) -> str:
    """Return the characters from ``start`` that make up ``length`` bytes of UTF-8."""
    return encode(text[start : start + length])[:length].decode("utf-8", "ignore")


def _plain(pattern: re.Pattern[str], text: str) -> Iterator[_Pair]:
    """Parse a notation without quotes, in which numbers cannot be distinguished from texts."""
    for match in pattern.finditer(text):
        value = match[2].strip().removesuffix(",")
        if value.startswith("[") and value.endswith("]") and pattern is not LINE:
            value = value[1:-1]
        yield _Pair(match.start(), match.end(), match[1], "" if value in NOTHING else _literal(value))


def _queries(text: str) -> Iterator[Pairs]:
    """Parse a form, or a string to sign: ``name=value&name=value``."""
    for line in text.split("\n"):
        first, *others = line.split("&")
        pairs = [(match[1], match[2])] if (match := FIRST.search(first.rpartition("?")[2])) else []
        for part in others:
            if match := NEXT.fullmatch(part):
                pairs.append((match[1], match[2]))
                continue
            yield from _as_query(pairs)
            pairs = []
        yield from _as_query(pairs)


def _as_query(pairs: Sequence[tuple[str, str]]) -> Iterator[Pairs]:
    if len(pairs) < 2:
        return
    *head, (name, value) = pairs
    cut = [*head, (name, CUT.split(value, maxsplit=1)[0])]
    encoded = any("%" in value for _, value in cut) and not any(re.search(r"[^\x21-\x7e]", value) for _, value in cut)
    yield Pairs({name: unquote_plus(value) for name, value in cut} if encoded else dict(_join_values(cut)))


def _join_values(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Join parts of an address that contains ``&``: a name out of order belongs to the address before it."""
    name, value = "", ""
    for one, text in pairs:
        if "?" in value and one < name and one not in ("sign", "key"):
            value += f"&{one}={text}"
            continue
        if name:
            yield name, value
        name, value = one, text
    yield name, value


def _literal(written: str) -> str:
    """Parse a literal."""
    bare = written.removeprefix("b") if re.match(r"b['\"]", written) else written
    if bare in NOTHING:
        return ""
    if bare.startswith("[") and bare.endswith("]"):
        parts = re.findall(QUOTED, bare)
        return _literal(parts[0]) if parts else bare[1:-1]
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        try:
            return str(json.loads(bare))
        except ValueError:
            return bare[1:-1]
    if len(bare) > 1 and bare[0] == bare[-1] == "'":
        return bare[1:-1].replace("\\'", "'").replace("\\/", "/").replace("\\n", "\n").replace("\\\\", "\\")
    return written
