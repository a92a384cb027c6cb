"""Merkle trees of RFC 6962 §2.1: roots, inclusion and consistency proofs, and appending.

The verifiers follow RFC 9162 §2.1.3.2 and §2.1.4.2, which spell the same trees out as loops.

This module does NOT hash JSON or know what a leaf means. It keeps leaf hashes, never leaves.
"""

import hashlib
from collections.abc import Sequence

__all__ = [
    "EMPTY_ROOT",
    "CompactRange",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()  # §2.1: the hash of an empty list


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf; the prefix 0 keeps a leaf from passing as an inner node (§2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees to the one above them."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes.

    Args:
        leaves: hashes made by `leaf_hash`, 32 bytes each.

    Returns:
        32 bytes.

    Example:
        >>> root([]) == EMPTY_ROOT
        True
    """
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size` (k in RFC 6962 §2.1)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path for the leaf at `index` (RFC 6962 §2.1.1), lowest node first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path: list[bytes] = []
    start, end = 0, len(leaves)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(root(leaves[middle:end]))
            end = middle
        else:
            path.append(root(leaves[start:middle]))
            start = middle
    return path[::-1]


def verify_inclusion(
    leaf: bytes, index: int, *, size: int, proof: Sequence[bytes], root_hash: bytes
) -> bool:
    """Say whether a leaf hash stands at `index` of the tree (RFC 9162 §2.1.3.2).

    Args:
        leaf: hash made by `leaf_hash`.
        index: place of the leaf, counted from 0.
        size: number of leaves of the tree.
        proof: what `inclusion_proof` returned.
        root_hash: the root of the tree.
    """
    if not 0 <= index < size:
        return False
    here, last, value = index, size - 1, leaf
    for node in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            value = node_hash(node, value)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            value = node_hash(value, node)
        here, last = here >> 1, last >> 1
    return last == 0 and value == root_hash


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """Return the proof that the first `size` leaves lead to all of them (RFC 6962 §2.1.2).

    Raises:
        IndexError: `size` is greater than the number of leaves.
    """
    if not 0 <= size <= len(leaves):
        raise IndexError(size)
    proof: list[bytes] = []
    start, end, whole = 0, len(leaves), True
    # SUBPROOF(m, D[n], b) as a loop; `whole` is b: the left part is still the whole old tree.
    while 0 < size - start < end - start:
        middle = start + _split(end - start)
        if size <= middle:
            proof.append(root(leaves[middle:end]))
            end = middle
        else:
            proof.append(root(leaves[start:middle]))
            start, whole = middle, False
    if not whole:
        proof.append(root(leaves[start:end]))
    return proof[::-1]


def verify_consistency(
    old: tuple[int, bytes], new: tuple[int, bytes], *, proof: Sequence[bytes]
) -> bool:
    """Say whether one tree is the beginning of another (RFC 9162 §2.1.4.2).

    Args:
        old: size and root of the smaller tree.
        new: size and root of the greater tree.
        proof: what `consistency_proof` returned.
    """
    (first, first_root), (second, second_root) = old, new
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    # A tree of a power of two is a node of the greater one: the proof leaves it out.
    path = [first_root, *proof] if first & first - 1 == 0 else list(proof)
    return bool(path) and _climb(first - 1, second - 1, path) == (first_root, second_root)


def _climb(here: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots of both trees as the path gives them, or None if its length is wrong."""
    while here & 1:
        here, last = here >> 1, last >> 1
    older = newer = path[0]
    for node in path[1:]:
        if last == 0:
            return None
        if here & 1 or here == last:
            older, newer = node_hash(node, older), node_hash(node, newer)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            newer = node_hash(newer, node)
        here, last = here >> 1, last >> 1
    return (older, newer) if last == 0 else None


class CompactRange:
    """A growing tree that keeps one hash per bit of its size.

    Args:
        size: number of leaves so far.
        peaks: roots of its perfect subtrees, greatest first; as many as `size` has set bits.

    Example:
        >>> tree = CompactRange(); tree.append(leaf_hash(b"a")); tree.root() == leaf_hash(b"a")
        True
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(peaks):
            raise ValueError("peaks")
        self._size = size
        self._peaks = list(peaks)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, greatest first: all that is needed to go on later."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash (made by `leaf_hash`)."""
        size, peak = self._size, leaf
        while size & 1:
            peak = node_hash(self._peaks.pop(), peak)
            size >>= 1
        self._peaks.append(peak)
        self._size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        value = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            value = node_hash(peak, value)
        return value

    def copy(self) -> "CompactRange":
        """Return an independent tree of the same content."""
        return CompactRange(self._size, self._peaks)
