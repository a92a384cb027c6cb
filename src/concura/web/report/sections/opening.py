"""The top of the page: what this is, what it is not, and the whole in five numbers.

This module does NOT decide what is important; it counts.
"""

from concura.web.report.markup import Html, tag
from concura.web.report.story import Story
from concura.web.report.wording import Reader

__all__ = ["opening"]


def opening(story: Story, reader: Reader) -> Html:
    """Write the masthead."""
    hospitals = len(story["patients"])
    return tag(
        "header",
        tag(
            "p",
            tag("span", "Concura", class_="mark"),
            tag("span", "康互", class_="mark", lang="zh-Hans"),
            tag("span", reader.say("opening.kind"), class_="kind"),
            class_="brand",
        ),
        tag("h1", reader.say("opening.title", hospitals=hospitals)),
        tag("p", reader.say("opening.lede"), class_="lede"),
        tag("p", reader.say("notice"), class_="notice", role="note"),
        _numbers(story, reader),
        class_="opening",
    )


def _numbers(story: Story, reader: Reader) -> Html:
    auc = story["metrics"]["auc"]["federated"]
    items: list[tuple[object, str]] = [
        (len(story["patients"]), reader.say("number.hospitals")),
        (reader.count(sum(story["patients"].values())), reader.say("number.patients")),
        (story["learning"]["rounds"], reader.say("number.rounds")),
        (reader.count(story["ledger"]["entries"]), reader.say("number.entries")),
        (reader.number(auc), reader.say("number.auc")),
    ]
    cells = (tag("div", tag("dt", words), tag("dd", value)) for value, words in items)
    return tag("dl", *cells, class_="numbers")
