"""Taking the padding off a content key that a token opened without looking at it.

RSA-OAEP with SHA-256 and an empty label (RFC 8017 §7.1.2, steps 3a to 3g), for tokens that refuse
SHA-256 in OAEP and do the bare RSA operation instead. SHA-1 never takes its place.

What can be told apart from outside is told to nobody: Manger's attack (CRYPTO 2001) opens any
ciphertext with a few thousand answers to "was the first byte zero?". The length of the content key
is fixed, so everything but the seed and the key is known in advance, and one comparison in constant
time says yes or no to all of it: first byte, label, zeros, separator. Until then no byte decides
what is done next.

This module does NOT do the RSA operation, and does NOT promise constant time below the byte: Python
cannot. It leaves no branch, no early end and no table access that depend on a secret.
"""

import hashlib
import hmac

from concura.sealing.keys import CONTENT_KEY_BYTES
from concura.sealing.refusal import refused

__all__ = ["strip_padding"]

_HASH_BYTES = 32
_EMPTY_LABEL = hashlib.sha256(b"").digest()


def strip_padding(encoded: bytes, *, size: int = CONTENT_KEY_BYTES) -> bytes:
    """Return the content key inside an OAEP-encoded message.

    Args:
        encoded: what the bare RSA operation gave: as many bytes as the modulus, leading zeros kept.
        size: bytes of the key; every other length is refused.

    Returns:
        The content key.

    Raises:
        EnvelopeRefused: `wrap`: not wrapped to this key, changed, or of another length; which of
            them cannot be told.

    Example:
        >>> strip_padding(token_decrypt(wrapped))  # doctest: +SKIP
        b'...'
    """
    # Public: the token's modulus and our own constant decide it.
    zeros = len(encoded) - 2 * _HASH_BYTES - 2 - size
    if zeros < 0:
        raise refused("wrap")
    masked_seed, masked_block = encoded[1 : 1 + _HASH_BYTES], encoded[1 + _HASH_BYTES :]
    seed = _xor(masked_seed, _mask(masked_block, _HASH_BYTES))
    block = _xor(masked_block, _mask(seed, len(masked_block)))
    expected = b"\x00" + _EMPTY_LABEL + bytes(zeros) + b"\x01"
    if not hmac.compare_digest(encoded[:1] + block[:-size], expected):
        raise refused("wrap")
    return block[-size:]


def _mask(seed: bytes, size: int) -> bytes:
    """MGF1 with SHA-256 (RFC 8017 §B.2.1)."""
    rounds = range(-(-size // _HASH_BYTES))
    parts = (hashlib.sha256(seed + number.to_bytes(4, "big")).digest() for number in rounds)
    return b"".join(parts)[:size]


def _xor(left: bytes, right: bytes) -> bytes:
    # Byte by byte: a large integer would drop leading zeros, and its work would depend on them.
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
