"""ROC curves: of the federated model, the pooled one, and each hospital's own.

This module does NOT compute the curves.
"""

from concura.web.report.charts.axes import Plot, figure, grid, legend, line, picture
from concura.web.report.markup import Html, tag
from concura.web.report.story import Metrics, Points
from concura.web.report.wording import Reader

__all__ = ["roc"]

_PLOT = Plot()


def roc(metrics: Metrics, reader: Reader) -> Html:
    """Draw the curves that are there; say so if the federated one may not be shown."""
    title, curves, auc = reader.say("roc.title"), metrics["roc"], metrics["auc"]
    if not curves["federated"]:
        return figure(title, tag("p", reader.hidden()))
    ticks = [(share, reader.percent(share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    own = [_curve(points, "local") for points in curves["local"].values() if points]
    drawing = picture(
        "roc",
        title,
        reader.say("roc.desc", auc=_plain(auc["federated"], reader)),
        grid(_PLOT, ticks, ticks, names=(reader.say("roc.x"), reader.say("roc.y"))),
        line([(_PLOT.left, _PLOT.bottom), (_PLOT.right, _PLOT.top)], "chance"),
        *own,
        _curve(curves["pooled"], "pooled"),
        _curve(curves["federated"], "federated"),
        height=324,
    )
    items = [("line", "federated", _named("federated", auc["federated"], reader))]
    if curves["pooled"]:
        items.append(("line", "pooled", _named("pooled", auc["pooled"], reader)))
    if own:
        items.append(("line", "local", reader.say("model.local")))
    items.append(("line", "chance", reader.say("roc.chance")))
    return figure(title, drawing, legend(items))


def _curve(points: Points, mark: str) -> Html:
    return line([(_PLOT.x(x), _PLOT.y(y)) for x, y in points], mark)


def _named(model: str, auc: float | None, reader: Reader) -> str:
    return f"{reader.say(f'model.{model}')} · AUC {_plain(auc, reader)}"


def _plain(auc: float | None, reader: Reader) -> str:
    return reader.say("hidden") if auc is None else f"{auc:.3f}"
