"""How good the model is on patients that no model had seen.

This module does NOT compute metrics; what rests on too few cases is not shown.
"""

from collections.abc import Sequence
from typing import Literal

from concura.web.report.charts import auc_bars, calibration, intervals, roc
from concura.web.report.markup import Html, tag
from concura.web.report.sections.frame import pair, section, table
from concura.web.report.story import Metrics, Story
from concura.web.report.wording import Reader

__all__ = ["checked"]

_TOGETHER: tuple[Literal["federated", "pooled"], ...] = ("federated", "pooled")


def checked(story: Story, reader: Reader) -> Html:
    """Write four pictures and the table of all numbers."""
    metrics = story["metrics"]
    return section(
        "checked",
        reader,
        tag("p", _patients(metrics, reader), class_="source"),
        pair(roc(metrics, reader), calibration(metrics["calibration"], reader)),
        pair(auc_bars(metrics["auc"], reader), intervals(metrics["operating"], reader)),
        _numbers(metrics, reader),
        tag("p", reader.say("checked.note"), class_="note"),
    )


def _patients(metrics: Metrics, reader: Reader) -> str:
    if metrics["events"] is None:
        return reader.say("checked.patients.few", held_out=metrics["held_out"])
    return reader.say("checked.patients", held_out=metrics["held_out"], events=metrics["events"])


def _numbers(metrics: Metrics, reader: Reader) -> Html:
    head = ["", *(reader.say(f"checked.{name}") for name in ("auc", "within", "brier", "slope"))]
    slope, auc, brier = metrics["calibration"]["slope"], metrics["auc"], metrics["brier"]
    within = auc["within"]
    rows = [
        _row(
            reader.say(f"model.{model}"),
            (auc[model], within[model], brier[model], slope[model]),
            reader,
        )
        for model in _TOGETHER
    ]
    for member, value in auc["local"].items():
        own = (value, "–", brier["local"].get(member), slope["local"].get(member))
        rows.append(_row(reader.say("model.own", hospital=reader.hospital(member)), own, reader))
    return table(reader.say("checked.caption"), head, rows)


def _row(name: str, numbers: Sequence[float | str | None], reader: Reader) -> list[object]:
    # The sentence once, not in every cell, where nothing of a model may be shown.
    if all(number is None or number == "–" for number in numbers):
        return [name, reader.hidden()]
    auc, within, brier, slope = numbers
    return [
        name,
        *(_cell(value, 3, reader) for value in (auc, within, brier)),
        _cell(slope, 2, reader),
    ]


def _cell(value: float | str | None, places: int, reader: Reader) -> str:
    return value if isinstance(value, str) else reader.number(value, places)
