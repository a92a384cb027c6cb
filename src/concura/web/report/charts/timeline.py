"""The ledger as a timeline: one column per block, its entries stacked by what they are about.

Long ledgers are drawn with several blocks to a column, which the caption then says.

This module does NOT verify anything.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil

from concura.web.report.charts.axes import Plot, figure, hatch, label, legend, line, picture
from concura.web.report.markup import Html, join, tag
from concura.web.report.story import Block, Ledger
from concura.web.report.wording import Reader

__all__ = ["timeline"]

_COLUMNS_MAX = 40  # narrower ones could not be told apart on a telephone
_KINDS = {
    "genesis": "members", "founder": "members", "member": "members",
    "consent": "consents", "transfer": "transfers",
    "study": "rounds", "round": "rounds", "model": "rounds",
    "access": "logs",
}  # fmt: skip
_ORDER = ("members", "consents", "transfers", "rounds", "logs", "others")


def timeline(ledger: Ledger, reader: Reader) -> Html:
    """Draw the blocks, and which of them are final."""
    title, blocks = reader.say("timeline.title"), ledger["blocks"]
    if not blocks:
        return figure(title, tag("p", reader.say("timeline.empty")))
    together = ceil(len(blocks) / _COLUMNS_MAX)
    columns = [blocks[at : at + together] for at in range(0, len(blocks), together)]
    counts = [_count(column) for column in columns]
    tallest = max(1, *(sum(count.values()) for count in counts))
    plot = Plot(left=4, right=396, top=20, bottom=190, x_range=(0, max(len(columns), 12)),
                y_range=(0, tallest))  # fmt: skip
    totals = sum(counts, Counter[str]())
    drawing = picture(
        "timeline",
        title,
        reader.say("timeline.desc", blocks=len(blocks), entries=ledger["entries"]),
        *(_column(plot, number, count) for number, count in enumerate(counts)),
        line([(plot.left, plot.bottom), (plot.right, plot.bottom)], "axis"),
        *_heights(plot, columns),
        *_final(plot, columns, ledger, reader),
        height=252,
    )
    items = [
        ("area", f"k-{kind}", f"{reader.say(f'kind.{kind}')} · {totals[kind]:,}")
        for kind in _ORDER
        if totals[kind]
    ]
    note = reader.say("timeline.together", blocks=together) if together > 1 else None
    notes = [tag("p", note, class_="note")] if note else []
    return figure(title, drawing, legend(items), *notes)


def _count(blocks: Sequence[Block]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for block in blocks:
        for kind, number in block["types"].items():
            counted[_KINDS.get(kind.partition(".")[0], "others")] += number
        # A type may be left out of the story; its entries are still drawn.
        rest = block["entries"] - sum(block["types"].values())
        if rest > 0:
            counted["others"] += rest
    return counted


def _column(plot: Plot, number: int, count: Counter[str]) -> Html:
    left, right = plot.x(number) + 1, plot.x(number + 1) - 1
    parts, below = [], 0
    for kind in _ORDER:
        if count[kind]:
            low, high = plot.y(below), plot.y(below + count[kind])
            parts.append(hatch(left, high, right - left, low - high, f"k-{kind}"))
            below += count[kind]
    if below and right - left > 9:
        middle = (left + right) / 2
        parts.append(label(middle, plot.y(below) - 5, str(below), anchor="middle", class_="small"))
    return join(*parts)


def _heights(plot: Plot, columns: Sequence[Sequence[Block]]) -> list[Html]:
    step = max(1, ceil(len(columns) / 10))
    return [
        label((plot.x(number) + plot.x(number + 1)) / 2, plot.bottom + 15,
              str(columns[number][0]["height"]), anchor="middle", class_="small")
        for number in range(0, len(columns), step)
    ]  # fmt: skip


def _final(
    plot: Plot, columns: Sequence[Sequence[Block]], ledger: Ledger, reader: Reader
) -> list[Html]:
    covered = sum(1 for column in columns if column[-1]["height"] <= ledger["final"])
    if not covered:
        return []
    y, left, right = plot.bottom + 27, plot.left + 1, plot.x(covered) - 1
    words = reader.say("timeline.final", height=ledger["final"], quorum=ledger["quorum"],
                       members=ledger["members"])  # fmt: skip
    return [
        line([(left, y - 4), (left, y), (right, y), (right, y - 4)], "bracket"),
        label(left, y + 18, words, class_="small"),
    ]
