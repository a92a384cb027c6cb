"""The gate before the contract: is an entry for this chain, of this time, and its author's?

The hub runs it when it accepts an entry, every follower again when the entry comes in a block. The
author's key is the one on its card at this point of the ledger, so that old entries verify with
the key that was valid at their height.

This module does NOT write anything; the outcome is written by whoever asked.
"""

from concura.errors import EntryRefused
from concura.ledger.card import MemberCard
from concura.ledger.contract import Outcome
from concura.ledger.entry import Entry, SignedEntry
from concura.ledger.state import State, member
from concura.sealing.keys import fingerprint
from concura.sealing.suite import AES, Suite
from concura.types import Digest, TimeMs

__all__ = ["judge"]


def judge(
    signed: SignedEntry,
    *,
    chain: Digest,
    state: State,
    earliest_ms: TimeMs | None,
    latest_ms: TimeMs | None,
    suite: Suite = AES,
) -> Outcome:
    """Check one entry in numbered steps and return what it would do.

    Args:
        signed: the decoded entry.
        chain: the chain that it must name.
        state: what holds at this point; not changed.
        earliest_ms: the smallest time it may bear, or None.
        latest_ms: the greatest time it may bear, or None.
        suite: the consortium's.

    Returns:
        The accepted outcome, to be written to `state` with nothing in between.

    Raises:
        EntryRefused: with the code of the first rule that says no.
    """
    entry = signed.entry
    # (1) the entry is meant for this chain
    if entry.chain != chain:
        raise _refused("entry.chain", entry)
    # (2) its time is near the shell's clock
    if earliest_ms is not None and entry.time_ms < earliest_ms:
        raise _refused("entry.time", entry)
    if latest_ms is not None and entry.time_ms > latest_ms:
        raise _refused("entry.time", entry)
    # (3) the key is the author's, at this point of the ledger
    card = _card(entry, state, suite)
    if signed.key != fingerprint(card.sign):
        raise _refused("entry.key", entry)
    # (4) the signature verifies
    if not signed.is_signed_by(card.sign, suite=suite):
        raise _refused("entry.signature", entry)
    # (5) the contract accepts
    outcome = state.dry_run(entry.call())
    if outcome.refusal is not None:
        raise _refused(outcome.refusal, entry)
    return outcome


def _card(entry: Entry, state: State, suite: Suite) -> MemberCard:
    """Return the author's card; an applicant brings its own and proves that it holds the key."""
    if entry.type == "member.apply":
        card = MemberCard.from_json(entry.body.get("card", {}))
        card.check_keys(suite=suite)
        return card
    found = member(state, entry.author)
    if found is None:
        raise _refused("member.not-active", entry)
    return found


def _refused(rule: str, entry: Entry) -> EntryRefused:
    return EntryRefused(rule, rule=rule, detail=entry.type)
