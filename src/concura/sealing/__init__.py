"""Sealing: AES for data, RSA for keys; records in transit, rows at rest, names that hide patients.

This package does NOT hold private keys, draw randomness or ask the ledger: see `ports.KeyStore`.
Follows docs/spec/envelope.md and docs/spec/keys.md.
"""

from concura.sealing.content import SALT_BYTES, Context, Record, Statement, signing_input
from concura.sealing.envelope import (
    Opened,
    add_recipient,
    check_context,
    check_digest,
    check_recipient,
    seal,
    unseal,
    verify,
)
from concura.sealing.form import IV_BYTES, Sealed, Wrap, parse
from concura.sealing.keys import (
    CONTENT_KEY_BYTES,
    check_rsa_public,
    fingerprint,
    pseudonym,
    verify_signature,
    verify_witness,
    wrap_content_key,
)
from concura.sealing.rows import NONCE_BYTES, open_row, seal_row, token, unwrap_key, wrap_key

__all__ = [
    "CONTENT_KEY_BYTES",
    "IV_BYTES",
    "NONCE_BYTES",
    "SALT_BYTES",
    "Context",
    "Opened",
    "Record",
    "Sealed",
    "Statement",
    "Wrap",
    "add_recipient",
    "check_context",
    "check_digest",
    "check_recipient",
    "check_rsa_public",
    "fingerprint",
    "open_row",
    "parse",
    "pseudonym",
    "seal",
    "seal_row",
    "signing_input",
    "token",
    "unseal",
    "unwrap_key",
    "verify",
    "verify_signature",
    "verify_witness",
    "wrap_content_key",
    "wrap_key",
]
