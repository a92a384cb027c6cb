"""The contract: the pure rules by which entries change what the consortium agrees on.

It reaches nothing but the ground (errors, types, limits, canonical): no signatures, no files, no
clock. A shell verifies who is calling and drives `transact`.
"""

from concura.ledger.contract.calls import Call, Get, Outcome, Question, Range, Steps, refuse
from concura.ledger.contract.keys import (
    CONSORTIUM,
    anchor_key,
    application_key,
    consent_key,
    entry_key,
    member_key,
    model_key,
    study_key,
    transfer_key,
    used_key,
    vote_key,
    within,
)
from concura.ledger.contract.members import card_digest, quorum_of
from concura.ledger.contract.shape import BODIES, CARD, has_shape, is_member_id, is_name
from concura.ledger.contract.studies import CONTRIBUTORS_MIN
from concura.ledger.contract.tables import PURPOSES, STUDY_PURPOSES, TABLES, step
from concura.ledger.contract.transact import RULES, transact

__all__ = [
    "BODIES",
    "CARD",
    "CONSORTIUM",
    "CONTRIBUTORS_MIN",
    "PURPOSES",
    "RULES",
    "STUDY_PURPOSES",
    "TABLES",
    "Call",
    "Get",
    "Outcome",
    "Question",
    "Range",
    "Steps",
    "anchor_key",
    "application_key",
    "card_digest",
    "consent_key",
    "entry_key",
    "has_shape",
    "is_member_id",
    "is_name",
    "member_key",
    "model_key",
    "quorum_of",
    "refuse",
    "step",
    "study_key",
    "transact",
    "transfer_key",
    "used_key",
    "vote_key",
    "within",
]
