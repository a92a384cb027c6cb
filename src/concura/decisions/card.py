"""A decision as a CDS Hooks 2.0 card.

Fields of the response's `cards[]`: `summary` (below 140 characters), `indicator` (info, warning,
critical), `source.label`, `detail` (Markdown), `uuid`. No field is ever null or empty.

This module does NOT serve the hook, and does NOT suggest orders: the next step is text.
"""

from concura.decisions.decision import Decision, Verdict
from concura.decisions.explain import Explanation
from concura.types import JsonObject

__all__ = ["SUMMARY_MAX_CHARS", "card"]

SUMMARY_MAX_CHARS = 139  # CDS Hooks 2.0, Card Attributes: "<140 characters"
_INDICATORS = {Verdict.HIGH: "critical", Verdict.CANNOT_SAY: "warning", Verdict.LOW: "info"}


def card(
    decision: Decision, explanation: Explanation, *, uuid: str = "", url: str = ""
) -> JsonObject:
    """Write the card.

    Args:
        decision: gives the indicator.
        explanation: the decision in words.
        uuid: identity of the card, for feedback; left out if empty.
        url: where the source is described; left out if empty.

    Returns:
        One member of `cards`.
    """
    source = {"label": "Concura", **({"url": url} if url else {})}
    return {
        **({"uuid": uuid} if uuid else {}),
        "summary": explanation.line[:SUMMARY_MAX_CHARS],
        "indicator": _INDICATORS[decision.verdict],
        "source": source,
        "detail": _detail(explanation),
    }


def _detail(explanation: Explanation) -> str:
    """Markdown: a hospital's label is data, so its own marks are escaped."""
    reasons = "\n".join(f"- {_plain(reason)}" for reason in explanation.reasons)
    paragraphs = [
        _plain(explanation.risk),
        reasons,
        *(_plain(doubt) for doubt in explanation.doubts),
        _plain(explanation.step),
        _plain(explanation.version),
        f"**{_plain(explanation.notice)}**",
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _plain(text: str) -> str:
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>#" else mark for mark in text)
