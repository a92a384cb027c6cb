"""Shares of a root: any `threshold` of them give it back, fewer say nothing about it.

Shamir's scheme (A. Shamir, How to share a secret, 1979) byte by byte over GF(2^8) with the
polynomial of AES, x^8 + x^4 + x^3 + x + 1. With the secret a digest of it is shared, so that a
wrong set of shares is noticed; each share ends in a checksum against slips of the pen.

This module does NOT draw the coefficients: they are an argument. It runs offline, on one person's
machine; Python's integers take a time that depends on their values, and nothing here hides that.
Byte-exact in docs/spec/keys.md.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from concura.canonical import b64decode, b64encode
from concura.errors import ConcuraError, KeyUnavailable
from concura.limits import SHARE_MAX_CHARS, SHARES_MAX

__all__ = ["CHECK_BYTES", "SET_BYTES", "Share", "combine", "read_share", "split"]

CHECK_BYTES = 8  # of the digest that is shared with the secret
SET_BYTES = 4  # names the shares that belong together
_SUM_BYTES = 4
_VERSION = "concura-share-v1"
_POLYNOMIAL = 0x11B


@dataclass(frozen=True, slots=True)
class Share:
    """One share.

    Args:
        set_id: which shares belong together, 4 bytes.
        threshold: how many give the secret back.
        number: which one it is, from 1.
        value: the polynomials' values at `number`.
    """

    set_id: bytes
    threshold: int
    number: int
    value: bytes = field(repr=False)

    def to_text(self) -> str:
        """Return the share as the one line that a person keeps.

        Example:
            >>> read_share(share.to_text()) == share
            True
        """
        body = f"{_VERSION} {self.set_id.hex()} {self.threshold} {self.number} "
        body += b64encode(self.value)
        return f"{body} {_sum(body)}"


def split(
    secret: bytes, *, threshold: int, count: int, set_id: bytes, coefficients: bytes
) -> list[Share]:
    """Share a secret.

    Args:
        secret: such as a root of 32 bytes.
        threshold: how many shares give it back, at least 2.
        count: how many shares there are, at most 32.
        set_id: 4 random bytes.
        coefficients: (threshold - 1) * (len(secret) + 8) random bytes, used once. Whoever has them
            and one share has the secret.

    Returns:
        Shares 1 to `count`.

    Raises:
        KeyUnavailable: `shares_number`: no such threshold and count.
        ValueError: `set_id` or `coefficients` has another length.

    Example:
        >>> shares = split(b"root", threshold=2, count=3, set_id=bytes(4), coefficients=bytes(12))
        >>> combine(shares[1:])
        b'root'
    """
    if not 2 <= threshold <= count <= SHARES_MAX:
        raise KeyUnavailable("shares_number", most=SHARES_MAX)
    known = secret + _check(secret)
    if len(set_id) != SET_BYTES or len(coefficients) != (threshold - 1) * len(known):
        raise ValueError("coefficients")
    rows = [known, *_rows(coefficients, len(known))]
    numbers = range(1, count + 1)
    return [Share(set_id, threshold, x, _evaluate(rows, x)) for x in numbers]


def combine(shares: Iterable[Share]) -> bytes:
    """Give the secret back.

    Args:
        shares: at least `threshold` of one set; one that is given twice counts once.

    Returns:
        The secret.

    Raises:
        KeyUnavailable: `shares_few`, `shares_mixed` (of different sets), or `shares_wrong`
            (together they give nothing that was shared).
    """
    by_number: dict[int, Share] = {}
    for share in shares:
        if by_number.setdefault(share.number, share) != share:
            raise KeyUnavailable("shares_mixed")
    given = list(by_number.values())
    if not given:
        raise KeyUnavailable("shares_few", given=0, needed=2)
    if len({(share.set_id, share.threshold, len(share.value)) for share in given}) > 1:
        raise KeyUnavailable("shares_mixed")
    needed = given[0].threshold
    if len(given) < needed:
        raise KeyUnavailable("shares_few", given=len(given), needed=needed)
    # All that were given take part: a wrong one among too many is noticed too.
    known = _interpolate(given)
    secret, check = known[:-CHECK_BYTES], known[-CHECK_BYTES:]
    if not secret or not hmac.compare_digest(check, _check(secret)):
        raise KeyUnavailable("shares_wrong")
    return secret


def read_share(text: str) -> Share:
    """Read a share from its line.

    Args:
        text: from `Share.to_text`; white space around and between its parts does not count.

    Returns:
        The share.

    Raises:
        KeyUnavailable: `share`: it was copied wrongly, or is none.
    """
    parts = text.split() if len(text) <= SHARE_MAX_CHARS else []
    if len(parts) != 6 or parts[0] != _VERSION:
        raise KeyUnavailable("share")
    body = " ".join(parts[:5])
    if not hmac.compare_digest(_sum(body).encode(), parts[5].encode()):
        raise KeyUnavailable("share")
    try:
        set_id, value = bytes.fromhex(parts[1]), b64decode(parts[4])
        share = Share(set_id, int(parts[2]), int(parts[3]), value)
    except (ConcuraError, ValueError) as error:
        raise KeyUnavailable("share") from error
    fits = len(set_id) == SET_BYTES and 2 <= share.threshold <= SHARES_MAX
    fits = fits and 1 <= share.number <= SHARES_MAX and len(value) > CHECK_BYTES
    if not fits or share.to_text() != f"{body} {parts[5]}":  # one share has one text
        raise KeyUnavailable("share")
    return share


def _check(secret: bytes) -> bytes:
    return hashlib.sha256(b"concura shared secret" + secret).digest()[:CHECK_BYTES]


def _sum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[: 2 * _SUM_BYTES]


def _rows(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _evaluate(rows: Sequence[bytes], x: int) -> bytes:
    """Return every byte's polynomial at x (Horner); rows[0] holds the constants."""
    value = bytes(len(rows[0]))
    for row in reversed(rows):
        value = bytes(_times(v, x) ^ c for v, c in zip(value, row, strict=True))
    return value


def _interpolate(shares: Sequence[Share]) -> bytes:
    """Return every byte's polynomial at 0 (Lagrange); in this field minus is plus."""
    total = bytes(len(shares[0].value))
    for one in shares:
        others = [share.number for share in shares if share.number != one.number]
        above = reduce(_times, others, 1)
        below = reduce(_times, [xor(one.number, other) for other in others], 1)
        weight = _times(above, _inverse(below))
        total = bytes(t ^ _times(v, weight) for t, v in zip(total, one.value, strict=True))
    return total


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= _POLYNOMIAL
        b >>= 1
    return product


def _inverse(a: int) -> int:
    # a^254 = a^-1: the non-zero elements form a group of order 255.
    power, result = a, 1
    for _ in range(7):
        power = _times(power, power)
        result = _times(result, power)
    return result
