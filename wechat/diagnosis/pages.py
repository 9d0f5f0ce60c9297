"""Findings about payments that WeChat's browser refused to start, as the payer's page reported."""

from __future__ import annotations

from wechat.catalogue.catalogue import entries
from wechat.diagnosis.snapshot import Finding, OrderSnapshot
from wechat.domain.errors import Bilingual
from wechat.domain.orders import TimelineEntry
from wechat.sign_explain.slips import describe_code


def explain_pages(case: OrderSnapshot) -> list[Finding]:
    """Describe the latest refusal: WeChat's message, the cause, and the fix."""
    line = case.last("page_refused")
    if line is None:
        return []
    at, said, why, fix = case.at(line.at), line.detail.get("said", ""), _name_cause(case, line), _find_fix(line)
    return [
        Finding(
            f"{at} 微信拒绝调起支付：{said}{_join('，', why.zh)}{_join('，', fix.zh)}",
            f"at {at} WeChat refused to start the payment: {said}{_join(', ', why.en)}{_join('. ', fix.en)}",
            case.command("order show"),
        )
    ]


def _name_cause(case: OrderSnapshot, line: TimelineEntry) -> Bilingual:
    """Return the slip that was found, or the first cause in the catalogue."""
    found = case.last("page_slip")
    codes = str(line.detail.get("slip") or (found.detail.get("slip", "") if found else ""))
    slips = [describe_code(code) for code in codes.split()]
    if slips:
        address = line.detail.get("real_url", "")
        zh, en = (f"（微信：{address}）", f" (WeChat: {address})") if address else ("", "")
        return Bilingual("，".join(slip.zh for slip in slips) + zh, ", ".join(slip.en for slip in slips) + en)
    entry = next((entry for entry in entries() if entry.code == line.detail.get("code")), None)
    return entry.meaning if entry else Bilingual("", "")


def _find_fix(line: TimelineEntry) -> Bilingual:
    entry = next((entry for entry in entries() if entry.code == line.detail.get("code")), None)
    return entry.advice.next_step if entry else Bilingual("", "")


def _join(mark: str, text: str) -> str:
    return f"{mark}{text}" if text else ""
