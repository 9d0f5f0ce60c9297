"""Texts of every page of the console."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "console": Bilingual("管理后台", "Console"),
    "to_confirm_count": Bilingual("{count} 项等待你复核", "{count} to confirm"),
    "menu": Bilingual("菜单", "Menu"),
    "skip": Bilingual("跳到正文", "Skip to the content"),
    "close_menu": Bilingual("关闭菜单", "Close the menu"),
    "search": Bilingual("查找订单", "Find orders"),
    "search_hint": Bilingual("单号、后六位、金额、商品…", "Number, last 6 digits, amount, item…"),
    "keyboard": Bilingual("键盘快捷键", "Keyboard"),
    "key_search": Bilingual("查找订单", "find orders"),
    "key_rows": Bilingual("下一行、上一行", "next and previous row"),
    "key_open": Bilingual("打开选中的一行", "open the row"),
    "key_help": Bilingual("显示本说明", "show this help"),
    "keys_on": Bilingual("启用快捷键", "Shortcuts are on"),
    "close_help": Bilingual("关闭", "Close"),
    "own_account": Bilingual("我的账号", "My account"),
    "copy": Bilingual("复制", "Copy"),
    "filter": Bilingual("筛选", "Filter"),
    "clear": Bilingual("清除", "Clear"),
    "copied": Bilingual("已复制", "Copied"),
    "load_failed": Bilingual("加载失败：{why}", "Loading failed: {why}"),
    "no_answer": Bilingual(
        "服务没有应答，请检查网络后重试", "The service does not answer; check the network and try again"
    ),
    "log_out": Bilingual("退出登录", "Log out"),
    "simulated": Bilingual("模拟环境 · 不涉及真实资金", "Simulation · no real money moves"),
    "simulator": Bilingual("微信模拟器", "WeChat simulator"),
    "in_memory": Bilingual(
        "订单仅保存在内存中，进程结束后丢失", "Orders are kept in memory only and are lost when the process ends"
    ),
    "step_up": Bilingual("再次输入密码或动态验证码", "Enter your password or a code again"),
    "step_up_hint": Bilingual(
        "涉及资金的操作需要确认身份，5 分钟内有效。", "Required for actions that move money; valid for 5 minutes."
    ),
    "user": Bilingual("用户名", "User name"),
    "sessions": Bilingual("登录会话", "Sessions"),
    "started": Bilingual("登录时间", "Logged in"),
    "last_seen": Bilingual("最近使用", "Last used"),
    "address": Bilingual("地址", "Address"),
    "browser": Bilingual("浏览器", "Browser"),
    "this_one": Bilingual("当前会话", "Current session"),
    "end": Bilingual("结束", "End"),
    "error_code": Bilingual("错误码", "Error code"),
    "request_id": Bilingual("请求编号", "Request number"),
    "back": Bilingual("返回", "Back"),
    "error_next": Bilingual(
        "请返回上一页重试；仍失败时，把请求编号提供给运维人员。",
        "Go back and try again. If it still fails, give the request number to your operator.",
    ),
}
