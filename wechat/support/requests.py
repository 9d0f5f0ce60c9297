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
"""The full-width blank, and what joins or parts letters in some scripts: text, though Python does not print it."""


def _check_printable(value: str) -> str:
    """No control characters, no lone surrogates, no marks that turn the direction of text: neither XML nor BSON nor a
    person can hold them."""
    plain = value.translate(dict.fromkeys(map(ord, _ALLOWED)))
    if not plain.isprintable() or value != value.strip(f"{_ALLOWED} "):
        raise Needs("可见的文字，首尾没有空白", "printable text without blanks around it")
    return value


def text_for_wechat(most: int) -> AfterValidator:
    """Text that WeChat takes in a field of ``most`` bytes.

    WeChat counts the bytes of UTF-8. What has four of them (emoji, rare ideographs) it refuses or garbles, so that is
    refused here, before the order's number is used up. Of rare ideographs (extension B, in some names) no public
    source says that WeChat takes them, so they are refused alike, with a sentence that says why.
    """

    def check(value: str) -> str:
        if any(character > "\uffff" or character == "\ufe0f" for character in value):
            raise Needs("不含 emoji 等四字节字符的文字", "text without emoji and other characters of four bytes")
        if not 1 <= len(value.encode()) <= most:
            raise Needs(f"1 到 {most} 字节（一个汉字 3 字节）", f"1 to {most} bytes; a Chinese character has 3")
        return value

    return AfterValidator(check)


Line = Annotated[str, AfterValidator(_check_printable)]
"""Text on one line, as strict as XML, BSON and people need it."""


class RequestBody(BaseModel):
    """A JSON body. Unknown fields are refused, and numbers are never read from text."""

    added_later: ClassVar[frozenset[str]] = frozenset()
    """Fields that a release has added since 0.1.0. A request without them has the digest that it had before."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Parse ``body``. Raises BadRequest that names the first field that is wrong."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _refusal(error, ", ".join(cls.model_fields)) from None

    def digest(self, *more: str) -> str:
        """Return a digest that is equal for equal requests, so that a repeated one is recognised.

        That holds over a release that adds fields, too: see ``added_later``.
        """
        unknown_then = set(self.added_later - self.model_fields_set)
        return hashlib.sha256("\n".join((self.model_dump_json(exclude=unknown_then), *more)).encode()).hexdigest()


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # halves that belong together make a character, others cannot be encoded


def json_object(raw: bytes) -> dict[str, Any]:
    """A request body as a JSON object: UTF-8, no duplicate keys, no NaN, no half of a character, sane nesting.

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
