"""Markup in which everything is escaped unless it was made here.

`tag` takes children and attributes: a child that is not `Html` is escaped, and so is every
attribute, so that a hospital named `<script>` stays text wherever it appears.

This module does NOT know HTML's content rules; names of tags and attributes are the caller's own
literals, never data.
"""

from html import escape

__all__ = ["Html", "join", "tag"]

_VOID = frozenset({"br", "hr", "meta"})


class Html(str):
    """Text that is markup already. MUST NOT be made from data, only from literals and `tag`."""

    __slots__ = ()


def join(*children: object) -> Html:
    """Put children one after the other, escaped unless they are `Html`; None is left out.

    Example:
        >>> join("a < b", Html("<br>"))
        'a &lt; b<br>'
    """
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(str(child))
            for child in children
            if child is not None
        )
    )


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Write one element.

    Args:
        name: the element's name.
        *children: what stands inside; escaped unless `Html`.
        **attributes: `class_` is written as class, other underscores as hyphens; None is left out,
            floats are rounded to one tenth, which is finer than a screen shows.

    Returns:
        The element.

    Example:
        >>> tag("p", "1 < 2", class_="note")
        '<p class="note">1 &lt; 2</p>'
    """
    written = "".join(
        f' {_attribute(key)}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def _attribute(key: str) -> str:
    # viewBox is the one attribute with a capital; Python's keywords take a trailing underscore.
    return "viewBox" if key == "view_box" else key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
