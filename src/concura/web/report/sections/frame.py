"""What the sections share: heading with its sentence, lists of facts, checks, tables.

This module does NOT know the story.
"""

from collections.abc import Iterable, Sequence

from concura.web.report.markup import Html, join, tag
from concura.web.report.wording import Reader

__all__ = ["checks", "facts", "pair", "section", "table"]


def section(name: str, reader: Reader, *body: object) -> Html:
    """Write a section: `NAME.heading` and `NAME.lede` of the catalogue stand at its side."""
    heading = tag("h2", reader.say(f"{name}.heading"), id=name)
    lede = tag("p", reader.say(f"{name}.lede"), class_="lede")
    side = tag("header", heading, lede)
    return tag("section", side, tag("div", *body, class_="body"), aria_labelledby=name)


def pair(*parts: object) -> Html:
    """Put parts side by side where there is room."""
    return tag("div", *parts, class_="pair")


def facts(items: Iterable[tuple[str, object]]) -> Html:
    """Write names and values as a list."""
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in items)
    return tag("dl", *rows, class_="facts")


def checks(items: Iterable[tuple[str, bool]], reader: Reader) -> Html:
    """Write what was checked: a sign, a word and the sentence; never a colour alone."""
    rows = (
        tag(
            "li",
            tag("span", "✓" if good else "✗", class_="tick", aria_hidden="true"),
            tag("span", words),
            tag("strong", reader.say("check.good" if good else "check.bad")),
            class_="good" if good else "bad",
        )
        for words, good in items
    )
    return tag("ul", *rows, class_="checks")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Write a table; the first cell of a row names it, a short last row spans the rest.

    Args:
        caption: what the table holds.
        head: names of the columns.
        rows: cells; `Html` is taken as it is.
    """
    first = tag("tr", *(tag("th", name, scope="col") for name in head))
    body = join(*(_row(row, len(head)) for row in rows))
    return tag("table", tag("caption", caption), tag("thead", first), tag("tbody", body))


def _row(row: Sequence[object], width: int) -> Html:
    name, *cells = row
    span = width - len(row) + 1
    written = [tag("td", cell) for cell in cells[:-1]]
    written.append(tag("td", cells[-1], colspan=span if span > 1 else None))
    return tag("tr", tag("th", name, scope="row"), *written)
