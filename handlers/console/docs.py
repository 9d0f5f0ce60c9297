"""The documents of this version in both languages, rendered from their Markdown and searchable, without internet
access."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from tornado.web import HTTPError

from handlers.console.base import LANGUAGES, ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.docs import TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.staff import Permission

ROOT = Path(__file__).parents[2] / "docs"
PATH = "/console/docs"
NAME = r"([a-z][a-z0-9-]{1,40})"
MOST_FOUND = 50
MOST_OF_QUERY = 100
AROUND = 60
HEADING = re.compile(r"^#{1,4} +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"^(?:\.\./(en|zh)/|\./)?([a-z][a-z0-9-]{1,40})\.md(#.*)?$")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class Document(NamedTuple):
    """A document; ``title`` is its first heading."""

    name: str
    title: str
    text: str


class Hit(NamedTuple):
    """A match of a search: the document, the heading above it, the text found and the text around it."""

    document: Document
    heading: str
    before: str
    found: str
    after: str


class DocsHandler(ConsoleHandler):
    """The list of documents, or with ``?q=`` the matches of a search."""

    texts = TEXTS

    async def get(self) -> None:
        query = self.get_query_argument("q", "").strip()[:MOST_OF_QUERY]
        documents = await asyncio.to_thread(read_documents, self.lang)
        hits = await asyncio.to_thread(search, documents, query) if query else []
        self.render_console("docs.html", documents=documents, query=query, hits=hits, slug=slug)


class DocHandler(ConsoleHandler):
    """The page of one document; 404 for an unknown name. With ``?lang=`` the reader chooses the language, of this page
    and of those that follow."""

    texts = TEXTS

    async def get(self, name: str) -> None:
        if (lang := self.get_query_argument("lang", "")) in LANGUAGES:
            self.keep_language(lang)
            self.redirect(f"{PATH}/{name}")
            return
        documents = await asyncio.to_thread(read_documents, self.lang)
        document = next((each for each in documents if each.name == name), None)
        if document is None:
            raise HTTPError(404)
        body = await asyncio.to_thread(render, document.text)
        self.render_console("docs_page.html", documents=documents, document=document, body=body)


@cache
def read_documents(lang: str) -> Sequence[Document]:
    """Return the documents of a language, by title. Cached: they do not change while the service runs."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in (ROOT / lang).glob("*.md")}
    found = [Document(name, _title(name, text), text) for name, text in texts.items()]
    return sorted(found, key=lambda document: document.title)


def search(documents: Sequence[Document], query: str) -> list[Hit]:
    """Return the places that contain ``query``, ignoring case: at most five per document and ``MOST_FOUND`` in all."""
    pattern = re.compile(re.escape(query), re.IGNORECASE)
    hits: list[Hit] = []
    for document in documents:
        outline = _without_code(document.text)
        for match in list(pattern.finditer(document.text))[:5]:
            start, end = match.span()
            heading = [each[1] for each in HEADING.finditer(outline, 0, start)][-1:]
            before = document.text[max(0, start - AROUND) : start].replace("\n", " ")
            after = document.text[end : end + AROUND].replace("\n", " ")
            hits.append(Hit(document, heading[0] if heading else "", before, match[0], after))
    return hits[:MOST_FOUND]


@cache
def render(text: str) -> str:
    """Render Markdown as HTML. HTML inside it is escaped; links between documents lead to their pages here."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _address(str(child.attrGet("href") or "")))
    names = iter([slug(each[1]) for each in HEADING.finditer(_without_code(text))])
    for token in tokens:
        if token.type == "heading_open":
            token.attrSet("id", next(names, ""))
        if token.type == "table_open":
            token.attrSet("class", "table")
        if token.type == "fence":
            token.info = ""  # otherwise the language's name becomes a class, which no style uses
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def slug(heading: str) -> str:
    """Return a heading's anchor: ``Upgrading from 0.1.0`` is ``upgrading-from-010``."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def _without_code(text: str) -> str:
    """Blank out blocks of code, whose comments look like headings. Every other character keeps its place."""
    return FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)


def _address(target: str) -> str:
    if match := LINK.fullmatch(target):
        lang, name, anchor = match.groups("")
        return f"{PATH}/{name}{f'?lang={lang}' if lang else ''}{anchor}"
    return target if target.startswith(("#", "https://")) else PATH


def _title(name: str, text: str) -> str:
    match = HEADING.search(text)
    return match[1] if match else name


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, DocsHandler, "console_docs", Permission.READ),
        Page(f"{PATH}/{NAME}", DocHandler, "console_doc", Permission.READ),
    )
