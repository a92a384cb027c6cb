"""The ledger: who shared what, when. Pure rules, entries, blocks, the chain, proofs, checkpoints.

Signed entries stand in mined and signed blocks; the blocks are leaves of an RFC 6962 log whose head
the hub signs and the members co-sign. docs/spec/ledger.md fixes every byte.

This package does NOT do I/O, read a clock or draw randomness: keys, nonces and times are arguments.
"""

from concura.ledger.access_log import blinded_root, decode_record, encode_record
from concura.ledger.block import (
    Block,
    Header,
    decode_block,
    entries_root,
    how_many_fit,
    sealing_message,
)
from concura.ledger.card import MemberCard
from concura.ledger.chain import Chain, Place, genesis_entries
from concura.ledger.checkpoint import (
    Checkpoint,
    assemble,
    cosignature_line,
    cosignature_message,
    cosigners,
    has_quorum,
    origin_of,
    parse_note,
    sign_line,
    verify_checkpoint,
    verify_cosignature,
)
from concura.ledger.contract import PURPOSES, Call, Outcome, quorum_of
from concura.ledger.entry import Entry, SignedEntry, decode_entry, message, sign_entry
from concura.ledger.evidence import Report, fork_evidence, verify_blocks, verify_fork
from concura.ledger.genesis import Genesis, founding_message, words
from concura.ledger.merkle import CompactRange, verify_consistency, verify_inclusion
from concura.ledger.proofs import Proven, Trust, entry_bundle, verify_bundle
from concura.ledger.receipt import Receipt, decode_receipt, receipt_message
from concura.ledger.state import (
    State,
    applicants,
    consent,
    member,
    members,
    model,
    quorum,
    studies,
    study,
    transfer,
)
from concura.ledger.work import is_enough, search

__all__ = [
    "PURPOSES",
    "Block",
    "Call",
    "Chain",
    "Checkpoint",
    "CompactRange",
    "Entry",
    "Genesis",
    "Header",
    "MemberCard",
    "Outcome",
    "Place",
    "Proven",
    "Receipt",
    "Report",
    "SignedEntry",
    "State",
    "Trust",
    "applicants",
    "assemble",
    "blinded_root",
    "consent",
    "cosignature_line",
    "cosignature_message",
    "cosigners",
    "decode_block",
    "decode_entry",
    "decode_receipt",
    "decode_record",
    "encode_record",
    "entries_root",
    "entry_bundle",
    "fork_evidence",
    "founding_message",
    "genesis_entries",
    "has_quorum",
    "how_many_fit",
    "is_enough",
    "member",
    "members",
    "message",
    "model",
    "origin_of",
    "parse_note",
    "quorum",
    "quorum_of",
    "receipt_message",
    "sealing_message",
    "search",
    "sign_entry",
    "sign_line",
    "studies",
    "study",
    "transfer",
    "verify_blocks",
    "verify_bundle",
    "verify_checkpoint",
    "verify_consistency",
    "verify_cosignature",
    "verify_fork",
    "verify_inclusion",
    "words",
]
