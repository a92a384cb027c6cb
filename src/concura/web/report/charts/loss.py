"""The loss by round: whether learning settled.

This module does NOT judge that; the story says whether it converged.
"""

from math import ceil, floor

from concura.web.report.charts.axes import Plot, figure, grid, label, line, picture
from concura.web.report.markup import Html, tag
from concura.web.report.story import Learning
from concura.web.report.wording import Reader

__all__ = ["loss"]

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1e4)


def loss(learning: Learning, reader: Reader) -> Html:
    """Draw the loss after each round that has one."""
    title = reader.say("loss.title")
    shown = [
        (number, value) for number, value in enumerate(learning["loss"], 1) if value is not None
    ]
    if not shown:
        return figure(title, tag("p", reader.hidden()))
    low, high = _limits([value for _, value in shown])
    rounds = max(len(learning["loss"]), 2)
    plot = Plot(bottom=232, x_range=(1, rounds), y_range=(low, high))
    steps = [low + (high - low) * part / 4 for part in range(5)]
    places = [(plot.x(number), plot.y(value)) for number, value in shown]
    first, last = shown[0][1], shown[-1][1]
    drawing = picture(
        "loss",
        title,
        reader.say("loss.desc", first=f"{first:.3f}", last=f"{last:.3f}", rounds=len(shown)),
        grid(
            plot,
            [(number, str(number)) for number in _rounds(rounds)],
            [(value, f"{value:.3f}" if high - low < 0.1 else f"{value:.2f}") for value in steps],
            names=(reader.say("loss.x"), reader.say("loss.y")),
        ),
        line(places, "federated"),
        *(tag("circle", cx=x, cy=y, r=2.6, class_="dot federated") for x, y in places),
        label(places[-1][0], places[-1][1] - 10, f"{last:.3f}", anchor="end", class_="value"),
        height=274,
    )
    return figure(title, drawing)


def _limits(values: list[float]) -> tuple[float, float]:
    # The finest step whose four intervals hold all values, so that the ticks are round numbers.
    for step in _STEPS:
        low = floor(min(values) / step) * step
        if low + 4 * step >= max(values):
            return low, low + 4 * step
    return min(values), max(values)


def _rounds(rounds: int) -> list[int]:
    step = max(1, ceil((rounds - 1) / 7))
    return list(range(1, rounds + 1, step))
