"""Sensitivity, specificity and positive predictive value with their 95 % intervals.

This module does NOT compute intervals.
"""

from concura.web.report.charts.axes import Plot, figure, label, line, picture
from concura.web.report.markup import Html, join, tag
from concura.web.report.story import Interval, Operating
from concura.web.report.wording import Reader

__all__ = ["intervals"]

_ROW = 48  # units from one measure to the next


def intervals(operating: Operating, reader: Reader) -> Html:
    """Draw a dot and its interval per measure; one that may not be shown has words instead."""
    rows: list[tuple[str, Interval | None]] = [
        (reader.say("sensitivity"), operating["sensitivity"]),
        (reader.say("specificity"), operating["specificity"]),
        (reader.say("ppv"), operating["ppv"]),
    ]
    bottom = 4 + len(rows) * _ROW
    plot = Plot(left=12, right=384, top=4, bottom=bottom)
    title = reader.say("intervals.title", threshold=reader.percent(operating["threshold"]))
    spoken = "; ".join(f"{name}: {_plain(value, reader)}" for name, value in rows)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    drawing = picture(
        "intervals",
        title,
        spoken,
        *(line([(plot.x(at), 4), (plot.x(at), bottom)], "grid") for at in ticks),
        *(
            label(plot.x(at), bottom + 17, reader.percent(at), anchor="middle", class_="small")
            for at in ticks
        ),
        *(_row(plot, 4 + number * _ROW, row, reader) for number, row in enumerate(rows)),
        height=bottom + 24,
    )
    return figure(title, drawing)


def _row(plot: Plot, top: float, row: tuple[str, Interval | None], reader: Reader) -> Html:
    name, value = row
    words = label(plot.left, top + 16, name, class_="strong")
    if value is None:
        return join(words, label(plot.left, top + 34, reader.say("hidden"), class_="hidden"))
    low, high, y = plot.x(value["low"]), plot.x(value["high"]), top + 30
    return join(
        words,
        label(plot.right, top + 16, reader.interval(value), anchor="end", class_="value"),
        line([(low, y), (high, y)], "whisker"),
        line([(low, y - 4), (low, y + 4)], "whisker"),
        line([(high, y - 4), (high, y + 4)], "whisker"),
        tag("circle", cx=plot.x(value["value"]), cy=y, r=5, class_="dot federated"),
    )


def _plain(value: Interval | None, reader: Reader) -> str:
    return reader.interval(value) if value else reader.say("hidden")
