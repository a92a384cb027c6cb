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
from concura.sealing.erasure import Erasure, Receipt, read_receipt
from concura.sealing.form import IV_BYTES, Sealed, Wrap, parse
from concura.sealing.hierarchy import (
    PatientKeys,
    unwrap_patient_keys,
    unwrap_store_key,
    wrap_patient_keys,
    wrap_store_key,
)
from concura.sealing.inventory import (
    Inventory,
    read_inventory,
)
from concura.sealing.keys import (
    CONTENT_KEY_BYTES,
    check_rsa_public,
    fingerprint,
    pseudonym,
    verify_signature,
    verify_witness,
    wrap_content_key,
)
from concura.sealing.package import (
    Manifest,
    associated_data,
    is_file_name,
    make_prelude,
    package_context,
    read_manifest,
    read_prelude,
)
from concura.sealing.rows import NONCE_BYTES, open_row, seal_row, token, unwrap_key, wrap_key
from concura.sealing.shamir import Share, combine, read_share, split
from concura.sealing.stream import (
    LARGE,
    SMALL,
    Layout,
    SegmentCipher,
    SegmentTree,
    make_header,
    segment_digest,
)
from concura.sealing.suite import AES, SM, SUITES, Suite, suite_named

__all__ = [
    "AES",
    "CONTENT_KEY_BYTES",
    "IV_BYTES",
    "LARGE",
    "NONCE_BYTES",
    "SALT_BYTES",
    "SM",
    "SMALL",
    "SUITES",
    "Context",
    "Erasure",
    "Inventory",
    "Layout",
    "Manifest",
    "Opened",
    "PatientKeys",
    "Receipt",
    "Record",
    "Sealed",
    "SegmentCipher",
    "SegmentTree",
    "Share",
    "Statement",
    "Suite",
    "Wrap",
    "add_recipient",
    "associated_data",
    "check_context",
    "check_digest",
    "check_recipient",
    "check_rsa_public",
    "combine",
    "fingerprint",
    "is_file_name",
    "make_header",
    "make_prelude",
    "open_row",
    "package_context",
    "parse",
    "pseudonym",
    "read_inventory",
    "read_manifest",
    "read_prelude",
    "read_receipt",
    "read_share",
    "seal",
    "seal_row",
    "segment_digest",
    "signing_input",
    "split",
    "suite_named",
    "token",
    "unseal",
    "unwrap_key",
    "unwrap_patient_keys",
    "unwrap_store_key",
    "verify",
    "verify_signature",
    "verify_witness",
    "wrap_content_key",
    "wrap_key",
    "wrap_patient_keys",
    "wrap_store_key",
]
