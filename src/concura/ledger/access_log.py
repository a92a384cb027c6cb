"""The node's own access log: its records as bytes, and the blinded root that is anchored.

One record of at most 256 bytes per read, search or export; the log is an RFC 6962 tree over them.
Only a blinded root goes on the shared ledger: nobody can guess reads by hashing them.

This module does NOT store anything: `adapters/sqlite_access.py` does.
"""

import hashlib
from typing import Any

from concura.canonical import decode, encode
from concura.errors import DataFileInvalid, StoreCorrupt
from concura.types import Digest, TimeMs

__all__ = ["ACCESS_RECORD_MAX_BYTES", "blinded_root", "decode_record", "encode_record"]

ACCESS_RECORD_MAX_BYTES = 256
_LABEL = b"concura access root v1\n"


def encode_record(time_ms: TimeMs, *, who: str, action: str, what: str, why: str) -> bytes:
    """Write one record.

    Args:
        time_ms: when.
        who: user or part of the node.
        action: read, search, export, decide or train.
        what: token of the patient or the study, never a name.
        why: purpose.

    Returns:
        Canonical JSON, at most 256 bytes.

    Raises:
        ValueError: it would be longer, or has no canonical form.

    Example:
        >>> encode_record(TimeMs(1), who="dr", action="read", what="t", why="treatment")
        b'[1,"dr","read","t","treatment"]'
    """
    data = encode([time_ms, who, action, what, why])
    if len(data) > ACCESS_RECORD_MAX_BYTES:
        raise ValueError("record")
    return data


def decode_record(data: bytes) -> tuple[TimeMs, str, str, str, str]:
    """Read one record: time, who, action, what, why.

    Raises:
        StoreCorrupt: the bytes are no record.
    """
    try:
        value: Any = decode(data)
    except DataFileInvalid as error:
        raise StoreCorrupt(file="access log", detail="record") from error
    if not isinstance(value, list) or len(value) != 5 or not isinstance(value[0], int):
        raise StoreCorrupt(file="access log", detail="record")
    if not all(isinstance(one, str) for one in value[1:]):
        raise StoreCorrupt(file="access log", detail="record")
    return TimeMs(value[0]), value[1], value[2], value[3], value[4]


def blinded_root(root: bytes, blind: bytes) -> Digest:
    """Return what is anchored on the shared ledger.

    Args:
        root: RFC 6962 root of the log, 32 bytes.
        blind: 32 fresh bytes, kept by the node to open the anchor to an auditor.
    """
    return Digest(hashlib.sha256(_LABEL + blind + root).hexdigest())
