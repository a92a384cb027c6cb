"""Public keys: fingerprints, checks, signatures, wrapping; and the keyed names of patients.

RSA-PSS and RSA-OAEP follow RFC 8017 with SHA-256 throughout, Ed25519 follows RFC 8032, HMAC
follows RFC 2104. Every key has one use (docs/spec/keys.md).

This module does NOT hold private keys: the `KeyStore` port does. It does NOT decide whom a key
belongs to: the ledger does.
"""

import hashlib
import hmac
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from concura.errors import EnvelopeRefused
from concura.limits import RSA_MAX_BITS, RSA_MIN_BITS
from concura.sealing.refusal import refused
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

CONTENT_KEY_BYTES = 32

# A salt as long as the digest is what PS256 demands (RFC 7518 §3.5); MGF1 and label hash are
# SHA-256 too, because RSA-OAEP-256 leaves no choice (RFC 7518 §4.3).
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)

_EXPONENT = 65_537
_PSEUDONYM_KEY_BYTES = 32


def fingerprint(public: bytes) -> Fingerprint:
    """Name a public key by the SHA-256 of its bytes.

    Args:
        public: SubjectPublicKeyInfo in DER, or the 32 raw bytes of an Ed25519 key.

    Returns:
        64 lower-case hexadecimal digits.

    Example:
        >>> fingerprint(b"")[:8]
        'e3b0c442'
    """
    return Fingerprint(hashlib.sha256(public).hexdigest())


@lru_cache(maxsize=1024)
def check_rsa_public(der: bytes) -> RSAPublicKey:
    """Read an RSA public key, and refuse every weak or ambiguous one.

    Checked keys are remembered: a ledger's members sign thousands of entries.

    Args:
        der: SubjectPublicKeyInfo; 3072 to 8192 bits, exponent 65537.

    Returns:
        The key.

    Raises:
        EnvelopeRefused: `key`: no such key, or not in its one canonical encoding.

    Example:
        >>> check_rsa_public(store.public("sign")).key_size
        3072
    """
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused("key") from error
    if not isinstance(key, RSAPublicKey):
        raise refused("key")
    # Above the maximum one verification would keep a processor busy for the attacker's sake.
    if not RSA_MIN_BITS <= key.key_size <= RSA_MAX_BITS or key.public_numbers().e != _EXPONENT:
        raise refused("key")
    canonical = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # Two encodings of one key would be two fingerprints of one key.
    if canonical != der:
        raise refused("key")
    return key


def verify_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a member's signing key signed a message (RSA-PSS, SHA-256, salt of 32 bytes).

    Args:
        public: SubjectPublicKeyInfo in DER.
        message: what was signed.
        signature: as many bytes as the key's modulus.

    Returns:
        True only if it verifies; a key that `check_rsa_public` refuses verifies nothing.

    Example:
        >>> verify_signature(store.public("sign"), b"entry", store.sign(b"entry"))
        True
    """
    try:
        check_rsa_public(public).verify(signature, message, PSS, hashes.SHA256())
    except (EnvelopeRefused, InvalidSignature):
        return False
    return True


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


def wrap_content_key(public: bytes, content_key: bytes) -> bytes:
    """Wrap a content key to a reader's wrap key (RSA-OAEP, SHA-256).

    Args:
        public: SubjectPublicKeyInfo in DER.
        content_key: 32 bytes.

    Returns:
        As many bytes as the key's modulus; different each time, OAEP pads at random.

    Raises:
        EnvelopeRefused: `key`: the public key is refused; `parts`: the content key is not 32 bytes.

    Example:
        >>> len(wrap_content_key(store.public("wrap"), bytes(32)))
        384
    """
    if len(content_key) != CONTENT_KEY_BYTES:
        raise refused("parts", part="content_key")
    return check_rsa_public(public).encrypt(content_key, OAEP)


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
