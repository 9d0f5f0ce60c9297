"""Texts of the page of acts that wait for a second person."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.approvals import ApprovalState
from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "approvals": Bilingual("待复核", "To confirm"),
    "waiting_for_you": Bilingual("等待第二人复核", "Waiting for a second person"),
    "nothing_waits": Bilingual(
        "没有待复核的操作。金额超过配置上限的退款会出现在这里，由发起人以外的同事复核。",
        "No action is waiting. Refunds above the limit in the settings appear here. A person other than "
        "the requester confirms them.",
    ),
    "decided": Bilingual("最近处理的", "Recently decided"),
    "act": Bilingual("操作", "Action"),
    "subject": Bilingual("对象", "Subject"),
    "amount": Bilingual("金额", "Amount"),
    "reason": Bilingual("原因", "Reason"),
    "requested_by": Bilingual("发起人", "Requested by"),
    "requested_at": Bilingual("发起时间", "Requested at"),
    "decided_by": Bilingual("处理人", "Decided by"),
    "state": Bilingual("状态", "State"),
    "confirm": Bilingual("复核通过并执行", "Confirm and carry out"),
    "decline": Bilingual("拒绝", "Decline"),
    "take_back": Bilingual("撤回", "Withdraw"),
    "own": Bilingual("你发起的操作需由其他人复核", "You requested this; another person has to confirm it"),
    "unfinished": Bilingual(
        "已复核通过，但没有执行完；再次执行不会重复退款",
        "Confirmed but not completed; carrying it out again does not refund twice",
    ),
    "done": Bilingual("已复核并执行：{result}", "Confirmed and carried out: {result}"),
    "failed": Bilingual("已复核，但执行失败：{result}", "Confirmed, but it failed: {result}"),
    "expired": Bilingual("已过期，未执行", "Expired; not carried out"),
    "declined": Bilingual("已拒绝，未执行", "Declined; not carried out"),
}

STATES: Mapping[ApprovalState, Bilingual] = {
    ApprovalState.WAITING: Bilingual("待复核", "Waiting"),
    ApprovalState.CONFIRMED: Bilingual("执行中", "Being carried out"),
    ApprovalState.DONE: Bilingual("已执行", "Done"),
    ApprovalState.FAILED: Bilingual("执行失败", "Failed"),
    ApprovalState.DECLINED: Bilingual("已拒绝", "Declined"),
}
