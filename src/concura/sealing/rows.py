"""At rest: rows under their key, keys under another, tokens in place of identifying values.

AES-256-GCM per row (NIST SP 800-38D) with the row's place as authenticated data, so that a swapped
or rolled-back row is refused; AES key wrap (RFC 3394); HMAC-SHA-256 tokens (RFC 2104); or what the
consortium's suite has in their places.

This module does NOT keep keys, does NOT draw nonces, does NOT know what a row means.
"""

from cryptography.exceptions import InvalidTag

from concura.canonical import encode
from concura.errors import StoreCorrupt
from concura.sealing.keys import join_fields
from concura.sealing.suite import AES, Suite

__all__ = ["NONCE_BYTES", "open_row", "seal_row", "token", "unwrap_key", "wrap_key"]

NONCE_BYTES = 12


def seal_row(
    body: bytes,
    *,
    key: bytes,
    nonce: bytes,
    store: str,
    kind: str,
    id: str,  # noqa: A002 - the member's name in the format
    version: int,
    suite: Suite = AES,
) -> bytes:
    """Encrypt one row for its one place.

    Args:
        body: the plaintext.
        key: 32 bytes; 16 in the SM suite.
        nonce: 12 random bytes; one key MUST NOT see more than 2^32 of them (SP 800-38D §8.3).
        store: which store the row is in.
        kind: which kind of row, such as a resource type.
        id: which one.
        version: which version of it.
        suite: the consortium's.

    Returns:
        nonce || ciphertext || tag: 28 bytes more than the body.

    Raises:
        ValueError: the key or the nonce has another length.

    Example:
        >>> row = seal_row(b"{}", key=key, nonce=nonce, store="records", kind="Patient", id="p1",
        ...                version=1)
    """
    if len(key) != suite.key_bytes or len(nonce) != NONCE_BYTES:
        raise ValueError("row key or nonce")
    return nonce + suite.aead(key).encrypt(nonce, body, _place(store, kind, id, version))


def open_row(
    row: bytes,
    *,
    key: bytes,
    store: str,
    kind: str,
    id: str,  # noqa: A002 - the member's name in the format
    version: int,
    suite: Suite = AES,
) -> bytes:
    """Decrypt one row, if it is the one that was put in this place.

    Args:
        row: from `seal_row`.
        key: 32 bytes; 16 in the SM suite.
        store: which store the row is in.
        kind: which kind of row.
        id: which one.
        version: which version of it.
        suite: the consortium's.

    Returns:
        The plaintext.

    Raises:
        StoreCorrupt: `row`: changed, swapped with another row, an older version, or another key.

    Example:
        >>> open_row(row, key=key, store="records", kind="Patient", id="p1", version=1)
        b'{}'
    """
    try:
        return suite.aead(key).decrypt(
            row[:NONCE_BYTES], row[NONCE_BYTES:], _place(store, kind, id, version)
        )
    except (InvalidTag, ValueError) as error:
        raise StoreCorrupt("row", file=store, detail=kind) from error


def wrap_key(kek: bytes, key: bytes, *, suite: Suite = AES) -> bytes:
    """Wrap a key under another (RFC 3394).

    Args:
        kek: the wrapping key, 32 bytes; 16 in the SM suite.
        key: 16 to 64 bytes, a multiple of 8.
        suite: the consortium's.

    Returns:
        8 bytes more than the key.

    Raises:
        ValueError: a key has another length.

    Example:
        >>> unwrap_key(kek, wrap_key(kek, key)) == key
        True
    """
    return suite.wrap_key(kek, key)


def unwrap_key(kek: bytes, wrapped: bytes, *, suite: Suite = AES) -> bytes:
    """Open a key wrapped by `wrap_key`.

    Args:
        kek: the wrapping key, 32 bytes.
        wrapped: from `wrap_key`.
        suite: the one it was wrapped with.

    Returns:
        The key.

    Raises:
        KeyUnavailable: `wrapped`: changed, or wrapped under another key.
    """
    return suite.unwrap_key(kek, wrapped)


def token(key: bytes, *fields: str | bytes, suite: Suite = AES) -> bytes:
    """Return what stands in an index for an identifying value: equal for equal fields, else unlike.

    Args:
        key: the index's key, 32 bytes; 16 in the SM suite.
        *fields: what the token stands for, such as system and value of an identifier.
        suite: the consortium's.

    Returns:
        32 bytes.

    Raises:
        ValueError: the key has another length.

    Example:
        >>> token(key, "urn:mrn", "4711") == token(key, "urn:mrn", "4711")
        True
    """
    if len(key) != suite.key_bytes:
        raise ValueError("token key")
    return suite.mac(key, join_fields("concura token", *fields))


def _place(store: str, kind: str, row_id: str, version: int) -> bytes:
    return encode({"id": row_id, "store": store, "type": kind, "version": version})
