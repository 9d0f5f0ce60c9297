"""``reconcile``: a day's books against WeChat's bill, and what may be repaired without a person's judgement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import RenderableType

from cli.commands.orders import NUMBER
from cli.context import Context, Day, Yes, day, declare
from cli.output import Screen, cell, money, words
from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.times import from_v3, span
from wechat.reconciliation.labels import ACTION_LABELS, COUNTS, KINDS, STATUSES, SUMS
from wechat.support.cli_hints import command

Difference = Mapping[str, Any]

RUN_S = 1800.0  # a bill of millions of lines takes minutes
SHOWN = 50  # lines of a table; --json has all
BY_ITSELF = ("query", "refund")
"""Actions that need no judgement, in this order: a query may show that another payment is surplus."""

ID = re.compile(r"[0-9a-f]{4,32}", re.ASCII)
SHORTEST = 6  # digits of an id that are shown, more where two begin alike

KIND, OURS, WECHAT = Bilingual("类别", "Kind"), Bilingual("系统", "This system"), Bilingual("微信", "WeChat")


class Step(NamedTuple):
    """A repair: an action on a difference."""

    action: str
    difference: Difference


app = typer.Typer()


@declare(
    app,
    "reconcile",
    words(
        "按交易账单对指定日期对账；仍有待处理差异时退出码为 1",
        "Reconcile a day by the trade bill; exit code 1 while a difference is open.",
    ),
    next_step="reconcile {date}",
)
def reconcile(
    context: Context,
    date: Day,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help=words(
                "能查单的查单，重复支付的退款", "query the orders that a query can repair, and refund double payments"
            ),
        ),
    ] = False,
    checked: Annotated[
        list[str] | None,
        typer.Option(
            "--known",
            metavar="ID",
            help=words("将这条差异标记为已人工核实，可重复", "mark this difference as checked by a person; repeatable"),
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Reconcile, show the differences, note or repair those that were asked for, and show the results."""
    path, wanted = f"/api/reconciliations/{day(date)}", [_id(text) for text in checked or []]
    context.screen.must_answer(yes=yes or not repair)
    result, differences = _run(context, path)
    context.screen.preview(*_views(context.screen, result, differences))
    noted = [Step("known", _find_difference(text, date, differences)) for text in wanted]
    plan = _plan(differences.values(), without=noted) if repair else []
    if plan:
        context.screen.confirm(lambda: _question(plan), yes=yes)
    steps = [*noted, *plan]
    repairs = _carried_out(context, path, steps, differences)
    document = result | {"differences": list(differences.values()), "repairs": repairs}
    context.screen.show(document, *_outcomes(context.screen, steps, repairs))
    _conclude(context.screen, date, differences, repairs, result["unread_lines"])


def _run(context: Context, path: str) -> tuple[dict[str, Any], dict[str, Difference]]:
    """Reconcile the day. Return the result, and all differences by id, the open ones first."""
    with context.screen.waiting() as bar:
        bar.add_task(Bilingual("对账中", "Reconciling").to(context.screen.lang), total=None)
        result = context.service.post(path, timeout_s=RUN_S)
        found, cursor = result.pop("differences"), result.pop("next_cursor")
        while cursor:
            page = context.service.get(path, cursor=cursor)
            found, cursor = [*found, *page["differences"]], page["next_cursor"]
    return result, {one["id"]: one for one in sorted(found, key=lambda one: one["status"] != "open")}


def _id(text: str) -> str:
    """Return ``text`` if it can be the beginning of a difference's id. Raises Problem."""
    if not ID.fullmatch(text):
        message = Bilingual("--known 是差异表里的编号", "--known takes an id from the table of differences")
        raise Problem(Exit.USAGE, "BAD_ID", message)
    return text


def _find_difference(text: str, date: str, differences: Mapping[str, Difference]) -> Difference:
    """Return the only difference whose id begins with ``text``. Raises Problem."""
    found = [one for number, one in differences.items() if number.startswith(text)]
    if len(found) > 1:
        message = Bilingual(
            f"有 {len(found)} 条差异的编号以 {text} 开头", f"{len(found)} differences have ids that begin with {text}"
        )
        raise Problem(Exit.USAGE, "AMBIGUOUS_ID", message, next_step=command("reconcile", date))
    if not found:
        message = Bilingual(f"没有编号以 {text} 开头的差异", f"No difference has an id that begins with {text}")
        raise Problem(Exit.FAILED, "DIFFERENCE_NOT_FOUND", message, next_step=command("reconcile", date))
    return found[0]


def _plan(differences: Iterable[Difference], without: Sequence[Step] = ()) -> list[Step]:
    """Return for each open difference the action that needs no judgement, if it has one; none for those of
    ``without``."""
    others = {step.difference["id"] for step in without}
    left = [one for one in differences if one["id"] not in others]
    steps = [Step(action, one) for one in left for action in BY_ITSELF if action in one["actions"]]
    return sorted(steps, key=lambda step: BY_ITSELF.index(step.action))


def _carried_out(
    context: Context, path: str, steps: Sequence[Step], differences: dict[str, Difference]
) -> list[dict[str, Any]]:
    """Carry out ``steps`` and update ``differences``; return the result of each step.

    A failed step does not stop the next ones, unless the service cannot be reached.
    """
    done: list[dict[str, Any]] = []
    if not steps:
        return done
    with context.screen.counting() as bar:
        for step in bar.track(steps, description=Bilingual("处理中", "Repairing").to(context.screen.lang)):
            number = step.difference["id"]
            outcome: dict[str, Any] = {"id": number, "action": step.action}
            try:
                after = context.service.post(f"{path}/differences/{number}/repair", {"action": step.action})
                differences[number] = after
                reason = _explain_open(after).to(context.screen.lang) if after["status"] == "open" else None
                outcome |= {"status": after["status"], "reason": reason, "error": None}
            except Problem as problem:
                if not problem.text or problem.code is Exit.CONFIG:
                    context.screen.preview(*_outcomes(context.screen, steps, done))
                    problem.more = {"repairs": done}
                    raise
                error = problem.document(context.screen.lang)
                outcome |= {"status": differences[number]["status"], "reason": error["message"], "error": error}
            done.append(outcome)
    return done


def _explain_open(one: Difference) -> Bilingual:
    """Explain why a query left a difference open: WeChat Pay's answer is not what its bill says. The audit line has the
    state here that the answer led to."""
    ours, bill = one["ours"], one["wechat"]
    amount = money(ours["amount"]) if ours else ""
    state = one["audit"][-1]["detail"] if one["audit"] else ""
    said = f"{amount} {state}".strip() or "–"
    if bill is None:
        return Bilingual(
            f"微信支付返回 {said}，账单中没有这一行", f"WeChat Pay reports {said}, but the bill has no such line"
        )
    return Bilingual(
        f"微信支付返回 {said}，账单为 {_side(bill)}",
        f"WeChat Pay reports {said}, the bill says {_side(bill)}",
    )


def _has_query(one: Difference) -> bool:
    """Whether WeChat Pay was queried since the difference was last found, without resolving it."""
    for line in reversed(one["audit"]):
        if line["action"] == "rerun":
            return False
        if line["action"] == "query":
            return bool(line["to"] == "open")
    return False


def _question(plan: Sequence[Step]) -> Bilingual:
    surplus = [_numbers(step.difference)["amount"] for step in plan if step.action == "refund"]
    queries, total = len(plan) - len(surplus), money(sum(surplus))
    return Bilingual(
        f"向微信支付查询 {queries} 条，对 {len(surplus)} 笔重复支付退款（共 {total}）？",
        f"Query WeChat Pay (differences: {queries}) and refund double payments ({len(surplus)}, {total} in total)?",
    )


def _conclude(
    screen: Screen,
    date: str,
    differences: Mapping[str, Difference],
    repairs: Sequence[Mapping[str, Any]],
    unread: Sequence[int],
) -> None:
    """Exit with 1 while a difference is open or lines of the bill are unreadable, and name the next command: never a
    repair that has just failed."""
    left = [one for one in differences.values() if one["status"] == "open"]
    if not left and unread:
        screen.next_step(command("bill fetch", date))
        raise typer.Exit(int(Exit.FAILED))
    if not left:
        screen.say(Bilingual("没有待处理的差异", "No difference is open"))
        return
    screen.say(Bilingual(f"还有 {len(left)} 条差异待处理", f"Open differences: {len(left)}"))
    futile = {one["id"] for one in repairs if not one["error"] or one["error"]["exit"] != Exit.UNREACHED}
    if _plan(one for one in left if one["id"] not in futile and not _has_query(one)):
        screen.next_step(command("reconcile", date, "--repair"))
    else:
        note = command("reconcile", date, "--known", _shorten_ids(differences)[left[0]["id"]])
        screen.say(Bilingual(f"人工核实后可标记：{note}", f"Once a person has checked it, mark it: {note}"))
        screen.next_step(_by_hand(date, left[0]))
    raise typer.Exit(int(Exit.FAILED))


def _by_hand(date: str, one: Difference) -> str:
    """Return the command that shows what a person needs to judge the difference."""
    return command("why", one["ours"]["out_trade_no"]) if one["ours"] else command("bill show", date)


# -- tables -----------------------------------------------------------------------------------------------------------


def _views(screen: Screen, result: Mapping[str, Any], differences: Mapping[str, Difference]) -> list[RenderableType]:
    columns = (Bilingual("", ""), OURS, WECHAT)
    rows = [
        (text.to(screen.lang), _sum(name, result["ours"].get(name)), _sum(name, result["wechat"][name]))
        for name, text in SUMS
    ]
    heading = Bilingual(f"{result['date']} 对账", f"Reconciliation of {result['date']}")
    sums = screen.table(heading, columns, rows)
    views = [sums, *_unread(screen, result["unread_lines"])]
    now = from_v3(result["finished_at"])  # the service's own clock
    return [*views, _table(screen, differences, now)] if differences else views


def _unread(screen: Screen, lines: Sequence[int]) -> list[RenderableType]:
    """Return a sentence about lines of the bill that could not be read."""
    if not lines:
        return []
    numbers = ", ".join(map(str, lines))
    text = Bilingual(
        f"账单第 {numbers} 行无法读取，未计入微信一侧的合计；涉及的订单列在差异中",
        f"Line {numbers} of the bill cannot be read and is not in WeChat's sums; the orders it is about are among the "
        "differences",
    )
    return [cell(text.to(screen.lang))]


def _shorten_ids(differences: Iterable[str]) -> dict[str, str]:
    """Return the beginning of each id, as long as needed to distinguish them."""
    ids = list(differences)
    length = next(n for n in range(SHORTEST, 33) if len({one[:n] for one in ids}) == len(ids))
    return {one: one[:length] for one in ids}


def _table(screen: Screen, differences: Mapping[str, Difference], now: datetime) -> RenderableType:
    columns = (
        Bilingual("编号", "Id"),
        KIND,
        Bilingual("状态", "Status"),
        Bilingual("已持续", "Age"),
        NUMBER,
        Bilingual("微信支付订单号 / 退款单号", "transaction_id / out_refund_no"),
        OURS,
        WECHAT,
        Bilingual("可执行操作", "Actions"),
    )
    title = Bilingual(f"差异 {len(differences)} 条", f"Differences: {len(differences)}")
    if len(differences) > SHOWN:
        title = Bilingual(
            f"{title.zh}，前 {SHOWN} 条（全部见 --json）", f"{title.en}, the first {SHOWN} (--json has all)"
        )
    short = _shorten_ids(differences)
    shown = list(differences.values())[:SHOWN]
    return screen.table(title, columns, [(short[one["id"]], *_row(screen, one, now)) for one in shown])


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
        ", ".join(screen.translate(action, ACTION_LABELS) for action in one["actions"]),
    )


def _outcomes(screen: Screen, steps: Sequence[Step], repairs: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Return a table with the result of each step; nothing without steps."""
    if not repairs:
        return []
    columns = (KIND, NUMBER, Bilingual("操作", "Did"), Bilingual("结果", "Result"), Bilingual("原因", "Why"))
    rows = [
        (
            KINDS[step.difference["kind"]].to(screen.lang),
            _numbers(step.difference)["out_trade_no"],
            ACTION_LABELS[done["action"]].to(screen.lang),
            STATUSES[done["status"]].to(screen.lang),
            done["reason"],
        )
        for step, done in zip(steps, repairs, strict=False)
    ]
    return [screen.table(Bilingual("处理", "Repairs"), columns, rows)]


def _numbers(one: Difference) -> Mapping[str, Any]:
    """Return the side that has the numbers: WeChat Pay's if it has one, otherwise ours."""
    numbers: Mapping[str, Any] = one["wechat"] or one["ours"]
    return numbers


def _side(entry: Mapping[str, Any] | None) -> str:
    return f"{money(entry['amount'])} {entry.get('state', '')}".strip() if entry else "–"


def _sum(name: str, value: int | None) -> str:
    return "" if value is None else str(value) if name in COUNTS else money(value)
