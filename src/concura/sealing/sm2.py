"""SM2 with public keys: verifying a signature, encrypting a content key; and strict ASN.1 for both.

GB/T 32918.2-2016 (signature; identity 1234567812345678 as GB/T 35276 fixes it), GB/T 32918.4-2016
(encryption, C1 C3 C2), curve and examples GB/T 32918.5-2017. `cryptography` has no SM2, so the
arithmetic is Tongsuo's, in C, through the optional package tongsuopy (extra `sm`), loaded when it
is first needed. Nothing here computes with a secret in Python, whose integers take a time that
depends on their value.

tongsuopy 1.0.1 carries an old base (OpenSSL 1.1.1h), so it sees only what was checked here: keys in
one form of 91 bytes, signatures and ciphertexts in DER of known sizes. SM3 and SM4 are never its.

This module does NOT hold private keys (`adapters.keys_sm`); encryption draws its number inside the
library, as OAEP does. No certification is claimed.
"""

import importlib
from functools import lru_cache
from typing import Any

from concura.errors import ConfigInvalid, EnvelopeRefused
from concura.sealing.refusal import refused

__all__ = [
    "SM2_ORDER",
    "SM2_PUBLIC_BYTES",
    "Sm2Library",
    "check_sm2_public",
    "is_sm2_ciphertext",
    "is_sm2_signature",
    "sm2_library",
    "verify_sm2",
    "wrap_sm2",
]

SM2_PUBLIC_BYTES = 91
# SubjectPublicKeyInfo of an uncompressed point on the curve 1.2.156.10197.1.301, up to the point.
_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
SM2_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_FIELD = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_DIGEST_BYTES = 32
_CONTENT_KEY_BYTES = 16
_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
_OUTPUT_BYTES = 256


class Sm2Library:
    """The few functions of tongsuopy that are used, so that no other module knows it.

    Raises:
        ConfigInvalid: `extra`: the package is not installed.
    """

    __slots__ = ("_backend", "_ec", "_errors", "_hashes", "_serialization")

    def __init__(self) -> None:
        try:
            self._backend: Any = importlib.import_module(
                "tongsuopy.backends.tongsuo.backend"
            ).backend
            self._ec: Any = importlib.import_module("tongsuopy.crypto.asymciphers.ec")
            self._errors: Any = importlib.import_module("tongsuopy.crypto.exceptions")
            self._hashes: Any = importlib.import_module("tongsuopy.crypto.hashes")
            self._serialization: Any = importlib.import_module("tongsuopy.crypto.serialization")
        except ImportError as error:
            raise ConfigInvalid("extra", name="sm", package="tongsuopy", extra="sm") from error

    def public_key(self, der: bytes) -> Any:
        """Load a public key. Raises ValueError for a point off the curve."""
        return self._serialization.load_der_public_key(der)

    def private_key(self, number: bytes) -> Any:
        """Return the private key with this number, 32 bytes."""
        return self._ec.derive_private_key(int.from_bytes(number, "big"), self._ec.SM2())

    def spki(self, private: Any) -> bytes:
        """Return the public key of a private one, SubjectPublicKeyInfo in DER."""
        der: bytes = private.public_key().public_bytes(
            self._serialization.Encoding.DER, self._serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return der

    def sign(self, private: Any, message: bytes) -> bytes:
        """Sign with SM3 and the standard identity; DER."""
        signature: bytes = private.sign(message, self._ec.ECDSA(self._hashes.SM3()))
        return signature

    def verify(self, public: Any, message: bytes, signature: bytes) -> bool:
        """Say whether a signature verifies."""
        try:
            public.verify(signature, message, self._ec.ECDSA(self._hashes.SM3()))
        except (self._errors.InvalidSignature, self._errors.InternalError):
            return False
        return True

    def encrypt(self, public: Any, data: bytes) -> bytes | None:
        """Encrypt a short message; DER, or None."""
        lib = self._backend._lib  # noqa: SLF001 - the package offers SM2 encryption nowhere else
        return self._run(public, data, lib.EVP_PKEY_encrypt_init, lib.EVP_PKEY_encrypt)

    def decrypt(self, private: Any, data: bytes) -> bytes | None:
        """Decrypt what `is_sm2_ciphertext` accepted; None if it does not verify."""
        lib = self._backend._lib  # noqa: SLF001 - the package offers SM2 decryption nowhere else
        return self._run(private, data, lib.EVP_PKEY_decrypt_init, lib.EVP_PKEY_decrypt)

    def _run(self, key: Any, data: bytes, start: Any, run: Any) -> bytes | None:
        lib, ffi = self._backend._lib, self._backend._ffi  # noqa: SLF001 - see above
        context = ffi.gc(
            lib.EVP_PKEY_CTX_new(key._evp_pkey, ffi.NULL),  # noqa: SLF001 - see above
            lib.EVP_PKEY_CTX_free,
        )
        # A buffer larger than any result, not the size that the library announces: for a
        # ciphertext with short integers older versions announced too little (CVE-2021-3711).
        out = ffi.new("unsigned char[]", _OUTPUT_BYTES)
        size = ffi.new("size_t *", _OUTPUT_BYTES)
        if start(context) != 1 or run(context, out, size, data, len(data)) != 1:
            self._backend._consume_errors()  # noqa: SLF001 - else the next caller finds them
            return None
        found: bytes = ffi.buffer(out, size[0])[:]
        return found


@lru_cache(maxsize=1)
def sm2_library() -> Sm2Library:
    """Load the library, once. Raises ConfigInvalid `extra` if it is not installed."""
    return Sm2Library()


@lru_cache(maxsize=1024)
def check_sm2_public(der: bytes) -> Any:
    """Read an SM2 public key in its one form.

    Args:
        der: SubjectPublicKeyInfo with an uncompressed point, 91 bytes.

    Returns:
        The library's key.

    Raises:
        EnvelopeRefused: `key`: no such key, or a point that is not on the curve.
        ConfigInvalid: `extra`: tongsuopy is not installed.
    """
    if len(der) != SM2_PUBLIC_BYTES or not der.startswith(_PREFIX):
        raise refused("key")
    try:
        return sm2_library().public_key(der)
    except ValueError as error:
        raise refused("key") from error


def verify_sm2(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a key signed a message: SM2 with SM3, identity 1234567812345678.

    Args:
        public: SubjectPublicKeyInfo in DER.
        message: what was signed.
        signature: DER of r and s, 8 to 72 bytes, in its shortest form.

    Returns:
        True only if it verifies; a key that `check_sm2_public` refuses verifies nothing.

    Raises:
        ConfigInvalid: `extra`: tongsuopy is not installed.
    """
    if not is_sm2_signature(signature):
        return False
    try:
        key = check_sm2_public(public)
    except EnvelopeRefused:
        return False
    return sm2_library().verify(key, message, signature)


def wrap_sm2(public: bytes, content_key: bytes, info: bytes = b"") -> bytes:
    """Encrypt a content key to an SM2 reader: C1 C3 C2 in DER (GB/T 35276).

    Args:
        public: SubjectPublicKeyInfo in DER.
        content_key: 16 bytes.
        info: not used: SM2 encryption has no label. The commitment binds key and envelope.

    Returns:
        At most 124 bytes; different each time.

    Raises:
        EnvelopeRefused: `key`: the public key is refused.
        ConfigInvalid: `extra`: tongsuopy is not installed.
    """
    del info
    wrapped = sm2_library().encrypt(check_sm2_public(public), content_key)
    if wrapped is None or not is_sm2_ciphertext(wrapped):
        raise refused("key")
    return wrapped


def is_sm2_signature(der: bytes) -> bool:
    """Say whether bytes are r and s in range, in their one DER form."""
    fields = _sequence(der)
    return [tag for tag, _ in fields] == [_INTEGER, _INTEGER] and all(
        _is_integer(value, SM2_ORDER) for _, value in fields
    )


def is_sm2_ciphertext(der: bytes) -> bool:
    """Say whether bytes are an encrypted content key in its one DER form."""
    fields = _sequence(der)
    if [tag for tag, _ in fields] != [_INTEGER, _INTEGER, _OCTETS, _OCTETS]:
        return False
    x, y, check, cipher = (value for _, value in fields)
    sizes = (len(check), len(cipher))
    return (
        _is_integer(x, _FIELD)
        and _is_integer(y, _FIELD)
        and sizes == (_DIGEST_BYTES, _CONTENT_KEY_BYTES)
    )


def _sequence(der: bytes) -> list[tuple[int, bytes]]:
    """Split one SEQUENCE of short fields (X.690 §8.1, lengths below 128); else nothing."""
    if len(der) < 2 or der[0] != _SEQUENCE or der[1] != len(der) - 2 or der[1] > 127:
        return []
    fields, rest = [], der[2:]
    while rest:
        if len(rest) < 2 or rest[1] > len(rest) - 2 or rest[1] > 127:
            return []
        end = 2 + rest[1]
        fields.append((rest[0], rest[2:end]))
        rest = rest[end:]
    return fields


def _is_integer(value: bytes, limit: int) -> bool:
    """Say whether these are the shortest bytes of an integer from 1 below a limit."""
    number = int.from_bytes(value, "big", signed=True)
    # One byte more than the number's bits need, where the highest bit would read as a sign.
    return 0 < number < limit and len(value) == number.bit_length() // 8 + 1
