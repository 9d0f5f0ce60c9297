"""How people paste a message: what loggers, languages and tools print of it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote_plus

STAMP = "2026-03-01 12:00:00.123"


class Http(NamedTuple):
    """A request or an answer."""

    first: str
    headers: Mapping[str, str]
    body: str

    @property
    def method(self) -> str:
        return self.first.split(" ")[0]

    @property
    def path(self) -> str:
        return self.first.split(" ")[1]

    @property
    def url(self) -> str:
        return f"https://{self.headers.get('Host', 'api.mch.weixin.qq.com')}{self.path}"

    def lines(self) -> list[str]:
        return [self.first, *(f"{name}: {value}" for name, value in self.headers.items()), ""]

    def dump(self, end: str = "\r\n") -> str:
        return end.join([*self.lines(), self.body])


Fields = Mapping[str, str]


# -- named values ------------------------------------------------------------------------------------------------------


def json_log(fields: Fields) -> str:
    return f"{STAMP} INFO  [http-nio-8080-exec-3] c.e.pay.WxPay - params: {json.dumps(fields, ensure_ascii=False)}\n"


def json_ascii(fields: Fields) -> str:
    """JSON as Laravel and Go log it: a string within another document, with escaped slashes and characters."""
    inner = json.dumps(fields).replace("/", "\\/")
    return json.dumps({"level": "debug", "ts": 1772337600.1, "msg": "request", "payload": inner}) + "\n"


def python_dict(fields: Fields) -> str:
    return f"{STAMP},123 DEBUG wxpay: {dict(fields)!r}\n"


def python_pairs(fields: Fields) -> str:
    return f"sorted: {list(fields.items())!r}\n"


def java_map(fields: Fields) -> str:
    inside = ", ".join(f"{name}={value}" for name, value in fields.items())
    return f"{STAMP}  INFO 8 --- [nio-8080-exec-1] com.example.PayService : map={{{inside}}}\n"


def java_bean(fields: Fields) -> str:
    inside = ", ".join(f"{name}={value}" for name, value in fields.items())
    return f"result: PayParams({inside})\n"


def bean_quotes(fields: Fields) -> str:
    inside = ", ".join(f"{name}='{value}'" for name, value in fields.items())
    return f"Order{{{inside}}}\n"


def go_map(fields: Fields) -> str:
    inside = " ".join(f"{name}:{value}" for name, value in sorted(fields.items()))
    return f"2026/03/01 12:00:00 params: map[{inside}]\n"


def print_r(fields: Fields) -> str:
    return "Array\n(\n" + "".join(f"    [{name}] => {value}\n" for name, value in fields.items()) + ")\n"


def var_dump(fields: Fields) -> str:
    rows = "".join(f'  ["{name}"]=>\n  string({len(value.encode())}) "{value}"\n' for name, value in fields.items())
    return f"array({len(fields)}) {{\n{rows}}}\n"


def var_export(fields: Fields) -> str:
    return "array (\n" + "".join(f"  '{name}' => '{value}',\n" for name, value in fields.items()) + ")\n"


def ruby_hash(fields: Fields) -> str:
    return "{" + ", ".join(f':{name}=>"{value}"' for name, value in fields.items()) + "}\n"


def node_inspect(fields: Fields) -> str:
    return "request {\n" + ",\n".join(f"  {name}: '{value}'" for name, value in fields.items()) + "\n}\n"


def form(fields: Fields) -> str:
    return "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items())


def lines_of(fields: Fields) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def tabs(fields: Fields) -> str:
    return "".join(f"{name}\t{value}\n" for name, value in fields.items())


def console(fields: Fields) -> str:
    """A browser's console, opened."""
    head = ", ".join(f'{name}: "{value}"' for name, value in list(fields.items())[:3])
    rows = "".join(f'  {name}: "{value}"\n' for name, value in sorted(fields.items()))
    return f"pay.js:42 支付参数 ▶{{{head}, …}}\n{rows}  [[Prototype]]: Object\n"


PAIRS: Mapping[str, Callable[[Fields], str]] = {
    one.__name__: one
    for one in (
        json_log, json_ascii, python_dict, python_pairs, java_map, java_bean, bean_quotes, go_map, print_r, var_dump,
        var_export, ruby_hash, node_inspect, form, lines_of, tabs, console,
    )
}  # fmt: skip


# -- XML ---------------------------------------------------------------------------------------------------------------


def prefixed(text: str) -> str:
    """Put a container's name before each line, as docker compose does."""
    return "".join(f"app_1  | {line}\n" for line in text.splitlines())


def journal(text: str) -> str:
    return "".join(f"Mar 01 12:00:00 pay-1 java[1234]: {line}\n" for line in text.splitlines())


def escaped_html(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>\n"


def escaped_json(text: str) -> str:
    return json.dumps({"time": STAMP, "request": text}, ensure_ascii=False).replace("/", "\\/") + "\n"


def wire_xml(text: str) -> str:
    """Apache HttpClient at level DEBUG."""
    return "".join(
        f'{STAMP} DEBUG org.apache.http.wire - http-outgoing-0 >> "{line}[\\n]"\n' for line in text.splitlines()
    )


# -- HTTP --------------------------------------------------------------------------------------------------------------


def python_http(message: Http) -> str:
    """http.client at debuglevel 1."""
    head = "\r\n".join(message.lines()) + "\r\n"
    return f"send: {head.encode()!r}\nsend: {message.body.encode()!r}\nreply: 'HTTP/1.1 401 Unauthorized\\r\\n'\n"


def okhttp(message: Http) -> str:
    rows = [f"--> {message.method} {message.url}", *message.lines()[1:], message.body, f"--> END {message.method}"]
    return "".join(f"{STAMP} DEBUG okhttp3.OkHttpClient : {row}\n" for row in rows)


def wire_http(message: Http) -> str:
    headers = "".join(
        f"{STAMP} [main] DEBUG org.apache.http.headers - http-outgoing-0 >> {x}\n" for x in message.lines()[:-1]
    )
    return headers + f'{STAMP} [main] DEBUG org.apache.http.wire - http-outgoing-0 >> "{message.body}"\n'


def go_dump(message: Http) -> str:
    """``log.Printf("%q", dump)``."""
    return f"2026/03/01 12:00:00 {json.dumps(message.dump(), ensure_ascii=False)}\n"


def go_headers(message: Http) -> str:
    inside = " ".join(f"{name}:[{value}]" for name, value in message.headers.items())
    return f"2026/03/01 12:00:00 {message.method} {message.url} headers=map[{inside}] body={message.body}\n"


def axios(message: Http) -> str:
    rows = "".join(
        f"    {name if name.isalpha() else repr(name)}: '{value}',\n" for name, value in message.headers.items()
    )
    return (
        f"AxiosError: Request failed with status code 401\n  config: {{\n  method: '{message.method.lower()}',\n"
        f"  url: '{message.url}',\n  headers: {{\n{rows}  }},\n  data: '{message.body}'\n}}\n"
    )


def fetch(message: Http) -> str:
    options = {"method": message.method, "headers": dict(message.headers), "body": message.body or None}
    return f"fetch({json.dumps(message.url)}, {json.dumps(options, ensure_ascii=False, indent=2)});\n"


def pseudo_headers(message: Http) -> str:
    rows = [
        ":authority: api.mch.weixin.qq.com",
        f":method: {message.method}",
        f":path: {message.path}",
        ":scheme: https",
    ]
    return "\n".join([*rows, *message.lines()[1:], message.body])


def har(message: Http) -> str:
    headers = [{"name": name, "value": value} for name, value in message.headers.items()]
    request: dict[str, object] = {"method": message.method, "url": message.url, "headers": headers}
    if message.body:
        request["postData"] = {"mimeType": "application/json", "text": message.body}
    return json.dumps(
        {"log": {"entries": [{"request": request, "response": {"status": 401, "headers": []}}]}}, indent=1
    )


def requests_log(message: Http) -> str:
    return f"{STAMP} {message.method} {message.url}\n{STAMP} headers: {dict(message.headers)!r}\n{STAMP} body: {message.body}\n"


def print_r_http(message: Http) -> str:
    return f"{print_r(message.headers)}\n{message.body}\n"


def var_dump_http(message: Http) -> str:
    body = f'string({len(message.body.encode())}) "{message.body}"\n'
    return var_dump(message.headers) + body


def django_meta(message: Http) -> str:
    meta = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in message.headers.items()}
    return f"META: {meta!r}\nbody: {message.body.encode()!r}\n"


def spring(message: Http) -> str:
    inside = ", ".join(f'{name}:"{value}"' for name, value in message.headers.items())
    return f"{STAMP} DEBUG o.s.w.f.CommonsRequestLoggingFilter : {message.first} headers=[{inside}], payload={message.body}]\n"


def nginx_json(message: Http) -> str:
    """A log_format with ``escape=default``: each quote is \\x22."""
    inside = "".join(f'"{name.lower()}":"{value}",' for name, value in message.headers.items())
    body = "".join(f"\\x{ord(x):02X}" if x in '"\\' else x for x in message.body)
    body = "".join(x if x.isascii() else "".join(f"\\x{byte:02X}" for byte in x.encode()) for x in body)
    return f'{{"request":"{message.first}",{inside}"body":"{body}"}}\n'


def gateway_event(message: Http) -> str:
    event = {
        "httpMethod": message.method,
        "path": message.path,
        "headers": dict(message.headers),
        "body": base64.b64encode(message.body.encode()).decode(),
        "isBase64Encoded": True,
    }
    return json.dumps(event)


def prefixed_dump(message: Http) -> str:
    return prefixed(message.dump("\n"))


REQUESTS: Mapping[str, Callable[[Http], str]] = {
    one.__name__: one
    for one in (
        python_http, okhttp, wire_http, go_dump, go_headers, axios, fetch, pseudo_headers, har, requests_log,
        prefixed_dump,
    )
}  # fmt: skip
NOTIFICATIONS: Mapping[str, Callable[[Http], str]] = {
    one.__name__: one
    for one in (
        go_dump, go_headers, print_r_http, var_dump_http, django_meta, spring, nginx_json, gateway_event, okhttp,
        prefixed_dump, requests_log,
    )
}  # fmt: skip
