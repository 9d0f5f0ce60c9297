"""``trigger``: run one of the WeChat simulator's scenarios, from the order to the notification."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli.client import Service
from cli.context import AsJson, Context, KeyFile, Url, command_context
from cli.endpoint import SIMULATOR_VARIABLE, Endpoint, check_address
from cli.output import Screen, language, words
from cli.problems import Exit, Problem
from simulator.control.scenarios import REFUND_SCENARIO_NAMES, SCENARIO_NAMES
from wechat.domain.errors import Bilingual
from wechat.domain.labels import REFUND_STATES
from wechat.support.cli_hints import command

TOTAL = 1800
REASON = "trigger"
KINDS: Mapping[str, Mapping[str, Bilingual]] = {
    "pay": {name.value: text for name, text in SCENARIO_NAMES.items()},
    "refund": {name.value: text for name, text in REFUND_SCENARIO_NAMES.items()},
}
SCENARIOS = {f"{kind}.{name}": text for kind, names in KINDS.items() for name, text in names.items()}

app = typer.Typer()

Simulator = Annotated[
    str | None,
    typer.Option("--simulator", envvar=SIMULATOR_VARIABLE, help=words("模拟器的地址", "the simulator's address")),
]
Scenario = Annotated[
    str | None,
    typer.Argument(
        help=words("不指定则列出每个场景的说明；可用：", "without a scenario, list all; one of: ")
        + ", ".join(SCENARIOS),
        autocompletion=lambda: list(SCENARIOS),
    ),
]


@app.command(
    help=words(
        "在模拟器上走完一个场景：下单、付款或退款、通知",
        "Run a scenario at the simulator: order, payment or refund, notification.",
    )
)
def trigger(
    scenario: Scenario = None,
    simulator: Simulator = None,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """List the scenarios, for which nothing has to run, or run one."""
    screen = Screen(language(), as_json=as_json)
    if scenario is None:
        _list(screen)
        return
    if scenario not in SCENARIOS:
        text = Bilingual(f"没有场景 {scenario}", f"There is no scenario {scenario}")
        screen.problem(Problem(Exit.USAGE, "NO_SCENARIO", text, next_step=command("trigger")))
        raise typer.Exit(int(Exit.USAGE))
    with command_context("trigger", command("trigger"), url=url, key_file=key_file, as_json=as_json) as context:
        _run_scenario(context, scenario, _simulator(context, simulator))


def _list(screen: Screen) -> None:
    document = {kind: {name: text._asdict() for name, text in names.items()} for kind, names in KINDS.items()}
    rows = [(name, text.to(screen.lang)) for name, text in SCENARIOS.items()]
    columns = (Bilingual("场景", "Scenario"), Bilingual("说明", "What happens"))
    screen.show(document, screen.table(Bilingual("场景", "Scenarios"), columns, rows))
    screen.next_step(command("trigger", "pay.duplicate"))


def _run_scenario(context: Context, scenario: str, wechat: Service) -> None:
    kind, _, name = scenario.partition(".")
    order = _place(context.service)
    result = _refund(context.service, wechat, order, name) if kind == "refund" else _pay(wechat, order, name)
    _show(context, order["out_trade_no"], result)


def _simulator(context: Context, address: str | None) -> Service:
    """Return the simulator that was named, or the demo's. Raises Problem."""
    address = address or context.service.place.simulator_url
    if not address:
        text = Bilingual(
            f"没有模拟器：启动演示，或给出 --simulator（{SIMULATOR_VARIABLE}）",
            f"No simulator: start the demo, or give --simulator ({SIMULATOR_VARIABLE})",
        )
        raise Problem(Exit.CONFIG, "NO_SIMULATOR", text, next_step="make run")
    return Service(Endpoint(check_address(address), key="none"), context.screen.lang)  # it asks for no key


def _place(service: Service) -> Any:
    """Place an order that anybody can pay by scanning its code."""
    wish = {"description": "trigger", "total": TOTAL, "trade_type": "NATIVE"}
    return service.post("/api/orders", wish, key=f"trigger-{secrets.token_hex(8)}")


def _pay(wechat: Service, order: Mapping[str, Any], scenario: str) -> dict[str, str]:
    """Pay the order by ``scenario``; return what the payer's phone shows."""
    heard = wechat.post("/simulator/scan", {"code_url": order["code_url"], "scenario": scenario})
    return {"scenario": f"pay.{scenario}", "payer": str(heard.get("err_desc") or heard["err_msg"])}


def _refund(service: Service, wechat: Service, order: Mapping[str, Any], scenario: str) -> dict[str, str]:
    """Pay the order, then refund it in full with the outcome of ``scenario``."""
    number, refund_number = order["out_trade_no"], f"trigger{secrets.token_hex(8)}"
    _pay(wechat, order, "success")
    service.post(f"/api/orders/{number}/query")
    wechat.post("/simulator/refunds/scenarios", {"scenario": scenario, "out_trade_no": number})
    wish = {"refund": TOTAL, "reason": REASON, "out_refund_no": refund_number}
    refund = service.post(f"/api/orders/{number}/refunds", wish)
    return {"scenario": f"refund.{scenario}", "out_refund_no": refund_number, "state": refund["state"]}


def _show(context: Context, out_trade_no: str, result: Mapping[str, str]) -> None:
    names = {
        "scenario": Bilingual("场景", "Scenario"),
        "payer": Bilingual("用户手机显示", "The payer's phone shows"),
        "out_refund_no": Bilingual("商户退款单号", "out_refund_no"),
        "state": Bilingual("退款状态", "Refund state"),
    }
    document = {"out_trade_no": out_trade_no, **result}
    rows = [(Bilingual("商户订单号", "out_trade_no"), out_trade_no)]
    rows += [(names[name], context.screen.translate(value, REFUND_STATES)) for name, value in result.items()]
    context.screen.show(document, context.screen.sheet(rows))
    context.screen.next_step(command("why", out_trade_no))
