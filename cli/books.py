"""``reconcile``: a day's books against WeChat's bill, and what may be repaired without a person's judgement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import RenderableType

from cli.desk import AsJson, Day, Desk, KeyFile, Url, Yes, at_desk, day
from cli.orders import NUMBER
from cli.output import Screen, money, words
from cli.problems import Exit, Problem
from wechat.book_words import COUNTS, KINDS, STATUSES, SUMS
from wechat.commands import command
from wechat.errors import Text
from wechat.times import from_v3, span

Difference = Mapping[str, Any]

RUN_S = 1800.0  # a bill of millions of lines takes minutes
SHOWN = 50  # lines of a table; --json has all
BY_ITSELF = ("query", "refund")
"""What may be done without looking, in this order: a query may be what shows that another payment is surplus."""

KIND, OURS, WECHAT = Text("类别", "Kind"), Text("我方", "Ours"), Text("微信", "WeChat")


class Step(NamedTuple):
    """One repair: what is to be done about which difference."""

    action: str
    difference: Difference


app = typer.Typer()


@app.command(
    help=words(
        "拿微信的账单对一天的账；还有差异就以 1 结束", "Reconcile a day; exits with 1 while a difference is open."
    )
)
def reconcile(
    date: Day,
    repair: Annotated[
        bool, typer.Option("--repair", help=words("能查单的查单，重复的付款退回", "query, and return double payments"))
    ] = False,
    yes: Yes = False,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Reconcile, show the differences, repair those that need no judgement, show what that came to."""
    with at_desk("reconcile", url, key_file, as_json, next_step=command("reconcile", date)) as desk:
        path = f"/api/reconciliations/{day(date)}"
        desk.screen.must_answer(yes=yes or not repair)
        result, differences = _run(desk, path)
        desk.screen.preview(*_views(desk.screen, result, differences))
        plan = _plan(differences.values()) if repair else []
        repairs = _repair(desk, path, plan, differences, yes=yes) if plan else []
        document = result | {"differences": list(differences.values()), "repairs": repairs}
        desk.screen.show(document, *_outcomes(desk.screen, plan, repairs))
        _conclude(desk.screen, date, differences.values())


def _run(desk: Desk, path: str) -> tuple[dict[str, Any], dict[str, Difference]]:
    """The result, and all differences by id, the open ones first."""
    with desk.screen.waiting() as bar:
        bar.add_task(Text("对账中", "Reconciling").to(desk.screen.lang), total=None)
        result = desk.service.post(path, timeout_s=RUN_S)
        found, cursor = result.pop("differences"), result.pop("next_cursor")
        while cursor:
            page = desk.service.get(path, cursor=cursor)
            found, cursor = [*found, *page["differences"]], page["next_cursor"]
    return result, {one["id"]: one for one in sorted(found, key=lambda one: one["status"] != "open")}


def _plan(differences: Iterable[Difference]) -> list[Step]:
    """For each open difference the action that needs no judgement, if it has one."""
    steps = [Step(action, one) for one in differences for action in BY_ITSELF if action in one["actions"]]
    return sorted(steps, key=lambda step: BY_ITSELF.index(step.action))


def _repair(
    desk: Desk, path: str, plan: Sequence[Step], differences: dict[str, Difference], *, yes: bool
) -> list[dict[str, Any]]:
    """Carry ``plan`` out and bring ``differences`` up to date; what each step came to.

    One that fails does not stop the next ones, unless the service itself is gone.
    """
    desk.screen.confirm(lambda: _question(plan), yes=yes)
    done: list[dict[str, Any]] = []
    with desk.screen.counting() as bar:
        for step in bar.track(plan, description=Text("处理中", "Repairing").to(desk.screen.lang)):
            number = step.difference["id"]
            outcome: dict[str, Any] = {"id": number, "action": step.action}
            try:
                differences[number] = desk.service.post(f"{path}/differences/{number}/repair", {"action": step.action})
                outcome |= {"status": differences[number]["status"], "error": None}
            except Problem as problem:
                if not problem.told or problem.code is Exit.CONFIG:
                    desk.screen.preview(*_outcomes(desk.screen, plan, done))
                    problem.more = {"repairs": done}
                    raise
                outcome |= {"status": "open", "error": problem.document(desk.screen.lang)}
            done.append(outcome)
    return done


def _question(plan: Sequence[Step]) -> Text:
    surplus = [_numbers(step.difference)["amount"] for step in plan if step.action == "refund"]
    queries, total = len(plan) - len(surplus), money(sum(surplus))
    return Text(
        f"向微信查询 {queries} 条，退回 {len(surplus)} 笔重复付款（共 {total}）？",
        f"Ask WeChat about {queries} of them, and return {len(surplus)} double payments ({total} in all)?",
    )


def _conclude(screen: Screen, date: str, differences: Iterable[Difference]) -> None:
    """End with 1 while anything is open, and say what to do about it."""
    left = [one for one in differences if one["status"] == "open"]
    if not left:
        screen.say(Text("没有待处理的差异", "No difference is open"))
        return
    screen.say(Text(f"还有 {len(left)} 条差异待处理", f"{len(left)} differences are open"))
    screen.next_step(command("reconcile", date, "--repair") if _plan(left) else _by_hand(date, left[0]))
    raise typer.Exit(int(Exit.NOT_SO))


def _by_hand(date: str, one: Difference) -> str:
    """Where to look at what only a person can judge."""
    return command("why", one["ours"]["out_trade_no"]) if one["ours"] else command("bill show", date)


# -- tables -----------------------------------------------------------------------------------------------------------


def _views(screen: Screen, result: Mapping[str, Any], differences: Mapping[str, Difference]) -> list[RenderableType]:
    columns = (Text("", ""), OURS, WECHAT)
    rows = [
        (text.to(screen.lang), _sum(name, result["ours"].get(name)), _sum(name, result["wechat"][name]))
        for name, text in SUMS
    ]
    heading = Text(f"{result['date']} 对账", f"Reconciliation of {result['date']}")
    sums = screen.table(heading, columns, rows)
    now = from_v3(result["finished_at"])  # the service's own clock
    return [sums, _table(screen, list(differences.values()), now)] if differences else [sums]


def _table(screen: Screen, differences: Sequence[Difference], now: datetime) -> RenderableType:
    columns = (
        KIND,
        Text("状态", "Status"),
        Text("多久了", "Age"),
        NUMBER,
        Text("微信支付订单号 / 退款单号", "transaction_id / out_refund_no"),
        OURS,
        WECHAT,
        Text("可做", "Actions"),
    )
    title = Text(f"差异 {len(differences)} 条", f"{len(differences)} differences")
    if len(differences) > SHOWN:
        title = Text(f"{title.zh}，前 {SHOWN} 条（全部见 --json）", f"{title.en}, the first {SHOWN} (--json has all)")
    return screen.table(title, columns, [_row(screen, one, now) for one in differences[:SHOWN]])


def _row(screen: Screen, one: Difference, now: datetime) -> tuple[str, ...]:
    numbers = _numbers(one)
    return (
        KINDS[one["kind"]].to(screen.lang),
        STATUSES[one["status"]].to(screen.lang),
        span(now - from_v3(one["found_at"])).to(screen.lang),
        numbers["out_trade_no"],
        numbers.get("out_refund_no") or numbers.get("transaction_id", ""),
        _side(one["ours"]),
        _side(one["wechat"]),
        ", ".join(one["actions"]),
    )


def _outcomes(screen: Screen, plan: Sequence[Step], repairs: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """What each repair came to."""
    if not repairs:
        return []
    columns = (KIND, NUMBER, Text("做了", "Did"), Text("结果", "Result"), Text("原因", "Why"))
    rows = [
        (
            KINDS[step.difference["kind"]].to(screen.lang),
            _numbers(step.difference)["out_trade_no"],
            done["action"],
            STATUSES[done["status"]].to(screen.lang),
            done["error"]["message"] if done["error"] else "",
        )
        for step, done in zip(plan, repairs, strict=False)
    ]
    return [screen.table(Text("处理", "Repairs"), columns, rows)]


def _numbers(one: Difference) -> Mapping[str, Any]:
    """The side that has the numbers: WeChat's where it spoke."""
    numbers: Mapping[str, Any] = one["wechat"] or one["ours"]
    return numbers


def _side(entry: Mapping[str, Any] | None) -> str:
    return f"{money(entry['amount'])} {entry.get('state', '')}".strip() if entry else "–"


def _sum(name: str, value: int | None) -> str:
    return "" if value is None else str(value) if name in COUNTS else money(value)
