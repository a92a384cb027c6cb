"""The sealed record on its way: one hospital, the hub that cannot open it, the other hospital.

This module does NOT judge: whether the hub could open its copy is what the story says.
"""

from concura.web.report.charts.axes import figure, label, line, picture, shorten, span
from concura.web.report.markup import Html, join, tag
from concura.web.report.story import Transfer
from concura.web.report.wording import Reader

__all__ = ["passage"]

_NAME_MAX = 132  # units: a third of the picture


def passage(transfer: Transfer, reader: Reader) -> Html:
    """Draw who held the record, and who could open it."""
    sender, receiver = reader.hospital(transfer["from"]), reader.hospital(transfer["to"])
    opened = transfer["hub_could_open"]
    title = reader.say("passage.title")
    key = "passage.hub.opened" if opened else "passage.hub.blind"
    drawing = picture(
        "passage",
        title,
        reader.say("passage.desc", sender=sender, receiver=receiver),
        _arrow(101, 151),
        _arrow(251, 301),
        _station(62, sender, reader.say("passage.seals"), _house(62)),
        _station(200, reader.say("passage.hub"), reader.say(key), _cloud(opened=opened)),
        _station(338, receiver, reader.say("passage.opens"), _house(338)),
        _envelope(124),
        _envelope(276),
        line([(62, 142), (62, 152), (338, 152), (338, 142)], "bracket"),
        line([(200, 142), (200, 152)], "bracket"),
        label(200, 170, reader.say("passage.ledger"), anchor="middle", class_="small"),
        height=178,
    )
    return figure(title, drawing)


def _station(x: float, name: str, does: str, drawing: Html) -> Html:
    rows = _lines(name)
    return tag(
        "g",
        drawing,
        *(
            label(x, 103 + 15 * number, row, anchor="middle", class_="strong")
            for number, row in enumerate(rows)
        ),
        label(x, 103 + 15 * len(rows), does, anchor="middle", class_="small"),
    )


def _lines(name: str) -> list[str]:
    # SVG breaks no lines: a long name takes two, at a space if it has one, and then an ellipsis.
    if span(name) <= _NAME_MAX:
        return [name]
    first = ""
    for word in name.split(" "):
        if span(f"{first} {word}") > _NAME_MAX:
            break
        first = f"{first} {word}".strip()
    first = first or shorten(name, _NAME_MAX).removesuffix("…")
    return [first, shorten(name[len(first) :].strip(), _NAME_MAX)]


def _house(x: float) -> Html:
    outline = f"M{x - 28} 82V46L{x} 26L{x + 28} 46V82Z"
    cross = f"M{x} 50V70M{x - 10} 60H{x + 10}"
    return join(tag("path", d=outline, class_="shape"), tag("path", d=cross, class_="stroke"))


def _cloud(*, opened: bool) -> Html:
    outline = "M172 82a18 18 0 0 1 0-36a30 30 0 0 1 56-4a20 20 0 0 1 2 40Z"
    # An eye, crossed out as long as the hub is blind.
    eye = "M184 62q16-14 32 0q-16 14-32 0Z"
    strike = None if opened else tag("path", d="M186 74L214 50", class_="stroke")
    return join(
        tag("path", d=outline, class_="shape hub"),
        tag("path", d=eye, class_="stroke"),
        tag("circle", cx=200, cy=62, r=3.5, class_="spot"),
        strike,
    )


def _envelope(x: float) -> Html:
    left, right = x - 15, x + 15
    return join(
        tag("rect", x=left, y=42, width=30, height=21, rx=2, class_="shape letter"),
        tag("path", d=f"M{left} 44L{x} 55L{right} 44", class_="stroke thin"),
        tag("circle", cx=x, cy=56, r=4, class_="seal"),
    )


def _arrow(start: float, end: float) -> Html:
    return join(
        line([(start, 76), (end - 2, 76)], "bracket"),
        line([(end - 8, 71), (end - 2, 76), (end - 8, 81)], "bracket"),
    )
