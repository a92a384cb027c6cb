"""The strongest reasons as bars: to the right what raises the risk, to the left what lowers it.

This module does NOT compute contributions.
"""

from concura.web.report.charts.axes import Plot, hatch, label, line, picture, shorten, span
from concura.web.report.markup import Html, join
from concura.web.report.story import Reason
from concura.web.report.wording import Reader

__all__ = ["reasons"]

_ROW = 46  # units from one reason to the next


def reasons(given: list[Reason], reader: Reader) -> Html:
    """Draw one bar per reason; its words stand above it."""
    bottom = 4 + len(given) * _ROW
    plot = _plot(given, bottom)
    spoken = "; ".join(f"{_words(reason, reader)}: {_effect(reason, reader)}" for reason in given)
    return picture(
        "reasons",
        reader.say("reasons.title"),
        spoken,
        *(_row(plot, 4 + number * _ROW, reason, reader) for number, reason in enumerate(given)),
        height=bottom + 2,
    )


def _plot(given: list[Reason], bottom: float) -> Plot:
    numbers = [reason["contribution"] for reason in given]
    low, high = min(*numbers, 0.0), max(*numbers, 0.0)
    # Room for the number beyond the end of a bar.
    left, right = (60 if low < 0 else 4), (340 if high > 0 else 396)
    return Plot(
        left=left, right=right, bottom=bottom, x_range=(low, high if high > low else low + 1)
    )


def _row(plot: Plot, top: float, reason: Reason, reader: Reader) -> Html:
    zero, end = plot.x(0), plot.x(reason["contribution"])
    rises = reason["contribution"] >= 0
    effect = _effect(reason, reader)
    return join(
        label(4, top + 13, shorten(_words(reason, reader), 392 - span(effect)), class_="strong"),
        label(396, top + 13, effect, anchor="end", class_="small"),
        line([(zero, top + 18), (zero, top + 36)], "axis"),
        hatch(min(zero, end), top + 20, abs(end - zero), 14, "rises" if rises else "falls"),
        label(
            end + (6 if rises else -6),
            top + 31,
            f"{reason['contribution']:+.2f}".replace("-", "−"),
            anchor="start" if rises else "end",
            class_="value",
        ),
    )


def _words(reason: Reason, reader: Reader) -> str:
    value = reader.text(reason["value"])
    unit = reader.unit(reason["unit"])
    return reader.say(
        "reasons.words", label=reader.text(reason["label"]), value=f"{value} {unit}".strip()
    )


def _effect(reason: Reason, reader: Reader) -> str:
    return reader.say("reasons.up" if reason["direction"] == "up" else "reasons.down")
