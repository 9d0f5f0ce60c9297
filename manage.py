#!/usr/bin/env python3
"""The operator's command line. ``demo`` and ``drill`` start a service, ``migrate`` works on its database; all else asks
a running one: see ``cli/``."""

from __future__ import annotations

from service.interpreter import ensure_dependencies

ensure_dependencies()

from pathlib import Path
from typing import Annotated

import typer

from cli import usage
from cli.commands import (
    alarms,
    bills,
    books,
    events,
    explain,
    keys,
    listen,
    notify,
    orders,
    refunds,
    sign,
    support,
    tail,
    trigger,
    users,
    why,
)
from cli.commands import doctor as doctor_view
from cli.context import AsJson
from cli.output import Screen, language, words
from cli.simulation import given_options, refuse_combinations
from scripts import demo as demonstration
from scripts.steps import ROOT

SETTINGS = ROOT / "settings.yml"
SettingsFile = Annotated[Path, typer.Option(help=words("配置文件", "the settings file"))]

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help=words("Fenpay：运维命令", "operator's commands")
)


@app.command(
    help=words(
        "启动演示：微信模拟器与服务", "Start the demo: the WeChat simulator and the service. PORT=8888 by default."
    )
)
def demo(
    var: Annotated[Path, typer.Option(help=words("密钥、数据、日志的目录", "directory of keys, data and logs"))] = ROOT
    / "var",
) -> None:
    """Start the demo: the WeChat simulator and the service. PORT=8888 by default."""
    raise typer.Exit(demonstration.main(var.absolute()))


@app.command(
    help=words(
        "模拟一整天：1000 笔订单、各类异常，次日对账到分",
        "Run a whole day with many faults, then reconcile it to the fen.",
    )
)
def drill(
    count: Annotated[int, typer.Option("--orders", min=40, help=words("订单数", "number of orders"))] = 1000,
    seed: Annotated[
        int, typer.Option(help=words("随机种子，相同种子结果可复现", "random seed; the same seed gives the same day"))
    ] = 1,
    keep: Annotated[Path | None, typer.Option(help=words("日志与数据留在这个目录", "keep logs and data here"))] = None,
    as_json: AsJson = False,
) -> None:
    """Run a whole day with many faults, then reconcile it to the fen."""
    from drill.run import main  # noqa: PLC0415 - it brings the bundled stores, which an operator's machine may lack

    raise typer.Exit(main(count, seed, keep, language(), as_json=as_json))


@app.command(
    help=words(
        "在虚拟时间里模拟有故障的日子，由种子决定", "Simulate days with faults in virtual time, decided by a seed."
    )
)
def simulate(
    context: typer.Context,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help=words("多少个种子；默认 100，与 --mutants 同用时 1000", "100, with --mutants 1000")),
    ] = None,
    first: Annotated[int, typer.Option("--from", help=words("第一个种子", "the first one"))] = 1,
    days: Annotated[float, typer.Option(min=0.1, help=words("有故障的天数", "days with faults"))] = 3.0,
    seed: Annotated[int | None, typer.Option(help=words("只重演这一个种子", "replay this seed only"))] = None,
    orders: Annotated[int | None, typer.Option(min=1, help=words("订单数", "number of orders"))] = None,
    first_order: Annotated[int, typer.Option(min=1, help=words("从第几笔订单起", "the first one"))] = 1,
    processes: Annotated[int | None, typer.Option(min=1, help=words("服务进程数", "processes of the service"))] = None,
    without: Annotated[
        list[str] | None, typer.Option(help=words("没有这种故障", "leave out this kind of fault"))
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help=words("只有这种故障", "only this kind of fault"))] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help=words("与 --seed 同用：逐行打印", "with --seed: print every line"))
    ] = False,
    mutants: Annotated[
        bool, typer.Option("--mutants", help=words("有意改坏的版本必须被发现", "broken versions must be detected"))
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help=words("并行进程数", "parallel processes"))] = 2,
    shrink: Annotated[float, typer.Option(min=0, help=words("失败时缩小几秒", "seconds to reduce a failure"))] = 60,
    as_json: AsJson = False,
) -> None:
    """Simulate days with faults in virtual time, decided by a seed."""
    from proof.run import MUTANT_SEEDS, SEEDS, Options, choose_faults, main  # noqa: PLC0415 - nothing else needs it
    from proof.simulation import Scenario  # noqa: PLC0415 - as above

    refuse_combinations(given_options(context))
    try:
        left_out = choose_faults(without or [], only or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    scenario = Scenario(first if seed is None else seed, days, orders, first_order, processes, left_out)
    options = Options(scenario, seeds or (MUTANT_SEEDS if mutants else SEEDS), jobs, as_json, shrink)
    raise typer.Exit(main(options, one=seed is not None, trace=trace, mutants=mutants))


@app.command(
    help=words(
        "检查配置、密钥、机器、数据库，给出修正办法",
        "Check settings, keys, machine and databases; say how to fix each problem.",
    )
)
def doctor(
    settings: SettingsFile = SETTINGS,
    live: Annotated[
        bool, typer.Option("--live", help=words("同时向微信查询，不涉及资金", "also query WeChat; no money moves"))
    ] = False,
    tick: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help=words("已在微信后台核对的一项", "an item that was compared in WeChat's console")
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, keys, machine and databases; say how to fix each problem."""
    import asyncio  # noqa: PLC0415 - nothing else here waits

    from doctor.run import examine, tick_texts  # noqa: PLC0415 - it brings the whole service
    from service import logs  # noqa: PLC0415 - as above

    logs.setup("error", "text")  # to stderr: calls to WeChat are logged, and the document is alone on stdout

    if tick and (problem := tick_texts(settings.absolute(), tick, language())):
        typer.echo(problem, err=True)
        raise typer.Exit(2)
    results = asyncio.run(examine(settings.absolute(), live=live))
    raise typer.Exit(int(doctor_view.show(results, Screen(language(), as_json=as_json))))


@app.command(
    help=words("逐项询问上线所需的配置，写出配置文件", "Ask for the settings of production, and write the files.")
)
def init(
    settings: Annotated[Path, typer.Option(help=words("写到哪里", "where to write the settings"))] = Path(
        "/etc/fenpay/settings.yml"
    ),
    user: Annotated[str, typer.Option(help=words("运行服务的用户", "the user who runs the service"))] = "fenpay",
) -> None:
    """Ask for the settings of production, and write the files."""
    import asyncio  # noqa: PLC0415 - nothing else here waits

    from doctor.run import examine  # noqa: PLC0415 - it brings the whole service
    from scripts import init as setup  # noqa: PLC0415 - see above

    if status := setup.main(settings, user, language()):
        raise typer.Exit(status)
    setup.ask_ticks(settings.absolute(), language())
    results = asyncio.run(examine(settings.absolute()))
    raise typer.Exit(int(doctor_view.show(results, Screen(language()))))


@app.command(
    help=words("迁移 0.1.0 的数据；请先停止全部旧进程", "Copy the data of release 0.1.0; stop every old process first.")
)
def migrate(
    settings: SettingsFile = SETTINGS,
    as_json: AsJson = False,
) -> None:
    """Copy the data of release 0.1.0; stop every old process first."""
    from scripts.migrate import main  # noqa: PLC0415 - it brings the database driver, which is not needed to ask a service

    raise typer.Exit(main(settings, as_json=as_json))


app.add_typer(orders.app, name="order")
app.add_typer(refunds.app, name="refund")
app.add_typer(bills.app, name="bill")
app.add_typer(books.app)
app.add_typer(events.app, name="events")
app.add_typer(notify.app, name="notify")


@app.command(
    help=words(
        "新建缺少的索引，数据量大时耗时较长",
        "Create missing indexes; this takes a while on a large collection.",
    )
)
def indexes(
    settings: SettingsFile = SETTINGS,
) -> None:
    """Create missing indexes; this takes a while on a large collection."""
    from scripts.indexes import main  # noqa: PLC0415 - it brings the database driver, which is not needed to ask a service

    raise typer.Exit(main(settings))


app.add_typer(alarms.app, name="alarms")
app.add_typer(why.app)
app.add_typer(support.app)
app.add_typer(tail.app)
app.add_typer(listen.app)
app.add_typer(trigger.app)
app.add_typer(sign.app, name="sign")
app.add_typer(explain.app)
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")

if __name__ == "__main__":
    usage.run(app)
