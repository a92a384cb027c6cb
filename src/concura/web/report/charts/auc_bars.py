"""Bars: how well each hospital's own model ranks patients, beside the model learned together.

This module does NOT compute an AUC; one that may not be shown has words in place of a bar.
"""

from concura.web.report.charts.axes import Plot, figure, hatch, label, line, picture, shorten
from concura.web.report.markup import Html, join
from concura.web.report.story import Auc
from concura.web.report.wording import Reader

__all__ = ["auc_bars"]

_ROW = 38  # units from one bar to the next
_NAME_MAX = 336  # units; the rest of the line is the number's
_BAR = 12  # thickness of a bar, in units


def auc_bars(auc: Auc, reader: Reader) -> Html:
    """Draw one bar per model from 0.5, which is chance, to 1."""
    rows = [
        (reader.say("model.federated"), auc["federated"], "federated"),
        (reader.say("model.pooled"), auc["pooled"], "pooled"),
        *(
            (reader.say("model.own", hospital=reader.hospital(member)), value, "local")
            for member, value in auc["local"].items()
        ),
    ]
    bottom = 8 + len(rows) * _ROW
    plot = Plot(left=4, right=392, top=8, bottom=bottom, x_range=(0.5, 1))
    title = reader.say("bars.title")
    spoken = "; ".join(f"{name}: {_plain(value, reader)}" for name, value, _ in rows)
    drawing = picture(
        "bars",
        title,
        spoken,
        *(_grid_line(plot, at) for at in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        *_mark(plot, auc["federated"]),
        *(_row(plot, 8 + number * _ROW, row, reader) for number, row in enumerate(rows)),
        height=bottom + 24,
    )
    return figure(title, drawing)


def _row(plot: Plot, top: float, row: tuple[str, float | None, str], reader: Reader) -> Html:
    name, value, mark = row
    class_ = "strong" if mark == "federated" else None
    words = label(plot.left, top + 12, shorten(name, _NAME_MAX), class_=class_)
    if value is None:
        return join(words, label(plot.left, top + 28, reader.say("hidden"), class_="hidden"))
    return join(
        words,
        label(
            plot.right,
            top + 12,
            f"{value:.3f}",
            anchor="end",
            class_=f"value {class_ or ''}".strip(),
        ),
        hatch(plot.left, top + 18, max(plot.x(value) - plot.left, 1), _BAR, mark),
    )


def _grid_line(plot: Plot, at: float) -> Html:
    x = plot.x(at)
    return join(
        line([(x, plot.top), (x, plot.bottom)], "grid"),
        label(x, plot.bottom + 16, f"{at:.1f}", anchor=_anchor(at)),
    )


def _anchor(at: float) -> str:
    # The words at both ends stay inside the picture.
    return "start" if at <= 0.5 else "end" if at >= 1 else "middle"


def _mark(plot: Plot, federated: float | None) -> list[Html]:
    if federated is None:
        return []
    x = plot.x(federated)
    return [line([(x, plot.top + 18), (x, plot.bottom)], "mark")]


def _plain(value: float | None, reader: Reader) -> str:
    return reader.say("hidden") if value is None else f"{value:.3f}"
