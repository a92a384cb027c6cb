"""What stands inside a sealed record: a signed statement of who sends what to whom, and why.

A JWS in compact form (RFC 7515) over the canonical JSON of {v, context, salt, media_type, body},
PS256 (RFC 7518 §3.5) in the AES suite. The strict reader takes one way of writing only.

This module does NOT sign (the `KeyStore` port does), does NOT verify, does NOT encrypt.
"""

import re
from dataclasses import asdict, dataclass

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import DataFileInvalid
from concura.limits import CONTEXT_FIELD_MAX_CHARS, MEDIA_TYPE_MAX_CHARS, RECIPIENTS_MAX
from concura.sealing.refusal import refused
from concura.sealing.suite import AES, Suite
from concura.types import Fingerprint, JsonObject

__all__ = [
    "SALT_BYTES",
    "VERSION",
    "Context",
    "Record",
    "Statement",
    "binding",
    "is_fingerprint",
    "is_transfer",
    "read_statement",
    "signing_input",
]

VERSION = 1
SALT_BYTES = 32

_TYPE = "concura-record+jws"
_PAYLOAD_MEMBERS = {"v", "context", "salt", "media_type", "body"}
_CONTEXT_MEMBERS = {"chain", "transfer", "consent", "purpose", "sender", "recipients", "checkpoint"}
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_TRANSFER = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Context:
    """What a record is bound to. It stands sealed inside; outside stands its salted digest only.

    Args:
        chain: id of the ledger, the genesis digest.
        transfer: 32 hexadecimal digits; it stands readable outside too, so it MUST be random.
        consent: the consent under which it is sent; may be empty where the law needs none.
        purpose: what the record may be used for.
        sender: the sending member.
        recipients: fingerprints of the wrap keys it is first sealed to, in the order of the wraps.
        checkpoint: the sender's newest verified checkpoint; empty before the first.

    Raises:
        EnvelopeRefused: `content`: a field has not this form.
    """

    chain: str
    transfer: str
    consent: str
    purpose: str
    sender: str
    recipients: tuple[Fingerprint, ...]
    checkpoint: str

    def __post_init__(self) -> None:
        texts = (
            self.chain,
            self.transfer,
            self.consent,
            self.purpose,
            self.sender,
            self.checkpoint,
        )
        if not all(isinstance(t, str) and len(t) <= CONTEXT_FIELD_MAX_CHARS for t in texts):
            raise refused("content")
        # Texts that have no canonical bytes cannot be signed, and a transfer id is readable by
        # the hub: a form that holds 16 bytes and nothing else leaves no room for a name.
        if not is_transfer(self.transfer) or not _is_recipients(self.recipients):
            raise refused("content")

    def encoded(self) -> bytes:
        """Return the canonical bytes of the context.

        Raises:
            EnvelopeRefused: `content`: a text has no UTF-8 form.
        """
        try:
            return encode(self._json())
        except ValueError as error:
            raise refused("content") from error

    def _json(self) -> JsonObject:
        return {**asdict(self), "recipients": list(self.recipients)}


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose sender is verified.

    Args:
        context: what it is bound to.
        media_type: what `body` is, such as `application/fhir+json`.
        body: the plaintext.
    """

    context: Context
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A decrypted statement of which only the form was checked: claimed, not verified."""

    claimed: Record
    salt: bytes
    signing_input: bytes
    signature: bytes


def signing_input(
    context: Context, body: bytes, *, media_type: str, salt: bytes, suite: Suite = AES
) -> bytes:
    """Write what the sender signs: the JWS signing input (RFC 7515 §5.1).

    Args:
        context: what the record is bound to.
        body: the plaintext.
        media_type: what the body is, 1 to 128 characters.
        salt: 32 fresh random bytes; without them the digest outside could be guessed from a
            known context.
        suite: the consortium's.

    Returns:
        ASCII bytes, to be signed by the sender's key store.

    Raises:
        EnvelopeRefused: `parts`: salt or media type have another length; `content`: a text has
            no canonical form.

    Example:
        >>> message = signing_input(context, body, media_type="application/fhir+json", salt=salt)
        >>> signature = store.sign(message)
    """
    if len(salt) != SALT_BYTES:
        raise refused("parts", part="salt")
    if not 0 < len(media_type) <= MEDIA_TYPE_MAX_CHARS:
        raise refused("parts", part="media_type")
    payload = {
        "v": VERSION,
        "context": decode(context.encoded()),
        "salt": b64encode(salt),
        "media_type": media_type,
        "body": b64encode(body),
    }
    try:
        return f"{b64encode(encode(_header(suite)))}.{b64encode(encode(payload))}".encode("ascii")
    except ValueError as error:
        raise refused("content") from error


def binding(context: Context, salt: bytes, *, suite: Suite = AES) -> str:
    """Return digest(salt || canonical context), hexadecimal: the context as seen from outside."""
    return suite.digest(salt + context.encoded()).hex()


def read_statement(compact: bytes, *, suite: Suite = AES) -> Statement:
    """Read a compact JWS strictly: one header, exact members, canonical bytes.

    Args:
        compact: the decrypted bytes.
        suite: the consortium's; a statement signed in another way is refused.

    Returns:
        The statement. Its claims MUST NOT be used before its signature is verified.

    Raises:
        EnvelopeRefused: `content`.
    """
    message, _, tail = compact.rpartition(b".")
    head, _, middle = message.partition(b".")
    try:
        header = decode(b64decode(head.decode("ascii")))
        payload = decode(b64decode(middle.decode("ascii")))
        signature = b64decode(tail.decode("ascii"))
        if header != _header(suite) or not _is_payload(payload):
            raise refused("content")
        claimed = Record(
            _context(payload["context"]), payload["media_type"], b64decode(payload["body"])
        )
        salt = b64decode(payload["salt"])
    except (ValueError, DataFileInvalid) as error:
        raise refused("content") from error
    if len(salt) != SALT_BYTES:
        raise refused("content")
    return Statement(claimed, salt, message, signature)


def is_fingerprint(value: object) -> bool:
    """Say whether a value has the form of a fingerprint."""
    return isinstance(value, str) and _FINGERPRINT.fullmatch(value) is not None


def is_transfer(value: object) -> bool:
    """Say whether a value has the form of a transfer id."""
    return isinstance(value, str) and _TRANSFER.fullmatch(value) is not None


def _header(suite: Suite) -> JsonObject:
    return {"alg": suite.signing.name, "typ": _TYPE}


def _is_recipients(value: tuple[Fingerprint, ...]) -> bool:
    return (
        isinstance(value, tuple)
        and 0 < len(value) <= RECIPIENTS_MAX
        and all(is_fingerprint(item) for item in value)
        and len(set(value)) == len(value)
    )


def _is_payload(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != _PAYLOAD_MEMBERS:
        return False
    media_type = value["media_type"]
    # `type is int`: in Python True equals 1, and `true` must not pass for version 1.
    return (
        type(value["v"]) is int
        and value["v"] == VERSION
        and isinstance(media_type, str)
        and 0 < len(media_type) <= MEDIA_TYPE_MAX_CHARS
    )


def _context(value: object) -> Context:
    if not isinstance(value, dict) or set(value) != _CONTEXT_MEMBERS:
        raise refused("content")
    recipients = value["recipients"]
    if not isinstance(recipients, list):
        raise refused("content")
    return Context(**{**value, "recipients": tuple(recipients)})
