"""The road of the record: six stops, each with its sign, what happened there and how long it took.

The road is a list, so that it reads aloud in order and turns upright on a narrow screen.

This module does NOT add stops: it draws those of the story.
"""

from concura.web.report.markup import Html, tag
from concura.web.report.story import Stage
from concura.web.report.wording import Reader

__all__ = ["road"]

# One sign per stop, drawn in a field of 24 by 24 units.
_SIGNS = {
    "collect": "M4 5h16v5H4ZM4 14h16v5H4ZM7.5 7.5h.01M7.5 16.5h.01M11 7.5h6M11 16.5h6",
    "seal": "M6 11h12v9H6ZM8.5 11V8a3.5 3.5 0 0 1 7 0v3M12 14.5v2.5",
    "record": "M3 9h5v6H3ZM9.5 9h5v6h-5ZM16 9h5v6h-5ZM8 12h1.5M14.5 12H16",
    "share": "M3 8h13M13 5l3 3l-3 3M21 16H8M11 13l-3 3l3 3",
    "learn": (
        "M5 4a2 2 0 1 0 .1 0ZM19 4a2 2 0 1 0 .1 0ZM5 16a2 2 0 1 0 .1 0ZM19 16a2 2 0 1 0 .1 0Z"
        "M12 9a3 3 0 1 0 .1 0ZM6.7 7.3l3 2.7M17.3 7.3l-3 2.7M6.7 16.7l3-2.7"
        "M17.3 16.7l-3-2.7"
    ),
    "decide": "M5 12.5l4.5 4.5L19 7",
}  # fmt: skip


def road(stages: list[Stage], reader: Reader) -> Html:
    """Draw the stops in their order."""
    return tag("ol", *(_stop(stage, reader) for stage in stages), class_="road")


def _stop(stage: Stage, reader: Reader) -> Html:
    seconds = reader.seconds(stage["seconds"])
    return tag(
        "li",
        tag(
            "svg",
            tag("path", d=_SIGNS[stage["stage"]]),
            view_box="0 0 24 24",
            aria_hidden="true",
            class_="sign",
        ),
        tag("h3", reader.say(f"stage.{stage['stage']}")),
        tag("p", reader.text(stage["text"])),
        tag("p", seconds, class_="time") if seconds else None,
    )
