"""The suites: everything that names an algorithm asks one of these two tables.

`AES` is the default: AES-256-GCM, RSA-3072 (PSS, OAEP), SHA-256, under their registered JOSE names.
`SM` is a private profile, version 1: SM4-GCM, SM2, SM3, under URNs, for want of registered names.
A consortium has one suite; what is written under another is refused and never guessed at, so that
nobody can talk a reader down to another algorithm. What each covers: docs/spec/suites.md.

This module does NOT compute anything itself and does NOT choose: the consortium does.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as macs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from concura.errors import ConfigInvalid, KeyUnavailable
from concura.limits import RSA_MAX_BITS, RSA_MIN_BITS
from concura.sealing.hpke import HPKE_PUBLIC_BYTES, HPKE_WRAPPED_BYTES, wrap_hpke
from concura.sealing.refusal import refused
from concura.sealing.rsa import check_rsa_public, verify_pss, wrap_oaep
from concura.sealing.sm import SM4_KEY_BYTES, Bytes, Sm4Gcm, sm4_key_unwrap, sm4_key_wrap
from concura.sealing.sm2 import check_sm2_public, is_sm2_ciphertext, verify_sm2, wrap_sm2

__all__ = ["AES", "SM", "SUITES", "Aead", "Signing", "Suite", "Wrapping", "suite_named"]


class Aead(Protocol):
    """Authenticated encryption under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Return ciphertext and tag (16 bytes). `nonce` is 12 bytes, never twice under one key."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Return the plaintext. Raises InvalidTag."""
        ...

    def encrypt_into(
        self, nonce: bytes, data: Bytes, associated_data: bytes | None, buf: Bytes
    ) -> int:
        """Encrypt into a buffer that is 16 bytes longer than the data."""
        ...

    def decrypt_into(
        self, nonce: bytes, data: Bytes, associated_data: bytes | None, buf: Bytes
    ) -> int:
        """Decrypt into a buffer that is 16 bytes shorter; it MUST NOT be used if this raises."""
        ...


@dataclass(frozen=True, slots=True)
class Signing:
    """How members sign.

    Attributes:
        name: `alg` of the signed statement.
        check: reads a public key; raises EnvelopeRefused `key`.
        verify: (public, message, signature) to whether it verifies.
    """

    name: str
    check: Callable[[bytes], object]
    verify: Callable[[bytes, bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Wrapping:
    """One way in which a content key is wrapped to a reader.

    Attributes:
        name: `alg` of the wrap.
        is_key: whether a public key has this kind's outer form.
        wrap: (public, content key, info) to the wrapped key; raises EnvelopeRefused `key`.
        is_wrapped: whether a wrapped key has this kind's form.
        is_post_quantum: whether a quantum computer would have to break a lattice too.
    """

    name: str
    is_key: Callable[[bytes], bool]
    wrap: Callable[[bytes, bytes, bytes], bytes]
    is_wrapped: Callable[[bytes], bool]
    is_post_quantum: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """All algorithms of one consortium.

    Attributes:
        name: `aes` or `sm`.
        cipher: `enc` of a sealed record.
        key_bytes: length of content keys, row keys and the keys that wrap them.
        signing: how members sign.
        wrappings: how content keys are wrapped to readers.
        hash: makes the hash of digests, HMAC and HKDF; 32 bytes.
        aead: makes the cipher of bodies and rows from a key.
        wrap_key: (wrapping key, key) to the wrapped key, 8 bytes longer; raises ValueError.
        unwrap_key: the way back; raises KeyUnavailable `wrapped`.
        is_pq_required: whether readers without post-quantum keys are refused.
    """

    name: str
    cipher: str
    key_bytes: int
    signing: Signing
    wrappings: tuple[Wrapping, ...]
    hash: Callable[[], hashes.HashAlgorithm]
    aead: Callable[[bytes], Aead]
    wrap_key: Callable[[bytes, bytes], bytes]
    unwrap_key: Callable[[bytes, bytes], bytes]
    is_pq_required: bool = False

    def digest(self, data: bytes) -> bytes:
        """Return the digest of the data, 32 bytes.

        Example:
            >>> AES.digest(b"abc").hex()[:8], SM.digest(b"abc").hex()[:8]
            ('ba7816bf', '66c7f0f4')
        """
        work = hashes.Hash(self.hash())
        work.update(data)
        return work.finalize()

    def mac(self, key: bytes, data: bytes) -> bytes:
        """Return HMAC under the suite's hash (RFC 2104), 32 bytes."""
        if self.hash is hashes.SHA256:
            return hmac.digest(key, data, "sha256")  # several times as fast for short texts
        work = macs.HMAC(key, self.hash())
        work.update(data)
        return work.finalize()

    def derive(self, key: bytes, info: bytes, *, length: int, salt: bytes | None = None) -> bytes:
        """Return HKDF under the suite's hash (RFC 5869).

        Args:
            key: the input key.
            info: what the result is for.
            length: how many bytes.
            salt: None where the key is uniformly random already.
        """
        return HKDF(self.hash(), length, salt=salt, info=info).derive(key)

    def wrapping_named(self, name: object) -> Wrapping:
        """Return the wrapping with this `alg`.

        Raises:
            EnvelopeRefused: `header`: not of this suite; `policy`: its readers are refused here.
        """
        for wrapping in self.wrappings:
            if wrapping.name == name:
                return self._allowed(wrapping)
        raise refused("header")

    def wrapping_for(self, public: bytes) -> Wrapping:
        """Return the wrapping for a reader's public key.

        Raises:
            EnvelopeRefused: `key`: not a key of this suite; `policy`: its kind is refused here.
        """
        for wrapping in self.wrappings:
            if wrapping.is_key(public):
                return self._allowed(wrapping)
        raise refused("key")

    def _allowed(self, wrapping: Wrapping) -> Wrapping:
        if self.is_pq_required and not wrapping.is_post_quantum:
            raise refused("policy")
        return wrapping


def suite_named(name: str, *, pq: str = "allowed") -> Suite:
    """Return a consortium's suite.

    Args:
        name: `aes` or `sm`.
        pq: `allowed`: readers may have post-quantum keys; `required`: others are refused.

    Returns:
        The suite.

    Raises:
        ConfigInvalid: `suite`: no such suite, no such policy, or `sm` with `required`.

    Example:
        >>> suite_named("aes", pq="required").is_pq_required
        True
    """
    suite = SUITES.get(name)
    if suite is None or pq not in {"allowed", "required"}:
        raise ConfigInvalid("suite", name=name, known=", ".join(SUITES))
    if pq == "allowed":
        return suite
    if not any(wrapping.is_post_quantum for wrapping in suite.wrappings):
        raise ConfigInvalid("suite_pq", name=name)
    return replace(suite, is_pq_required=True)


def _unwrap_aes(kek: bytes, wrapped: bytes) -> bytes:
    try:
        return aes_key_unwrap(kek, wrapped)
    except (InvalidUnwrap, ValueError) as error:
        raise KeyUnavailable("wrapped", detail="AES-KW") from error


def _wrap_aes(kek: bytes, key: bytes) -> bytes:
    if len(kek) != _AES_KEY_BYTES:
        raise ValueError("wrapping key")
    return aes_key_wrap(kek, key)


def _aes_gcm(key: bytes) -> AESGCM:
    # AESGCM would take shorter keys too, which this suite does not have.
    if len(key) != _AES_KEY_BYTES:
        raise ValueError("AES key")
    return AESGCM(key)


_AES_KEY_BYTES = 32

# The lengths tell the kinds of keys apart: no RSA key that is taken reaches 1216 bytes in DER.
_RSA_OAEP = Wrapping(
    name="RSA-OAEP-256",
    is_key=lambda public: len(public) != HPKE_PUBLIC_BYTES,
    wrap=wrap_oaep,
    is_wrapped=lambda wrapped: RSA_MIN_BITS // 8 <= len(wrapped) <= RSA_MAX_BITS // 8,
)
_HPKE = Wrapping(
    name="urn:concura:hpke:1:mlkem768-x25519",
    is_key=lambda public: len(public) == HPKE_PUBLIC_BYTES,
    wrap=wrap_hpke,
    is_wrapped=lambda wrapped: len(wrapped) == HPKE_WRAPPED_BYTES,
    is_post_quantum=True,
)
_SM2 = Wrapping(
    name="urn:concura:sm:1:sm2",
    is_key=lambda _: True,  # the only kind; `wrap` reads it strictly
    wrap=wrap_sm2,
    is_wrapped=is_sm2_ciphertext,
)

AES = Suite(
    name="aes",
    cipher="A256GCM",
    key_bytes=_AES_KEY_BYTES,
    signing=Signing("PS256", check_rsa_public, verify_pss),
    wrappings=(_RSA_OAEP, _HPKE),
    hash=hashes.SHA256,
    aead=_aes_gcm,
    wrap_key=_wrap_aes,
    unwrap_key=_unwrap_aes,
)
SM = Suite(
    name="sm",
    cipher="urn:concura:sm:1:sm4-gcm",
    key_bytes=SM4_KEY_BYTES,
    signing=Signing("urn:concura:sm:1:sm2-sm3", check_sm2_public, verify_sm2),
    wrappings=(_SM2,),
    hash=hashes.SM3,
    aead=Sm4Gcm,
    wrap_key=sm4_key_wrap,
    unwrap_key=sm4_key_unwrap,
)
SUITES: Mapping[str, Suite] = MappingProxyType({"aes": AES, "sm": SM})
