"""Post-quantum readers: a content key sealed with HPKE to ML-KEM-768 and X25519 at once.

HPKE (RFC 9180), base mode; KEM MLKEM768-X25519 (X-Wing, draft-connolly-cfrg-xwing-kem),
HKDF-SHA-256, AES-256-GCM. Whoever would read it must break the lattice and the curve. HPKE as
offered here takes no additional data, so the envelope and the reader stand in `info`.

This module does NOT hold private keys (`ports.PostQuantumKeys`) and is NOT a registered JOSE
algorithm: an envelope with such a reader lies outside the promise that any JOSE library opens it.
Byte-exact in docs/spec/envelope.md, "Post-quantum readers".
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from concura.sealing.refusal import refused

__all__ = [
    "HPKE_PUBLIC_BYTES",
    "HPKE_SEED_BYTES",
    "HPKE_WRAPPED_BYTES",
    "hpke_private",
    "hpke_public",
    "unwrap_hpke",
    "wrap_hpke",
]

HPKE_SEED_BYTES = 32
HPKE_PUBLIC_BYTES = 1_184 + 32  # ML-KEM-768, then X25519
HPKE_WRAPPED_BYTES = 1_088 + 32 + 32 + 16  # both encapsulations, a content key, a tag

_MLKEM_PUBLIC_BYTES = 1_184
_MLKEM_SEED_BYTES = 64
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def hpke_private(seed: bytes) -> hpke.MLKEM768X25519PrivateKey:
    """Grow a private key from its seed, as X-Wing does (draft §5.2): SHAKE256 to both parts.

    Args:
        seed: 32 random bytes; the whole secret.

    Returns:
        The private key.

    Raises:
        ValueError: the seed has another length.

    Example:
        >>> len(hpke_public(bytes(32)))
        1216
    """
    return hpke.MLKEM768X25519PrivateKey(*_grow(seed))


def hpke_public(seed: bytes) -> bytes:
    """Return the public key that belongs to a seed: 1216 bytes."""
    return b"".join(part.public_key().public_bytes_raw() for part in _grow(seed))


def wrap_hpke(public: bytes, content_key: bytes, info: bytes) -> bytes:
    """Seal a content key to a post-quantum reader.

    Args:
        public: 1216 bytes: ML-KEM-768 key, then X25519 key.
        content_key: 32 bytes.
        info: what the wrap is bound to; from `Sealed.wrap_info`.

    Returns:
        1168 bytes; different each time, the encapsulation is random.

    Raises:
        EnvelopeRefused: `key`: the public key is refused.
    """
    try:
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
        )
        return _SUITE.encrypt(content_key, key, info=info)
    except ValueError as error:
        # Also an X25519 key of small order, whose shared secret anyone knows.
        raise refused("key") from error


def unwrap_hpke(private: hpke.MLKEM768X25519PrivateKey, wrapped: bytes, info: bytes) -> bytes:
    """Open a content key sealed by `wrap_hpke`; key stores call it.

    Args:
        private: the reader's key, from `hpke_private`.
        wrapped: 1168 bytes.
        info: the same as for sealing.

    Returns:
        32 bytes.

    Raises:
        EnvelopeRefused: `wrap`: for another reader, another envelope, or changed.
    """
    if len(wrapped) != HPKE_WRAPPED_BYTES:
        raise refused("wrap")
    try:
        return _SUITE.decrypt(wrapped, private, info=info)
    except (InvalidTag, ValueError) as error:
        raise refused("wrap") from error


def _grow(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    if len(seed) != HPKE_SEED_BYTES:
        raise ValueError("HPKE seed")
    shake = hashes.Hash(hashes.SHAKE256(_MLKEM_SEED_BYTES + 32))
    shake.update(seed)
    grown = shake.finalize()
    return (
        MLKEM768PrivateKey.from_seed_bytes(grown[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(grown[_MLKEM_SEED_BYTES:]),
    )
