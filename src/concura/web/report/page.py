"""The page: one self-contained HTML file without script, drawn from one story.

It needs nothing from outside and may load nothing: its content security policy
(https://www.w3.org/TR/CSP3/) allows the page's own style sheet by its digest and forbids all else.

This module does NOT compute, read a clock or write files: `render` is a function of its arguments.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any, cast

from concura.web.report import sections
from concura.web.report.markup import Html, join, tag
from concura.web.report.story import Story
from concura.web.report.wording import Reader

__all__ = ["render"]

_PATTERNS = {
    # name -> path in a field of 6 by 6 units
    "rising": "M-1 7L7 -1M-1 1L1 -1M5 7L7 5",
    "falling": "M-1 -1L7 7M5 -1L7 1M-1 5L1 7",
    "level": "M0 3H6",
    "dotted": "M3 3h.01",
}


def render(story: Mapping[str, Any], *, lang: str) -> str:
    """Draw the report.

    Args:
        story: what happened, as `Story` names it.
        lang: `en` or `zh`; anything else reads as English.

    Returns:
        The page as HTML text, for a file in UTF-8.

    Raises:
        KeyError: the story lacks a part.

    Example:
        >>> render(story, lang="zh")[:15]  # doctest: +SKIP
        '<!doctype html>'
    """
    told = cast("Story", story)
    reader = Reader("zh" if lang.lower().startswith("zh") else "en", told["names"], told["labels"])
    main = (
        sections.decided, sections.travelled, sections.collected, sections.shared,
        sections.recorded, sections.learned, sections.checked,
    )  # fmt: skip
    body = tag(
        "body",
        _patterns(),
        sections.opening(told, reader),
        tag("main", *(part(told, reader) for part in main)),
        sections.closing(told, reader),
    )
    page_lang = "zh-Hans" if reader.lang == "zh" else "en"
    return f"<!doctype html>\n{tag('html', _head(told, reader), body, lang=page_lang)}\n"


def _head(story: Story, reader: Reader) -> Html:
    style = files("concura.web.report").joinpath("report.css").read_text("utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = reader.say("opening.title", hospitals=len(story["patients"]))
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", f"Concura 康互 · {title}"),
        # The style sheet is a file of this package, not data: it goes in as it is.
        tag("style", Html(style)),
    )


def _patterns() -> Html:
    # Hatching is defined once; the style sheet refers to it by name.
    made = (
        tag(
            "pattern",
            tag("path", d=path),
            id=f"p-{name}",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
        for name, path in _PATTERNS.items()
    )
    defined = tag("defs", join(*made))
    return tag("svg", defined, width=0, height=0, aria_hidden="true", class_="patterns")
