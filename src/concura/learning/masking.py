"""Pairwise masks: the hub sees masked contributions and their sum only (PROTOCOLS §8).

Every two hospitals agree a seed by X25519 (RFC 7748) and HKDF-SHA-256 (RFC 5869) and expand it for
each step with AES-256 in counter mode (NIST SP 800-38A §6.5); one adds what the other subtracts, so
that all masks vanish exactly in the sum modulo 2^64 (Bonawitz et al. 2017, §4). A hub that works
with all participants but two still learns only the sum of those two.

This module does NOT recover from a participant that drops out: the study then ends. It draws no
keys: they are arguments, fresh per study, signed elsewhere by the members' signing keys.
"""

from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from concura.errors import ReplyInvalid, StudyAborted
from concura.learning.fixed import Words
from concura.types import MemberId, StudyId

__all__ = ["mask", "mask_key_message", "public_of", "shared_seed"]

_PEERS_MIN = 2  # three contributors: with two, each could take its own part off the sum


def public_of(private: bytes) -> bytes:
    """Return the X25519 public key, 32 bytes, of a private key, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def mask_key_message(study: StudyId, member: MemberId, public: bytes) -> bytes:
    """Return what a member's signing key signs to certify its mask key for one study."""
    return _join(b"concura mask key v1", study.encode(), member.encode(), public)


def shared_seed(
    private: bytes, public: bytes, *, study: StudyId, me: MemberId, peer: MemberId
) -> bytes:
    """Agree the seed that two members share in one study; both sides get the same 32 bytes.

    Args:
        private: own mask key, 32 bytes.
        public: the peer's mask key, 32 bytes, its signature already verified.
        study: the study; part of the derivation.
        me: this member.
        peer: the other member.

    Returns:
        The seed, 32 bytes.

    Raises:
        ReplyInvalid: the peer's key is not a usable X25519 key.
    """
    try:
        secret = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError as error:  # wrong length, or a low-order point (RFC 7748 §6.1)
        raise ReplyInvalid("mask-key", who=peer) from error
    ends = sorted([(me.encode(), public_of(private)), (peer.encode(), public)])
    info = _join(b"concura mask seed v1", study.encode(), *ends[0], *ends[1])
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def mask(values: Words, *, me: MemberId, seeds: Mapping[MemberId, bytes], label: bytes) -> Words:
    """Add this member's pairwise masks.

    Args:
        values: uint64[m], fixed point.
        me: this member.
        seeds: for each other participant the shared seed, 32 bytes.
        label: study and step; MUST NOT be used twice with the same seeds, since two contributions
            under one mask tell their difference.

    Returns:
        uint64[m]; added over all participants the masks cancel exactly.

    Raises:
        StudyAborted: fewer than three contributors.
    """
    if len(seeds) < _PEERS_MIN or me in seeds:
        raise StudyAborted("few", minimum=_PEERS_MIN + 1)
    total = values.copy()
    for peer, seed in seeds.items():
        stream = _expand(seed, label, values.size)
        # The order of the names decides the sign, so that both ends agree without a word.
        total = total + stream if me < peer else total - stream
    return total


def _expand(seed: bytes, label: bytes, count: int) -> Words:
    key = HKDF(
        algorithm=SHA256(), length=32, salt=None, info=_join(b"concura mask v1", label)
    ).derive(seed)
    # A zero counter block is safe: the key is used for this one stream only.
    stream = (
        Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * count))
    )
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def _join(*items: bytes) -> bytes:
    """Length-prefix every part: no two lists give the same bytes."""
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)
