"""RSA, the mission's way of handing out keys and of signing: PSS and OAEP with SHA-256 throughout.

RFC 8017; the parameters are those of PS256 (RFC 7518 §3.5) and RSA-OAEP-256 (RFC 7518 §4.3).

This module does NOT hold private keys and does NOT draw any.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from concura.errors import EnvelopeRefused
from concura.limits import RSA_MAX_BITS, RSA_MIN_BITS
from concura.sealing.refusal import refused

__all__ = ["OAEP", "PSS", "check_rsa_public", "verify_pss", "wrap_oaep"]

# A salt as long as the digest is what PS256 demands (RFC 7518 §3.5); MGF1 and label hash are
# SHA-256 too, because RSA-OAEP-256 leaves no choice (RFC 7518 §4.3).
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)

_EXPONENT = 65_537


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


def verify_pss(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a key signed a message: RSA-PSS, SHA-256, salt of 32 bytes.

    Args:
        public: SubjectPublicKeyInfo in DER.
        message: what was signed.
        signature: as many bytes as the key's modulus.

    Returns:
        True only if it verifies; a key that `check_rsa_public` refuses verifies nothing.
    """
    try:
        check_rsa_public(public).verify(signature, message, PSS, hashes.SHA256())
    except (EnvelopeRefused, InvalidSignature):
        return False
    return True


def wrap_oaep(public: bytes, content_key: bytes, info: bytes = b"") -> bytes:
    """Wrap a content key: RSA-OAEP, SHA-256.

    Args:
        public: SubjectPublicKeyInfo in DER.
        content_key: 32 bytes.
        info: not used: RSA-OAEP-256 has no label. The commitment binds key and envelope.

    Returns:
        As many bytes as the key's modulus; different each time, OAEP pads at random.

    Raises:
        EnvelopeRefused: `key`: the public key is refused.
    """
    del info
    return check_rsa_public(public).encrypt(content_key, OAEP)
