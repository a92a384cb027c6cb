"""The sealed record: AES for the data, RSA for the key, the sender's signature inside.

Which algorithms stand for these is the suite's, an argument with the mission's as its default.

A JWE (RFC 7516) around a JWS (RFC 7515): `form` is the outside, `content` the inside, `refusal` the
numbered steps; this module joins them. Byte-exact in docs/spec/envelope.md.

This module does NOT draw keys, salts or nonces (they are arguments), does NOT touch private keys
(`KeyStore.sign` and `KeyStore.unwrap` are called between its functions), does NOT ask the ledger.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag

from concura.canonical import b64decode, b64encode, decode, encode
from concura.limits import ENVELOPE_MAX_BYTES, RECIPIENTS_MAX
from concura.sealing.content import (
    VERSION,
    Context,
    Record,
    Statement,
    binding,
    read_statement,
    signing_input,
)
from concura.sealing.form import (
    COMMITMENT_BYTES,
    IV_BYTES,
    TAG_BYTES,
    Sealed,
    Wrap,
    header_of,
    parse,
    wrap_info,
)
from concura.sealing.keys import fingerprint, verify_signature, wrap_content_key
from concura.sealing.refusal import refused
from concura.sealing.suite import AES, Suite
from concura.types import Fingerprint

__all__ = [
    "Context",
    "Opened",
    "Record",
    "Sealed",
    "add_recipient",
    "check_context",
    "check_digest",
    "check_recipient",
    "commitment",
    "parse",
    "seal",
    "signing_input",
    "unseal",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Opened:
    """A decrypted record whose sender is claimed, not verified: only `verify` gives the body.

    Args:
        sealed: what it was opened from.
        statement: the signed statement inside.
    """

    sealed: Sealed
    statement: Statement

    @property
    def context(self) -> Context:
        """The claimed context: good for looking up the sender's key, and for nothing else."""
        return self.statement.claimed.context


def commitment(content_key: bytes, *, suite: Suite = AES) -> bytes:
    """Return HKDF(content key, info "concura commit") under the suite's hash, 32 bytes.

    GCM does not commit to its key: one ciphertext can be built that opens under two keys to two
    records, one for each reader. This value in the authenticated header allows one key only.
    """
    return suite.derive(content_key, b"concura commit", length=COMMITMENT_BYTES)


def seal(
    signing_input: bytes,
    signature: bytes,
    *,
    context: Context,
    salt: bytes,
    recipients: Sequence[bytes],
    content_key: bytes,
    iv: bytes,
    suite: Suite = AES,
) -> bytes:
    """Seal a signed statement to its readers.

    Args:
        signing_input: from `content.signing_input`.
        signature: the sender's signature over it.
        context: the context that was signed.
        salt: the salt that was signed, 32 bytes.
        recipients: public wrap keys, in the order of `context.recipients`: DER, or the 1216 bytes
            of a post-quantum reader.
        content_key: `suite.key_bytes` random bytes, drawn for this record alone.
        iv: 12 random bytes.
        suite: the consortium's.

    Returns:
        Canonical bytes of the JWE.

    Raises:
        EnvelopeRefused: `key`, `policy`: a public key is refused; `parts`: the parts do not belong
            together; `content`: the statement has not its form; `size`: the result is too large.

    Example:
        >>> data = seal(message, store.sign(message), context=context, salt=salt,
        ...             recipients=[reader_public], content_key=content_key, iv=iv)
    """
    compact = signing_input + b"." + b64encode(signature).encode("ascii")
    # A record that its own reader would refuse must not leave the house.
    statement = read_statement(compact, suite=suite)
    if statement.claimed.context != context or statement.salt != salt:
        raise refused("parts", part="context")
    if tuple(fingerprint(public) for public in recipients) != context.recipients:
        raise refused("parts", part="recipients")
    if len(content_key) != suite.key_bytes or len(iv) != IV_BYTES:
        raise refused("parts", part="content_key, iv")
    commit = b64encode(commitment(content_key, suite=suite))
    protected = encode({**header_of(suite), "commit": commit})
    bound = binding(context, salt, suite=suite)
    aad = encode({"binding": bound, "transfer": context.transfer, "v": VERSION})
    both = suite.aead(content_key).encrypt(iv, compact, _associated(protected, aad))
    sealed = Sealed(protected, aad, iv, both[:-TAG_BYTES], both[-TAG_BYTES:], (), suite)
    wraps = tuple(_wrap(sealed, content_key, public) for public in recipients)
    return _bounded(replace(sealed, wraps=wraps))


def check_digest(sealed: Sealed, digest: str) -> None:
    """Step 2: refuse a record that is not the one on the ledger.

    Args:
        sealed: the record.
        digest: the digest in the transfer's ledger entry.

    Raises:
        EnvelopeRefused: `digest`.
    """
    if sealed.digest != digest:
        raise refused("digest")


def unseal(sealed: Sealed, content_key: bytes) -> Opened:
    """Decrypt a record. Steps 4 to 6: key commitment, decryption, form of the content.

    Args:
        sealed: from `parse`.
        content_key: from `KeyStore.unwrap` (step 3).

    Returns:
        The opened record, its sender still unverified.

    Raises:
        EnvelopeRefused: `commitment`, `decryption` or `content`.

    Example:
        >>> opened = unseal(sealed, store.unwrap(sealed.encrypted_key(my_fingerprint)))
        >>> sender = opened.context.sender
    """
    _check_commitment(sealed, content_key)  # (4)
    associated = _associated(sealed.protected, sealed.aad)
    try:
        compact = sealed.suite.aead(content_key).decrypt(
            sealed.iv, sealed.ciphertext + sealed.tag, associated
        )  # (5)
    except InvalidTag as error:
        raise refused("decryption") from error
    return Opened(sealed, read_statement(compact, suite=sealed.suite))  # (6)


def verify(opened: Opened, *, sender_public: bytes) -> Record:
    """Verify what was opened. Steps 7 and 8: the binding to the outside, the sender's signature.

    Args:
        opened: from `unseal`.
        sender_public: DER signing key of the claimed sender, as the ledger has it; of the suite
            that the record was read with.

    Returns:
        The record.

    Raises:
        EnvelopeRefused: `binding`, `entries` or `signature`.

    Example:
        >>> record = verify(opened, sender_public=ledger_key_of(opened.context.sender))
        >>> check_context(record, chain=..., transfer=..., consent=..., purpose=..., sender=...)
    """
    statement, context = opened.statement, opened.context
    outside = decode(opened.sealed.aad)
    # (7) Without it a reader could put a signed statement into a wrapper for another transfer.
    suite = opened.sealed.suite
    expected = binding(context, statement.salt, suite=suite)
    if outside["binding"] != expected or outside["transfer"] != context.transfer:
        raise refused("binding")
    # (7) GCM does not cover the wraps; the signed list names the first ones. Added readers follow.
    if opened.sealed.recipients[: len(context.recipients)] != context.recipients:
        raise refused("entries")
    message, signature = statement.signing_input, statement.signature
    if not verify_signature(sender_public, message, signature, suite=suite):  # (8)
        raise refused("signature")
    return statement.claimed


def check_context(
    record: Record, *, chain: str, transfer: str, consent: str, purpose: str, sender: str
) -> None:
    """Step 9: compare a verified record with what the ledger says of its transfer.

    Args:
        record: from `verify`.
        chain: the chain that this node follows.
        transfer: the transfer that was asked for.
        consent: the consent in the ledger's entry.
        purpose: the purpose in the ledger's entry.
        sender: the member that signed the ledger's entry.

    Raises:
        EnvelopeRefused: `context`, naming the field.
    """
    context = record.context
    expected = {
        "chain": chain,
        "transfer": transfer,
        "consent": consent,
        "purpose": purpose,
        "sender": sender,
    }
    for field, value in expected.items():
        if getattr(context, field) != value:
            raise refused("context", field=field)


def check_recipient(record: Record, reader: Fingerprint) -> None:
    """Step 9: refuse a record that its sender did not seal to this reader.

    Where a ledger entry of a re-wrapper allows it ("sealed by A, passed on by B"), the caller
    checks that entry instead.

    Args:
        record: from `verify`.
        reader: fingerprint of the reader's wrap key.

    Raises:
        EnvelopeRefused: `recipient`.
    """
    if reader not in record.context.recipients:
        raise refused("recipient")


def add_recipient(sealed: Sealed, content_key: bytes, public: bytes) -> bytes:
    """Re-wrap: add one reader; digest and content stay. The ledger entry is the caller's duty.

    Args:
        sealed: from `parse`.
        content_key: its content key.
        public: wrap key of the new reader, as for `seal`.

    Returns:
        Canonical bytes of the record with one more wrap, at the end.

    Raises:
        EnvelopeRefused: `commitment`: not the key of this record; `recipients`: already a reader,
            or too many; `key`, `policy`: the public key is refused.
    """
    _check_commitment(sealed, content_key)
    reader = fingerprint(public)
    if reader in sealed.recipients or len(sealed.wraps) >= RECIPIENTS_MAX:
        raise refused("recipients")
    wrap = _wrap(sealed, content_key, public)
    return _bounded(replace(sealed, wraps=(*sealed.wraps, wrap)))


def _wrap(sealed: Sealed, content_key: bytes, public: bytes) -> Wrap:
    reader, suite = fingerprint(public), sealed.suite
    info = wrap_info(sealed.protected, sealed.aad, reader)
    wrapped = wrap_content_key(public, content_key, info=info, suite=suite)
    return Wrap(reader, wrapped, suite.wrapping_for(public).name)


def _associated(protected: bytes, aad: bytes) -> bytes:
    # RFC 7516 §5.1 step 14: both in base64url, joined by a dot.
    return f"{b64encode(protected)}.{b64encode(aad)}".encode("ascii")


def _bounded(sealed: Sealed) -> bytes:
    data = sealed.encoded()
    if len(data) > ENVELOPE_MAX_BYTES:
        raise refused("size")
    return data


def _check_commitment(sealed: Sealed, content_key: bytes) -> None:
    if len(content_key) != sealed.suite.key_bytes:
        raise refused("commitment")
    stated = b64decode(decode(sealed.protected)["commit"])
    if not hmac.compare_digest(commitment(content_key, suite=sealed.suite), stated):
        raise refused("commitment")
