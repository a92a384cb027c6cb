"""The state machines of the contract as tables: (state before, entry type) -> state after.

A pair that is not in its table is refused. The rules in the other files add who may do it and
under which conditions; they MUST take the next state from here.
"""

from collections.abc import Mapping

__all__ = [
    "CONSENT",
    "EVERYONE",
    "MEMBER",
    "PURPOSES",
    "STUDY",
    "STUDY_PURPOSES",
    "TABLES",
    "TRANSFER",
    "step",
]

Table = Mapping[tuple[str | None, str], str]

PURPOSES = ("public-health", "research", "treatment")
# The reader of a consent to studies: all participants of a study together, none of them alone.
EVERYONE = "*"
# A study reads many patients' records: what is done for one patient's treatment is a transfer.
STUDY_PURPOSES = ("public-health", "research")

MEMBER: Table = {
    (None, "member.apply"): "applied",
    ("applied", "member.admit"): "active",  # at the vote that makes the quorum
}

CONSENT: Table = {
    (None, "consent.grant"): "active",
    ("active", "consent.revoke"): "revoked",
}

TRANSFER: Table = {
    (None, "transfer.request"): "requested",
    ("requested", "transfer.offer"): "offered",
    ("requested", "transfer.refuse"): "refused",
    ("offered", "transfer.acknowledge"): "acknowledged",
}

STUDY: Table = {
    (None, "study.open"): "open",
    ("open", "round.close"): "open",
    ("open", "model.publish"): "published",
}

TABLES: Mapping[str, Table] = {
    "member": MEMBER,
    "consent": CONSENT,
    "transfer": TRANSFER,
    "study": STUDY,
}


def step(table: Table, state: str | None, entry_type: str) -> str | None:
    """Return the state after an entry, or None where the table has no such step.

    Example:
        >>> step(CONSENT, "revoked", "consent.revoke") is None
        True
    """
    return table.get((state, entry_type))
