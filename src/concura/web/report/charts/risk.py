"""The risk on its scale, with the threshold that was set on training patients.

This module does NOT decide.
"""

from concura.web.report.charts.axes import Plot, hatch, label, line, picture
from concura.web.report.markup import Html, join, tag
from concura.web.report.story import Decision
from concura.web.report.wording import Reader

__all__ = ["risk"]

_TICK = 28  # units that a number on the scale takes
_PLOT = Plot(left=14, right=386, top=40, bottom=58)


def risk(decision: Decision, reader: Reader) -> Html:
    """Draw the scale from 0 to 100 %, the threshold, and the patient's risk if there is one."""
    probability, threshold = decision["probability"], decision["threshold"]
    at = _PLOT.x(threshold)
    spoken = reader.say(
        "risk.desc",
        risk=reader.say("risk.none") if probability is None else reader.percent(probability),
        threshold=reader.percent(threshold),
    )
    height = _PLOT.bottom - _PLOT.top
    ticks = (
        label(
            _PLOT.x(share), _PLOT.bottom + 16, reader.percent(share), anchor=anchor, class_="small"
        )
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
        # The threshold's line would strike a number out.
        if abs(_PLOT.x(share) - at) > _TICK
    )
    return picture(
        "risk",
        reader.say("risk.title"),
        spoken,
        hatch(_PLOT.left, _PLOT.top, at - _PLOT.left, height, "zone-low"),
        hatch(at, _PLOT.top, _PLOT.right - at, height, "zone-high"),
        *ticks,
        line([(at, _PLOT.top - 4), (at, _PLOT.bottom + 24)], "threshold"),
        _words(at, _PLOT.bottom + 38, reader.say("risk.threshold", at=reader.percent(threshold))),
        _pointer(probability, reader),
        height=102,
    )


def _pointer(probability: float | None, reader: Reader) -> Html:
    if probability is None:
        return join()
    x = _PLOT.x(probability)
    return join(
        tag("path", d=f"M{x:.1f} {_PLOT.top + 2}l-8 -12h16Z", class_="pointer"),
        line([(x, _PLOT.top), (x, _PLOT.bottom)], "needle"),
        _words(
            x, _PLOT.top - 16, reader.say("risk.here", risk=reader.percent(probability)), "strong"
        ),
    )


def _words(x: float, y: float, words: str, class_: str = "small") -> Html:
    # Near a border the words grow inwards, or they would be cut off.
    anchor = "start" if x < 100 else "end" if x > 300 else "middle"
    inward = {"start": min(x, 14.0) if x < 14 else x - 8, "end": x + 8, "middle": x}[anchor]
    return label(min(inward, _PLOT.right), y, words, anchor=anchor, class_=class_)
