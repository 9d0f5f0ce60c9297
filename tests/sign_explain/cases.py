"""All cases of the corpus."""

from __future__ import annotations

from tests.sign_explain import corpus, corpus_messages, corpus_pages, corpus_pasted
from tests.sign_explain.corpus import Case

RIGHT = [
    *corpus.v2_right(), *corpus.v3_request_right(), *corpus.v3_answers_right(), *corpus_pages.jsapi_right(),
    *corpus_pages.config_right(), *corpus_messages.req_info_right(), *corpus_messages.webhook_right(),
    *corpus_messages.push_right(),
]  # fmt: skip
WRONG = [
    *corpus.v2_slips(), *corpus.v3_request_slips(), *corpus.v3_answers_slips(), *corpus_pages.jsapi_slips(),
    *corpus_pages.config_slips(), *corpus_messages.req_info_slips(), *corpus_messages.webhook_slips(),
    *corpus_messages.push_slips(),
]  # fmt: skip
CASES = [*RIGHT, *WRONG, *corpus_pasted.pasted()]


def raw(case: Case) -> bytes:
    return case.text.encode() if isinstance(case.text, str) else case.text
