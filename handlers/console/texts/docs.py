"""Texts of the pages around the documents."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "docs": Bilingual("文档", "Documents"),
    "of_this_version": Bilingual(
        "本版本的文档，无需联网。", "The documents of this version; no internet connection is needed."
    ),
    "search": Bilingual("搜索文档", "Search the documents"),
    "find": Bilingual("搜索", "Search"),
    "nothing": Bilingual("没有找到“{query}”。", "Nothing was found for “{query}”."),
    "nothing_next": Bilingual("请换一个词，或查看：", "Try another word, or see:"),
    "results": Bilingual("“{query}”的结果", "Results for “{query}”"),
    "all": Bilingual("全部文档", "All documents"),
}
