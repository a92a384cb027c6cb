"""The outer form of a sealed record: its parts, its canonical bytes, and the strict reader.

JWE in general JSON form (RFC 7516 §7.2.1), written canonically (RFC 8785), in the one suite of the
consortium: RSA-OAEP-256 for keys and A256GCM for content unless it chose another. Byte-exact in
docs/spec/envelope.md.

This module does NOT encrypt, decrypt or verify; what it reads is formed well and nothing more.
"""

from dataclasses import dataclass

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import DataFileInvalid
from concura.limits import ENVELOPE_MAX_BYTES, RECIPIENTS_MAX
from concura.sealing.content import VERSION, is_fingerprint, is_transfer
from concura.sealing.keys import join_fields
from concura.sealing.refusal import refused
from concura.sealing.suite import AES, Suite
from concura.types import Digest, Fingerprint, JsonObject, TransferId

__all__ = [
    "COMMITMENT_BYTES",
    "IV_BYTES",
    "TAG_BYTES",
    "Sealed",
    "Wrap",
    "header_of",
    "parse",
    "wrap_info",
]

IV_BYTES = 12
TAG_BYTES = 16
COMMITMENT_BYTES = 32

_MEMBERS = {"aad", "ciphertext", "iv", "protected", "recipients", "tag"}


@dataclass(frozen=True, slots=True)
class Wrap:
    """The content key wrapped for one reader.

    Args:
        reader: fingerprint of the reader's wrap key.
        encrypted_key: RSA-OAEP ciphertext, 384 to 1024 bytes; or what the suite has.
        algorithm: how it was wrapped, one of the suite's names.
    """

    reader: Fingerprint
    encrypted_key: bytes
    algorithm: str = AES.wrappings[0].name


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed record whose form was checked and nothing else.

    Args:
        protected: the protected header, decoded.
        aad: the additional authenticated data, decoded.
        iv: 12 bytes.
        ciphertext: as long as the signed content.
        tag: 16 bytes.
        wraps: one per reader.
        suite: the one it was read with.
    """

    protected: bytes
    aad: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes
    wraps: tuple[Wrap, ...]
    suite: Suite = AES

    @property
    def recipients(self) -> tuple[Fingerprint, ...]:
        """Fingerprints of the wrap keys that can open it."""
        return tuple(wrap.reader for wrap in self.wraps)

    @property
    def transfer(self) -> TransferId:
        """The transfer it says it belongs to: the one thing that the hub can read."""
        return TransferId(decode(self.aad)["transfer"])

    @property
    def digest(self) -> Digest:
        """What stands on the ledger: the digest of everything but the recipients, hexadecimal."""
        parts = join_fields(self.protected, self.aad, self.iv, self.ciphertext, self.tag)
        return Digest(self.suite.digest(parts).hex())

    def encrypted_key(self, reader: Fingerprint) -> bytes:
        """Return the wrapped content key for `KeyStore.unwrap`.

        Args:
            reader: fingerprint of the reader's wrap key.

        Returns:
            384 to 1024 bytes for RSA; for other kinds see the suite.

        Raises:
            EnvelopeRefused: `reader`: it was not sealed to this key.
        """
        for wrap in self.wraps:
            if wrap.reader == reader:
                return wrap.encrypted_key
        raise refused("reader")

    def wrap_info(self, reader: Fingerprint) -> bytes:
        """Return the `info` for `PostQuantumKeys.unwrap_pq`: this envelope and this reader."""
        return wrap_info(self.protected, self.aad, reader)

    def encoded(self) -> bytes:
        """Return the canonical bytes of the record."""
        return encode(
            {
                "aad": b64encode(self.aad),
                "ciphertext": b64encode(self.ciphertext),
                "iv": b64encode(self.iv),
                "protected": b64encode(self.protected),
                "recipients": [
                    {
                        "encrypted_key": b64encode(wrap.encrypted_key),
                        "header": {"alg": wrap.algorithm, "kid": wrap.reader},
                    }
                    for wrap in self.wraps
                ],
                "tag": b64encode(self.tag),
            }
        )


def header_of(suite: Suite) -> JsonObject:
    """Return the protected header, less its member `commit`."""
    return {"cty": "concura-record+jws", "enc": suite.cipher, "typ": "concura-record+jwe"}


def wrap_info(protected: bytes, aad: bytes, reader: Fingerprint) -> bytes:
    """Return what a post-quantum wrap is bound to: its envelope and its reader.

    HPKE as it is offered takes no additional data; its `info` enters the key schedule instead
    (RFC 9180 §5.1), so that a wrap that was moved opens nothing.

    Args:
        protected: the protected header, decoded.
        aad: the additional authenticated data, decoded.
        reader: fingerprint of the reader's key.

    Returns:
        The length-prefixed fields.
    """
    return join_fields("concura wrap 1", protected, aad, reader)


def parse(data: bytes, *, suite: Suite = AES) -> Sealed:
    """Read a sealed record. Step 1: canonical bytes, exact members, this suite, sane sizes.

    Args:
        data: at most 64 MiB.
        suite: the consortium's; a record of another suite is refused.

    Returns:
        Its parts.

    Raises:
        EnvelopeRefused: `size`, `canonical`, `members`, `encoding`, `header`, `policy` or
            `recipients`.

    Example:
        >>> sealed = parse(data)
        >>> wrapped = sealed.encrypted_key(my_fingerprint)
    """
    if len(data) > ENVELOPE_MAX_BYTES:
        raise refused("size")
    try:
        value = decode(data)
    except DataFileInvalid as error:
        raise refused("canonical") from error
    if not isinstance(value, dict) or set(value) != _MEMBERS:
        raise refused("members")
    sealed = Sealed(
        _binary(value["protected"]),
        _binary(value["aad"]),
        _binary(value["iv"]),
        _binary(value["ciphertext"]),
        _binary(value["tag"]),
        _wraps(value["recipients"], suite),
        suite,
    )
    _check_header(sealed)
    return sealed


def _binary(value: str) -> bytes:
    try:
        return b64decode(value)
    except ValueError as error:
        raise refused("encoding") from error


def _wraps(value: object, suite: Suite) -> tuple[Wrap, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= RECIPIENTS_MAX:
        raise refused("recipients")
    wraps = tuple(_wrap(item, suite) for item in value)
    if len({wrap.reader for wrap in wraps}) != len(wraps):
        raise refused("recipients")
    return wraps


def _wrap(value: object, suite: Suite) -> Wrap:
    if not isinstance(value, dict) or set(value) != {"encrypted_key", "header"}:
        raise refused("members")
    header, encrypted_key = value["header"], _binary(value["encrypted_key"])
    if not isinstance(header, dict) or set(header) != {"alg", "kid"}:
        raise refused("members")
    wrapping = suite.wrapping_named(header["alg"])
    if not is_fingerprint(header["kid"]):
        raise refused("header")
    if not wrapping.is_wrapped(encrypted_key):
        raise refused("encoding")
    return Wrap(Fingerprint(header["kid"]), encrypted_key, wrapping.name)


def _check_header(sealed: Sealed) -> None:
    try:
        header, aad = decode(sealed.protected), decode(sealed.aad)
    except DataFileInvalid as error:
        raise refused("header") from error
    if not isinstance(header, dict) or not isinstance(aad, dict):
        raise refused("header")
    fixed = {name: value for name, value in header.items() if name != "commit"}
    if fixed != header_of(sealed.suite) or "commit" not in header:
        raise refused("header")
    if set(aad) != {"binding", "transfer", "v"} or type(aad["v"]) is not int:
        raise refused("header")
    if (
        aad["v"] != VERSION
        or not is_fingerprint(aad["binding"])
        or not is_transfer(aad["transfer"])
    ):
        raise refused("header")
    sizes = (len(_binary(header["commit"])), len(sealed.iv), len(sealed.tag))
    if sizes != (COMMITMENT_BYTES, IV_BYTES, TAG_BYTES):
        raise refused("encoding")
