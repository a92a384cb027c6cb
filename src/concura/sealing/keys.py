"""Public keys: fingerprints, signatures, wrapping; and the keyed names of patients.

How members sign and wrap is the suite's (`suite`); Ed25519 follows RFC 8032, HMAC follows RFC 2104.
Every key has one use (docs/spec/keys.md). Fingerprints and pseudonyms stand on the ledger and are
SHA-256 in every suite.

This module does NOT hold private keys: the `KeyStore` port does. It does NOT decide whom a key
belongs to: the ledger does.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from concura.sealing.refusal import refused
from concura.sealing.rsa import OAEP, PSS, check_rsa_public
from concura.sealing.suite import AES, Suite
from concura.types import Fingerprint, Pseudonym

__all__ = [
    "CONTENT_KEY_BYTES",
    "OAEP",
    "PSS",
    "check_rsa_public",
    "fingerprint",
    "join_fields",
    "pseudonym",
    "verify_signature",
    "verify_witness",
    "wrap_content_key",
]


CONTENT_KEY_BYTES = AES.key_bytes

_PSEUDONYM_KEY_BYTES = 32


def fingerprint(public: bytes) -> Fingerprint:
    """Name a public key by the SHA-256 of its bytes.

    Args:
        public: SubjectPublicKeyInfo in DER, or the raw bytes of an Ed25519 or post-quantum key.

    Returns:
        64 lower-case hexadecimal digits.

    Example:
        >>> fingerprint(b"")[:8]
        'e3b0c442'
    """
    return Fingerprint(hashlib.sha256(public).hexdigest())


def verify_signature(
    public: bytes, message: bytes, signature: bytes, *, suite: Suite = AES
) -> bool:
    """Say whether a member's signing key signed a message.

    Args:
        public: SubjectPublicKeyInfo in DER.
        message: what was signed.
        signature: RSA-PSS: as many bytes as the key's modulus; SM2: DER of r and s.
        suite: the consortium's; a key of another suite verifies nothing.

    Returns:
        True only if it verifies; a key that the suite refuses verifies nothing.

    Example:
        >>> verify_signature(store.public("sign"), b"entry", store.sign(b"entry"))
        True
    """
    return suite.signing.verify(public, message, signature)


def verify_witness(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a witness key signed a message (Ed25519).

    Args:
        public: 32 raw bytes.
        message: what was signed.
        signature: 64 bytes.

    Returns:
        True only if it verifies; bytes that are no key verify nothing.

    Example:
        >>> verify_witness(store.public("witness"), b"head", store.witness(b"head"))
        True
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (ValueError, InvalidSignature):
        return False
    return True


def wrap_content_key(
    public: bytes, content_key: bytes, *, info: bytes = b"", suite: Suite = AES
) -> bytes:
    """Wrap a content key to a reader's wrap key.

    Args:
        public: SubjectPublicKeyInfo in DER; or the 1216 bytes of a post-quantum key.
        content_key: 32 bytes; 16 in the SM suite.
        info: what a post-quantum wrap is bound to; the others do not use it.
        suite: the consortium's.

    Returns:
        The wrapped key; different each time, all kinds pad at random.

    Raises:
        EnvelopeRefused: `key` or `policy`: the public key is refused; `parts`: the content key has
            another length.

    Example:
        >>> len(wrap_content_key(store.public("wrap"), bytes(32)))
        384
    """
    if len(content_key) != suite.key_bytes:
        raise refused("parts", part="content_key")
    return suite.wrapping_for(public).wrap(public, content_key, info)


def pseudonym(key: bytes, *, chain: str, purpose: str, holder: str, reader: str) -> Pseudonym:
    """Name a patient on the ledger, differently for every purpose, holder and reader.

    Args:
        key: the patient's pseudonym key, 32 bytes. It never leaves its hospital.
        chain: chain id.
        purpose: what the data is used for.
        holder: the member that holds the record.
        reader: the member that may read it.

    Returns:
        HMAC-SHA-256 over the length-prefixed fields, in hexadecimal.

    Raises:
        ValueError: the key is not 32 bytes.

    Example:
        >>> pseudonym(bytes(32), chain="c", purpose="TREAT", holder="a", reader="b")[:8]
        '78e5efab'
    """
    if len(key) != _PSEUDONYM_KEY_BYTES:
        raise ValueError("pseudonym key")
    # The first field keeps this use of the key apart from its other one, commitments.
    message = join_fields("concura pseudonym", chain, purpose, holder, reader)
    return Pseudonym(hmac.digest(key, message, "sha256").hex())


def join_fields(*fields: str | bytes) -> bytes:
    """Join fields so that no two lists of fields give the same bytes: u64be length before each.

    Args:
        *fields: texts (as UTF-8) or bytes.

    Returns:
        The joined bytes.

    Example:
        >>> join_fields("ab", "c") != join_fields("a", "bc")
        True
    """
    parts = (field.encode() if isinstance(field, str) else field for field in fields)
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
