"""Fixed point in Z_2^64 with 32 fractional bits: what can be masked and added without error.

PROTOCOLS §8. A real r stands as round(r * 2^32) mod 2^64. Sums of up to `MEMBERS_MAX` contributions
within `BOUND` never wrap; after masking nobody could see that one did, so the bound is checked
before. Inputs are scaled and standardised first (`moments`): f = 40 on raw columns overflows.

This module does NOT mask.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from concura.errors import ReplyInvalid, StudyAborted
from concura.learning.cohort import Array
from concura.limits import MEMBERS_MAX

__all__ = [
    "BOUND",
    "Words",
    "add_words",
    "decode_fixed",
    "encode_fixed",
    "pack_words",
    "unpack_words",
]

Words = NDArray[np.uint64]

_ONE = float(2**32)
BOUND = float(2**31 // MEMBERS_MAX)  # 2^31 is where the sum would wrap


def encode_fixed(vector: Array, bound: float = BOUND) -> Words:
    """Write reals as fixed point.

    Args:
        vector: float64[m], |value| <= bound.
        bound: the most that one hospital may contribute to one value.

    Returns:
        uint64[m].

    Raises:
        StudyAborted: a value is beyond the bound or not a number.
    """
    # Written so that NaN fails too.
    if not (np.abs(vector) <= bound).all():
        raise StudyAborted("bound", bound=round(bound))
    return np.rint(vector * _ONE).astype(np.int64).view(np.uint64)


def decode_fixed(words: Words) -> Array:
    """Read fixed point: uint64[m] -> float64[m]."""
    return words.view(np.int64).astype(np.float64) / _ONE


def pack_words(words: Words) -> bytes:
    """Write uint64[m] as 8 m bytes, little-endian: how contributions and totals travel."""
    return words.astype("<u8").tobytes()


def unpack_words(data: bytes, count: int) -> Words:
    """Read exactly `count` values.

    Raises:
        ReplyInvalid: another length.
    """
    if len(data) != 8 * count:
        raise ReplyInvalid("size")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def add_words(contributions: Sequence[bytes]) -> bytes:
    """Add packed contributions modulo 2^64: all that the hub does with them.

    Raises:
        ReplyInvalid: none, or of different lengths.
    """
    if not contributions or len(contributions[0]) % 8:
        raise ReplyInvalid("size")
    count = len(contributions[0]) // 8
    total = np.zeros(count, dtype=np.uint64)
    for data in contributions:
        total += unpack_words(data, count)
    return pack_words(total)
