"""Translate pydantic's errors into sentences in both languages that say what a value must be.

Our own validators raise ``Needs`` with their sentence; pydantic's errors are translated by their type.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails

from wechat.domain.errors import Bilingual


class Needs(ValueError):
    """The error of a validator. It tells what the value must be."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.text = Bilingual(zh, en)


_CHINESE = {
    "string_type": "一段文字",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "至多 {max_length} 个字符",
    "string_pattern_mismatch": "符合 {pattern}",
    "int_type": "整数",
    "int_parsing": "整数",
    "int_from_float": "整数",
    "float_type": "数字",
    "float_parsing": "数字",
    "bool_type": "true 或 false",
    "bool_parsing": "true 或 false",
    "greater_than": "大于 {gt}",
    "greater_than_equal": "不小于 {ge}",
    "less_than_equal": "不大于 {le}",
    "enum": "以下之一：{expected}",
    "literal_error": "以下之一：{expected}",
    "tuple_type": "一个列表",
    "too_short": "至少 {min_length} 项",
    "model_type": "一组键值",
    "model_attributes_type": "一组键值",
    "dict_type": "一组键值",
    "path_type": "一个路径",
}


def describe_need(fault: ErrorDetails) -> Bilingual:
    """Return the end of the sentence "…：要求" or "… must" for the value that caused ``fault``, never the value."""
    context: dict[str, Any] = fault.get("ctx", {})
    reason = context.get("error")
    if isinstance(reason, Needs):
        return Bilingual(reason.text.zh, f"be {reason.text.en}")
    chinese = _CHINESE.get(fault["type"], "合法的值")
    return Bilingual(chinese.format_map(context), _english(fault["msg"]))


def _english(message: str) -> str:
    """Remove the subject of pydantic's sentence: "Input should be a valid integer" -> "be a valid integer"."""
    return message.partition(" should ")[2] or "be valid"
