"""What goes into the contract and what comes out of it: calls, questions and outcomes.

A contract function is a plain generator: it yields `Get` or `Range`, is sent the value, and returns
an `Outcome`. The embedded chain drives it synchronously; another shell may await between the steps.

This module does NOT verify signatures: the shell hands over a verified caller.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from concura.types import EntryId, JsonObject, MemberId, TimeMs

__all__ = ["Call", "Get", "Outcome", "Question", "Range", "Steps", "refuse"]


@dataclass(frozen=True, slots=True)
class Call:
    """One entry whose signature the shell has verified.

    Attributes:
        id: SHA-256 of the unsigned entry.
        type: which rule, such as `consent.grant`.
        author: the member whose key signed.
        time_ms: the author's time; decides expiry only, never order.
        body: what the entry says; MUST NOT be changed by a rule.
    """

    id: EntryId
    type: str
    author: MemberId
    time_ms: TimeMs
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Get:
    """Ask for the value under one key; the answer is the value or None."""

    key: str


@dataclass(frozen=True, slots=True)
class Range:
    """Ask for all pairs with `start <= key < end`; the answer is a list in key order."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call does to the state.

    Attributes:
        writes: new values by key; None removes the key. Empty when refused.
        event: what followers are told, or None.
        refusal: the stable code of the rule that says no, or None when accepted.
    """

    writes: dict[str, JsonObject | None] = field(default_factory=dict)
    event: JsonObject | None = None
    refusal: str | None = None


Question = Get | Range
Steps = Generator[Question, Any, Outcome]


def refuse(code: str) -> Outcome:
    """Say no by a rule's code.

    Example:
        >>> refuse("consent.not-active").refusal
        'consent.not-active'
    """
    return Outcome(refusal=code)
