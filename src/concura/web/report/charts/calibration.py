"""The calibration plot: predicted risk against what happened, by groups of patients.

This module does NOT form the groups.
"""

from concura.web.report.charts.axes import Plot, figure, grid, legend, line, picture
from concura.web.report.markup import Html, join, tag
from concura.web.report.story import Calibration, CalibrationPoint
from concura.web.report.wording import Reader

__all__ = ["calibration"]

_PLOT = Plot()


def calibration(given: Calibration, reader: Reader) -> Html:
    """Draw the groups of the federated model, and of the pooled one if it has any."""
    title, points = reader.say("calibration.title"), given["points"]
    if not points.get("federated"):
        return figure(title, tag("p", reader.hidden()))
    ticks = [(share, reader.percent(share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    slope = given["slope"]["federated"]
    drawing = picture(
        "calibration",
        title,
        reader.say("calibration.desc", groups=len(points["federated"])),
        grid(_PLOT, ticks, ticks, names=(reader.say("calibration.x"), reader.say("calibration.y"))),
        line([(_PLOT.left, _PLOT.bottom), (_PLOT.right, _PLOT.top)], "chance"),
        _groups(points.get("pooled", []), "pooled"),
        _groups(points["federated"], "federated"),
        height=324,
    )
    shown = reader.say("hidden") if slope is None else f"{slope:.2f}"
    items = [
        ("line", "federated", reader.say("calibration.slope", slope=shown)),
        ("line", "chance", reader.say("calibration.perfect")),
    ]
    if points.get("pooled"):
        items.insert(1, ("line", "pooled", reader.say("model.pooled")))
    return figure(title, drawing, legend(items))


def _groups(points: list[CalibrationPoint], mark: str) -> Html:
    places = [(_PLOT.x(point["p"]), _PLOT.y(point["observed"])) for point in points]
    if not places:
        return join()
    largest = max(point["n"] for point in points)
    dots = (
        # The area of a dot follows the size of its group.
        tag("circle", cx=x, cy=y, r=3 + 3 * (point["n"] / largest) ** 0.5, class_=f"dot {mark}")
        for (x, y), point in zip(places, points, strict=True)
    )
    return join(line(places, mark), *dots)
