"""Texts of the page of the audit log, and the name of each act."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual

ACTS: Mapping[Act, Bilingual] = {
    Act.LOG_IN: Bilingual("登录", "Logged in"),
    Act.LOGIN_REFUSED: Bilingual("登录失败", "Login refused"),
    Act.LOG_OUT: Bilingual("退出登录", "Logged out"),
    Act.DENIED: Bilingual("越权访问被拒绝", "Denied: no permission"),
    Act.STEP_UP: Bilingual("再次确认身份", "Confirmed their identity"),
    Act.STEP_UP_REFUSED: Bilingual("再次确认身份失败", "Identity not confirmed"),
    Act.END_SESSION: Bilingual("结束登录会话", "Ended a session"),
    Act.CHANGE_PASSWORD: Bilingual("修改密码", "Changed a password"),
    Act.ADD_USER: Bilingual("添加用户", "Added a user"),
    Act.SET_ROLE: Bilingual("调整角色", "Changed a role"),
    Act.DISABLE_USER: Bilingual("停用用户", "Disabled a user"),
    Act.ENABLE_USER: Bilingual("启用用户", "Enabled a user"),
    Act.SET_UP_TOTP: Bilingual("启用动态验证码", "Set up a code generator"),
    Act.REMOVE_TOTP: Bilingual("移除动态验证码", "Removed a code generator"),
    Act.REQUEST_APPROVAL: Bilingual("发起待复核操作", "Requested a confirmation"),
    Act.CONFIRM: Bilingual("复核通过", "Confirmed"),
    Act.DECLINE: Bilingual("拒绝待复核操作", "Declined"),
    Act.REFUND: Bilingual("退款", "Refund"),
    Act.BEGIN: Bilingual("开始操作", "Started an action"),
    Act.CANCEL_REFUND: Bilingual("取消退款", "Cancelled a refund"),
    Act.QUERY_ORDER: Bilingual("主动查单", "Queried an order"),
    Act.CLOSE_ORDER: Bilingual("关闭订单", "Closed an order"),
    Act.WRITE_NOTE: Bilingual("写备注", "Wrote a note"),
    Act.RESEND: Bilingual("重新推送事件", "Resent events"),
    Act.REPLAY: Bilingual("重放通知", "Replayed a notification"),
    Act.READ_PAYLOAD: Bilingual("查看报文", "Read a payload"),
    Act.READ_PERSONAL: Bilingual("查看个人信息", "Read personal data"),
    Act.EXPORT: Bilingual("导出", "Exported"),
    Act.RECONCILE: Bilingual("对账", "Reconciled"),
    Act.REPAIR: Bilingual("处理差异", "Repaired a difference"),
    Act.SEE_ALARM: Bilingual("标记告警为已看", "Marked an alarm as seen"),
    Act.RUN_DOCTOR: Bilingual("运行自检", "Ran the doctor"),
    Act.ADD_KEY: Bilingual("新建 Fenpay API Key", "Created an API key"),
    Act.ROTATE_KEY: Bilingual("轮换 Fenpay API Key", "Rotated an API key"),
    Act.REVOKE_KEY: Bilingual("吊销 Fenpay API Key", "Revoked an API key"),
}

TEXTS: Mapping[str, Bilingual] = {
    "audit": Bilingual("审计记录", "Audit log"),
    "at": Bilingual("时间（北京时间）", "Time (Beijing)"),
    "name": Bilingual("用户", "Person"),
    "role": Bilingual("角色", "Role"),
    "address": Bilingual("地址", "Address"),
    "act": Bilingual("操作", "Action"),
    "subject": Bilingual("对象", "Subject"),
    "before": Bilingual("之前", "Before"),
    "after": Bilingual("之后", "After"),
    "unfinished": Bilingual("结果未知的操作", "Actions with an unknown outcome"),
    "unknown": Bilingual("结果未知", "Outcome unknown"),
    "unknown_hint": Bilingual(
        "“结果未知”：操作已经开始，但没有写下结果，可能是服务中途停止，或微信支付没有应答。请打开对象的页面核实；"
        "以同一单号重做不会重复退款。",
        "“Outcome unknown”: the action started, but its result was not recorded. The service may have "
        "stopped, or WeChat Pay did not answer. Check the page of the subject. Repeating the action with "
        "the same number does not refund twice.",
    ),
    "any": Bilingual("全部", "All"),
    "from": Bilingual("从", "From"),
    "until": Bilingual("到", "Until"),
    "csv": Bilingual("导出 CSV", "Export CSV"),
    "older": Bilingual("更早的记录", "Older entries"),
    "none_so_far": Bilingual(
        "已读取的记录中没有符合条件的，请继续查看更早的记录。",
        "None of the entries read so far match. Continue with the older ones.",
    ),
    "none": Bilingual("没有符合条件的记录，请放宽筛选条件。", "No entries match. Use a wider filter."),
}
