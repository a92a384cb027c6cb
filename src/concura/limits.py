"""Every maximum, with its unit and its reason.

This module does NOT hold settings: what an operator may change stands in `profiles.py`.
"""

__all__ = [
    "BLOCK_MAX_BYTES",
    "CLOCK_SKEW_MAX_MS",
    "CONSENTS_PER_ENTRY_MAX",
    "CONTEXT_FIELD_MAX_CHARS",
    "CONTRIBUTION_MAX_VALUES",
    "DIFFICULTY_MAX_BITS",
    "ENTRIES_PER_BLOCK_MAX",
    "ENTRY_MAX_BYTES",
    "ENVELOPE_MAX_BYTES",
    "ERASURE_RECEIPT_MAX_BYTES",
    "FILE_NAME_MAX_BYTES",
    "FILE_RECORD_MAX_BYTES",
    "INTEGER_MAX",
    "INVENTORY_SEGMENTS_MAX",
    "INVITATION_MAX_BYTES",
    "JSON_DEPTH_MAX",
    "KEY_BACKUP_WINDOW_MS",
    "KEY_STORE_URI_MAX_CHARS",
    "MAPPING_MAX_BYTES",
    "MEDIA_TYPE_MAX_CHARS",
    "MEMBERS_MAX",
    "NAME_MAX_CHARS",
    "NOTE_MAX_BYTES",
    "RECEIPT_DEADLINE_MAX_MS",
    "RECIPIENTS_MAX",
    "REQUEST_MAX_BYTES",
    "REWRAP_WITHIN_MS",
    "RSA_MAX_BITS",
    "RSA_MIN_BITS",
    "SHARES_MAX",
    "SHARE_MAX_CHARS",
    "STREAM_SEGMENTS_MAX",
    "TABLE_FILE_MAX_BYTES",
    "TABLE_LINE_MAX_CHARS",
    "TABLE_ROWS_MAX",
]

INTEGER_MAX = 2**53 - 1  # the largest integer that every JSON reader keeps exact
JSON_DEPTH_MAX = 64  # nesting; FHIR's deepest examples reach about 15

ENTRY_MAX_BYTES = 256 * 1024  # a ledger entry holds digests and ids, never documents
BLOCK_MAX_BYTES = 16 * 1024 * 1024  # a block is sent, hashed and stored in one piece
NOTE_MAX_BYTES = 64 * 1024  # a checkpoint with the lines of MEMBERS_MAX witnesses
ENTRIES_PER_BLOCK_MAX = 1_000  # keeps a block, and its check, under a second
CONSENTS_PER_ENTRY_MAX = 512  # one signature for a ward's consents, within ENTRY_MAX_BYTES
MEMBERS_MAX = 256  # every head is co-signed by most of them
DIFFICULTY_MAX_BITS = 28  # about 100 s of work per block on one core
RECEIPT_DEADLINE_MAX_MS = 180_000  # the hub promises a block in a minute; clocks differ by one
CLOCK_SKEW_MAX_MS = 60_000  # an entry's time may differ this much from the shell's clock

ENVELOPE_MAX_BYTES = 64 * 1024 * 1024  # a sealed record is opened in memory
CONTEXT_FIELD_MAX_CHARS = 65_536  # a checkpoint with MEMBERS_MAX cosignatures is about 50 kB
MEDIA_TYPE_MAX_CHARS = 128  # RFC 6838 §4.2 names are shorter
RSA_MIN_BITS = 3_072  # 128 bits of security (NIST SP 800-57 part 1, table 2)
RSA_MAX_BITS = 8_192  # a larger key only costs its reader time
RECIPIENTS_MAX = 64  # readers of one sealed record
REQUEST_MAX_BYTES = ENVELOPE_MAX_BYTES  # the largest HTTP body that either server reads
INVITATION_MAX_BYTES = 4 * 1024 * 1024  # genesis with MEMBERS_MAX founders and their certificates
KEY_STORE_URI_MAX_CHARS = 4_096  # a setting of one line: a path, a token's label, an ARN
NAME_MAX_CHARS = 64  # a member's name must fit on a line

STREAM_SEGMENTS_MAX = 2**32  # the segment's number has four bytes in its nonce: 4 PiB at 1 MiB
INVENTORY_SEGMENTS_MAX = 2**20  # 1 TiB at 1 MiB; its list of digests is read in one piece, 70 MB
FILE_RECORD_MAX_BYTES = 1024 * 1024  # the record ahead of a stream: 64 readers' wraps are 90 kB
FILE_NAME_MAX_BYTES = 255  # the longest name that common file systems keep

CONTRIBUTION_MAX_VALUES = 4_000_000  # 32 MB of masked 64-bit values in one contribution

TABLE_FILE_MAX_BYTES = 256 * 1024 * 1024  # a hospital's table is read in one go
TABLE_LINE_MAX_CHARS = 65_536  # a line longer than this is no table row
TABLE_ROWS_MAX = 2_000_000  # rows of one hospital's table
MAPPING_MAX_BYTES = 4 * 1024 * 1024  # a mapping names columns, never patients

REWRAP_WITHIN_MS = 24 * 3_600_000  # after an erasure the old epoch key is destroyed within a day
KEY_BACKUP_WINDOW_MS = 30 * 24 * 3_600_000  # no backup of the key table is kept, or taken, longer
ERASURE_RECEIPT_MAX_BYTES = 64 * 1024  # a receipt is under 2 kB
SHARES_MAX = 32  # people who each keep a share of a root
SHARE_MAX_CHARS = 4_096  # a share of a root is one line of about 110
