"""What the contract remembers, in memory, and the driver that runs a call against it.

A state may lie over another one (`overlay`): what is written stays in the upper one until
`settle`, so that a refused block leaves no trace. Values are shared and MUST NOT be changed.

This module does NOT verify signatures and does NOT store anything on a disk.
"""

from collections.abc import Mapping
from typing import Any

from concura.ledger.card import MemberCard
from concura.ledger.contract import (
    CONSORTIUM,
    Call,
    Get,
    Outcome,
    Question,
    consent_key,
    member_key,
    model_key,
    study_key,
    transact,
    transfer_key,
    within,
)
from concura.types import ConsentId, JsonObject, MemberId, ModelId, StudyId, TransferId

__all__ = [
    "State",
    "applicants",
    "consent",
    "member",
    "members",
    "model",
    "quorum",
    "studies",
    "study",
    "transfer",
]


class State:
    """Keys and values, with ranges in key order.

    Args:
        base: the state below; reads fall through to it.

    Example:
        >>> State().get("member/hospital-a") is None
        True
    """

    __slots__ = ("_areas", "_base")

    def __init__(self, base: "State | None" = None) -> None:
        self._base = base
        # By the part before the slash: a range over the members never walks over the entries.
        self._areas: dict[str, dict[str, JsonObject | None]] = {}

    def get(self, key: str) -> JsonObject | None:
        """Return the value under a key, or None. MUST NOT be changed."""
        values = self._areas.get(key.partition("/")[0])
        if values is not None and key in values:
            return values[key]
        return self._base.get(key) if self._base is not None else None

    def range(self, start: str, end: str) -> list[tuple[str, JsonObject]]:
        """Return all pairs with `start <= key < end` in key order."""
        merged = self.pairs(start, end)
        return [(key, value) for key, value in sorted(merged.items()) if value is not None]

    def pairs(self, start: str, end: str) -> dict[str, JsonObject | None]:
        """Return all pairs with `start <= key < end`, in no order; a removed key has None."""
        below = self._base.pairs(start, end) if self._base is not None else {}
        for area, values in self._areas.items():
            # All keys of an area lie from "area" up to, and without, "area0".
            if area < end and start < f"{area}0":
                below.update({key: one for key, one in values.items() if start <= key < end})
        return below

    def dry_run(self, call: Call) -> Outcome:
        """Judge a call and write nothing."""
        steps = transact(call)
        answer: Any = None
        try:
            while True:
                answer = self._answer(steps.send(answer))
        except StopIteration as done:
            outcome: Outcome = done.value
            return outcome

    def apply(self, call: Call) -> Outcome:
        """Judge a call and write what it says, unless it is refused."""
        outcome = self.dry_run(call)
        self.write(outcome)
        return outcome

    def write(self, outcome: Outcome) -> None:
        """Write the outcome of a `dry_run` with nothing in between; none if refused."""
        if outcome.refusal is None and outcome.writes:
            for key, value in outcome.writes.items():
                self._areas.setdefault(key.partition("/")[0], {})[key] = value

    def overlay(self) -> "State":
        """Return an empty state over this one."""
        return State(self)

    def settle(self) -> None:
        """Move what was written here into the state below."""
        if self._base is not None:
            self._base.absorb(self._areas)
            self._areas = {}

    def absorb(self, areas: Mapping[str, Mapping[str, JsonObject | None]]) -> None:
        """Write values that another state held, by area."""
        for area, values in areas.items():
            self._areas.setdefault(area, {}).update(values)

    def copy(self) -> "State":
        """Return an independent state with the same content; values are shared."""
        twin = self._base.copy() if self._base is not None else State()
        twin.absorb(self._areas)
        return twin

    def _answer(self, question: Question) -> Any:
        if isinstance(question, Get):
            return self.get(question.key)
        return self.range(question.start, question.end)


def members(state: State) -> dict[MemberId, MemberCard]:
    """Return the cards of all active members, by id."""
    return {
        MemberId(value["card"]["member"]): MemberCard.from_json(value["card"])
        for _, value in state.range(*within("member"))
        if value["status"] == "active"
    }


def member(state: State, member_id: MemberId) -> MemberCard | None:
    """Return one active member's card, or None."""
    found = state.get(member_key(member_id))
    if found is None or found["status"] != "active":
        return None
    return MemberCard.from_json(found["card"])


def quorum(state: State) -> int:
    """Return how many members must co-sign a head to make it final; 0 before genesis."""
    consortium = state.get(CONSORTIUM)
    return int(consortium["quorum"]) if consortium is not None else 0


def consent(state: State, consent_id: ConsentId) -> JsonObject | None:
    """Return a consent: holder, reader, purpose, not_after_ms, subject, status."""
    return state.get(consent_key(consent_id))


def transfer(state: State, transfer_id: TransferId) -> JsonObject | None:
    """Return a transfer: reader, holder, purpose, request_digest, consent, digest, status."""
    return state.get(transfer_key(transfer_id))


def study(state: State, study_id: StudyId) -> JsonObject | None:
    """Return a study: author, participants, minimum, rounds, model_digest, model, status."""
    return state.get(study_key(study_id))


def model(state: State, model_id: ModelId) -> JsonObject | None:
    """Return a published model: study, author, metrics, entry, rounds."""
    return state.get(model_key(model_id))


def applicants(state: State) -> list[MemberCard]:
    """Return the cards of all applications."""
    found = [value["card"] for _, value in state.range(*within("application"))]
    return [MemberCard.from_json(card) for card in found]


def studies(state: State) -> dict[StudyId, JsonObject]:
    """Return all studies, by id."""
    found = state.range(*within("study"))
    return {StudyId(key.removeprefix("study/")): value for key, value in found}
