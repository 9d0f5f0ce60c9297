"""Texts of the page of the settings."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.web.plugin import Access
from service.settings.origins import Origin
from wechat.domain.errors import Bilingual

TEXTS: Mapping[str, Bilingual] = {
    "settings": Bilingual("配置", "Settings"),
    "read_only": Bilingual(
        "此页只读。修改请编辑配置文件或环境变量，然后重启服务；密钥不会显示。",
        "This page is read-only. To change a setting, edit the settings file or the environment and restart the"
        " service. Keys are never shown.",
    ),
    "key": Bilingual("配置项", "Setting"),
    "value": Bilingual("值", "Value"),
    "origin": Bilingual("来源", "From"),
    "plugins": Bilingual("插件与路由", "Plugins and routes"),
    "plugin": Bilingual("插件", "Plugin"),
    "address": Bilingual("地址", "Address"),
    "methods": Bilingual("方法", "Methods"),
    "access": Bilingual("谁可以访问", "Who may call it"),
}
ORIGINS: Mapping[Origin, Bilingual] = {
    Origin.DEFAULT: Bilingual("默认值", "default"),
    Origin.FILE: Bilingual("文件", "file"),
    Origin.ENVIRONMENT: Bilingual("环境变量", "environment"),
}
ACCESS: Mapping[Access, Bilingual] = {
    Access.PUBLIC: Bilingual("任何人", "anybody"),
    Access.PAYER: Bilingual("用户", "payers"),
    Access.MERCHANT: Bilingual("持有 Fenpay API Key 的系统", "Systems with an API key"),
    Access.WECHAT: Bilingual("微信", "WeChat"),
    Access.STAFF: Bilingual("管理后台", "console"),
    Access.OPERATOR: Bilingual("运维命令行", "the operator's command line"),
}
