"""What the pictures share: the frame, the scales, the legend, and a description for every picture.

Pictures are 400 units wide, so that their words keep a readable size on a telephone as well as in
two columns on a desk. Lines differ by dashes and areas by hatching, never by colour alone.

This module does NOT know what is drawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from concura.web.report.markup import Html, join, tag

__all__ = [
    "WIDTH",
    "Plot",
    "figure",
    "grid",
    "hatch",
    "label",
    "legend",
    "line",
    "picture",
    "shorten",
    "span",
]

WIDTH = 400  # units of every picture
_WIDE = 0x2E80  # from here on, characters are as wide as they are high


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle of the picture, and the values that its sides stand for.

    Args:
        left: left side, in units of the picture.
        top: upper side, in units of the picture.
        right: right side, in units of the picture.
        bottom: lower side, in units of the picture.
        x_range: values at left and right.
        y_range: values at bottom and top.
    """

    left: float = 44
    top: float = 32
    right: float = 388
    bottom: float = 282
    x_range: tuple[float, float] = (0, 1)
    y_range: tuple[float, float] = (0, 1)

    def x(self, value: float) -> float:
        """Place a value; one beyond the range is drawn at its border."""
        return self.left + _share(value, self.x_range) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Place a value; one beyond the range is drawn at its border."""
        return self.bottom - _share(value, self.y_range) * (self.bottom - self.top)


def picture(name: str, title: str, description: str, *shapes: object, height: int) -> Html:
    """Wrap shapes into an SVG with a title and a description for those who do not see it.

    Args:
        name: unique in the page.
        title: what it shows.
        description: what there is to see.
        *shapes: the drawing.
        height: in units.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        *shapes,
        view_box=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        class_="picture",
    )


def figure(title: str, drawing: Html, *notes: object) -> Html:
    """Put a heading over a picture, and a legend or a sentence under it."""
    return tag("figure", tag("figcaption", title), drawing, *notes)


def legend(items: Iterable[tuple[str, str, str]]) -> Html:
    """Write a legend.

    Args:
        items: (kind, class, words); kind is `line` or `area`.
    """
    return tag(
        "ul",
        *(tag("li", _swatch(kind, mark), words) for kind, mark, words in items),
        class_="legend",
    )


def label(
    x: float, y: float, words: str, *, anchor: str = "start", class_: str | None = None
) -> Html:
    """Write words at a place; `anchor` is start, middle or end."""
    return tag("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def span(words: str) -> float:
    """Estimate how wide words are, in units, at the larger size that a telephone gets."""
    # Nothing is measured here: 7.2 and 13.5 are generous means of common faces.
    return sum(13.5 if ord(letter) >= _WIDE else 7.2 for letter in words)


def shorten(words: str, width: float) -> str:
    """Cut words that are wider than `width` units, and say so by an ellipsis."""
    if span(words) <= width:
        return words
    fits = (end for end in range(len(words), 0, -1) if span(words[:end]) <= width - 13.5)
    return f"{words[: next(fits, 1)].rstrip()}…"


def line(points: Sequence[tuple[float, float]], class_: str) -> Html:
    """Draw a line through points, in units of the picture."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", points=path, class_=class_)


def grid(
    plot: Plot,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    *,
    names: tuple[str, str],
) -> Html:
    """Draw ticks with their words, grid lines, and the names of both axes.

    Args:
        plot: where.
        x_ticks: values and their words along the lower side.
        y_ticks: values and their words along the left side.
        names: of the x axis and of the y axis; the latter stands above it.
    """
    middle = (plot.left + plot.right) / 2
    return join(
        *(line([(plot.left, plot.y(at)), (plot.right, plot.y(at))], "grid") for at, _ in y_ticks),
        *(label(plot.left - 7, plot.y(at) + 4, words, anchor="end") for at, words in y_ticks),
        *(label(plot.x(at), plot.bottom + 20, words, anchor="middle") for at, words in x_ticks),
        line([(plot.left, plot.bottom), (plot.right, plot.bottom)], "axis"),
        label(middle, plot.bottom + 38, names[0], anchor="middle", class_="name"),
        # Above the axis, not along it: upright words are hard to read, in Chinese above all.
        label(2, plot.top - 16, names[1], class_="name"),
    )


def hatch(x: float, y: float, width: float, height: float, mark: str) -> Html:
    """Draw an area with the colour and the hatching of `mark`."""
    place = {"x": x, "y": y, "width": max(width, 0.0), "height": max(height, 0.0)}
    return join(
        tag("rect", **place, class_=mark),
        # The patterns are defined once in the page (style of `.h-…` in the style sheet).
        tag("rect", **place, class_=f"h-{mark}"),
    )


def _swatch(kind: str, mark: str) -> Html:
    if kind == "line":
        shape: Html = line([(0, 6), (26, 6)], mark)
    else:
        shape = hatch(0, 0, 14, 12, mark)
    width = 26 if kind == "line" else 14
    return tag(
        "svg", shape, view_box=f"0 0 {width} 12", width=width, height=12, aria_hidden="true",
        class_="swatch",
    )  # fmt: skip


def _share(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)
