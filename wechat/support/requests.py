"""Request bodies of the JSON API, parsed strictly: unknown fields, wrong types and lengths are refused by name."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from wechat.domain.errors import BadRequest, Bilingual
from wechat.support.validation import Needs, describe_need

_ALLOWED = "\u3000\u200c\u200d"
"""The full-width blank, and joiners of letters in some scripts: valid text, although not printable to Python."""


def _check_printable(value: str) -> str:
    """Refuse control characters, lone surrogates, marks that change the direction of text, and outer blanks.

    XML, BSON or a person cannot handle them.
    """
    plain = value.translate(dict.fromkeys(map(ord, _ALLOWED)))
    if not plain.isprintable() or value != value.strip(f"{_ALLOWED} "):
        raise Needs("可见的文字，首尾没有空白", "printable text without blanks around it")
    return value


def text_for_wechat(most: int) -> AfterValidator:
    """Return a check for text that WeChat accepts in a field of ``most`` bytes.

    WeChat counts the bytes of UTF-8. It refuses or garbles characters of four bytes (emoji, rare ideographs), so they
    are refused here, before the order's number is used up. No public source says that WeChat accepts rare ideographs
    (extension B, in some names), so they are refused as well, with a sentence that says why.
    """

    def check(value: str) -> str:
        if any(character > "\uffff" or character == "\ufe0f" for character in value):
            raise Needs("不含 emoji 等四字节字符的文字", "text without emoji and other characters of four bytes")
        if not 1 <= len(value.encode()) <= most:
            raise Needs(f"1 到 {most} 字节（一个汉字 3 字节）", f"1 to {most} bytes; a Chinese character has 3")
        return value

    return AfterValidator(check)


Line = Annotated[str, AfterValidator(_check_printable)]
"""Text on one line that XML, BSON and people can handle."""


class RequestBody(BaseModel):
    """A JSON body. Unknown fields are refused, and numbers are never read from text."""

    added_later: ClassVar[frozenset[str]] = frozenset()
    """Fields added since release 0.1.0. A request without them keeps the digest that it had then."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Parse ``body``. Raises BadRequest that names the first wrong field."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _refusal(error, ", ".join(cls.model_fields)) from None

    def digest(self, *more: str) -> str:
        """Compute a digest that is equal for equal requests, so that a repeated request is recognised.

        A release that adds fields does not change it: see ``added_later``.
        """
        unknown_then = set(self.added_later - self.model_fields_set)
        return hashlib.sha256("\n".join((self.model_dump_json(exclude=unknown_then), *more)).encode()).hexdigest()


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # halves that belong together make a character, others cannot be encoded


def json_object(raw: bytes) -> dict[str, Any]:
    """Parse a request body as a JSON object: UTF-8, no duplicate keys, no NaN, no lone surrogates, limited nesting.

    Raises BadRequest.
    """
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        if _SURROGATE.search(raw):
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _not_json() from None
    if not isinstance(data, dict):
        raise _not_json()
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("duplicate key")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _not_json() -> BadRequest:
    return BadRequest(
        Bilingual("请求体必须是一个 JSON 对象（UTF-8）", "The body must be one JSON object in UTF-8"), code="BAD_JSON"
    )


def _refusal(error: ValidationError, fields: str) -> BadRequest:
    fault = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in fault["loc"]) or "body"
    if fault["type"] == "extra_forbidden":
        return BadRequest(
            Bilingual(f"有未知字段；可用的字段：{fields}", f"There is an unknown field; known are {fields}"),
            code="UNKNOWN_FIELD",
        )
    if fault["type"] == "missing":
        return BadRequest(Bilingual(f"缺少 {name}", f"{name} is missing"), field=name)
    wanted = describe_need(fault)
    return BadRequest(Bilingual(f"{name}：要求{wanted.zh}", f"{name} must {wanted.en}"), field=name)
