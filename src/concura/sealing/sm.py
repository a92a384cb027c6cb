"""The symmetric half of the SM suite: SM4 in GCM, SM3, and key wrap with SM4.

SM3 is GB/T 32905-2016, SM4 is GB/T 32907-2016, its use in GCM is RFC 8998 §2; key wrap is mode KW
of NIST SP 800-38F (the one of RFC 3394), with SM4 in the place of AES. The ciphers and the hash are
those of `cryptography`; only the wrapping loop stands here.

This module does NOT keep keys and does NOT draw nonces. No certification is claimed.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from concura.errors import KeyUnavailable

__all__ = ["SM4_KEY_BYTES", "Bytes", "Sm4Gcm", "sm3", "sm4_key_unwrap", "sm4_key_wrap"]

SM4_KEY_BYTES = 16
# What large pieces are handed over in: views of reused buffers.
Bytes = bytes | bytearray | memoryview
_TAG_BYTES = 16
_HALF_BYTES = 8
_ROUNDS = 6
# RFC 3394 §2.2.3.1: what must come out again when a wrapped key is opened.
_INITIAL = b"\xa6" * _HALF_BYTES


class Sm4Gcm:
    """SM4 in Galois/Counter mode, with the methods of `AESGCM`.

    Args:
        key: 16 bytes.

    Raises:
        ValueError: the key has another length.

    Example:
        >>> sealed = Sm4Gcm(bytes(16)).encrypt(bytes(12), b"x", b"")
        >>> Sm4Gcm(bytes(16)).decrypt(bytes(12), sealed, b"")
        b'x'
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) != SM4_KEY_BYTES:
            raise ValueError("SM4 key")
        self._cipher = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Encrypt: ciphertext, then a tag of 16 bytes.

        Args:
            nonce: 12 bytes, never used twice under one key.
            data: the plaintext.
            associated_data: what is authenticated only.
        """
        work = Cipher(self._cipher, modes.GCM(nonce)).encryptor()
        work.authenticate_additional_data(associated_data or b"")
        return work.update(data) + work.finalize() + work.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Decrypt; nothing is given out unless the tag verifies.

        Raises:
            InvalidTag: changed, or another key.
        """
        if len(data) < _TAG_BYTES:
            raise InvalidTag
        mode = modes.GCM(nonce, data[-_TAG_BYTES:])
        work = Cipher(self._cipher, mode).decryptor()
        work.authenticate_additional_data(associated_data or b"")
        return work.update(data[:-_TAG_BYTES]) + work.finalize()

    def encrypt_into(
        self, nonce: bytes, data: Bytes, associated_data: bytes | None, buf: Bytes
    ) -> int:
        """Encrypt into a buffer that is 16 bytes longer than the data; return its length."""
        size = len(memoryview(data))
        if len(memoryview(buf)) != size + _TAG_BYTES:
            raise ValueError("SM4 buffer")
        work = Cipher(self._cipher, modes.GCM(nonce)).encryptor()
        work.authenticate_additional_data(associated_data or b"")
        done = work.update_into(data, memoryview(buf))
        memoryview(buf)[done:] = work.finalize() + work.tag
        return size + _TAG_BYTES

    def decrypt_into(
        self, nonce: bytes, data: Bytes, associated_data: bytes | None, buf: Bytes
    ) -> int:
        """Decrypt into a buffer that is 16 bytes shorter; return its length.

        Raises:
            InvalidTag: changed, or another key; the buffer MUST NOT be used then.
        """
        view, size = memoryview(data), len(memoryview(data)) - _TAG_BYTES
        if size < 0:
            raise InvalidTag
        if len(memoryview(buf)) != size:
            raise ValueError("SM4 buffer")
        work = Cipher(self._cipher, modes.GCM(nonce, bytes(view[size:]))).decryptor()
        work.authenticate_additional_data(associated_data or b"")
        work.update_into(view[:size], memoryview(buf))
        work.finalize()
        return size


def sm3(data: bytes) -> bytes:
    """Return the SM3 digest, 32 bytes.

    Example:
        >>> sm3(b"abc").hex()[:8]
        '66c7f0f4'
    """
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def sm4_key_wrap(kek: bytes, key: bytes) -> bytes:
    """Wrap a key under another: mode KW with SM4.

    Args:
        kek: 16 bytes.
        key: 16 to 64 bytes, a multiple of 8.

    Returns:
        8 bytes more than the key.

    Raises:
        ValueError: a key has another length.

    Example:
        >>> sm4_key_unwrap(bytes(16), sm4_key_wrap(bytes(16), bytes(16))) == bytes(16)
        True
    """
    if len(key) < 2 * _HALF_BYTES or len(key) % _HALF_BYTES:
        raise ValueError("key to wrap")
    # One context for all blocks: ECB of whole blocks is the bare cipher, which KW is built from.
    block = Cipher(_sm4(kek), modes.ECB()).encryptor()  # noqa: S305 - single blocks, not a message
    state, halves = _INITIAL, [key[i : i + _HALF_BYTES] for i in range(0, len(key), _HALF_BYTES)]
    for step in range(_ROUNDS * len(halves)):
        out = block.update(state + halves[step % len(halves)])
        state = _xor(out[:_HALF_BYTES], step + 1)
        halves[step % len(halves)] = out[_HALF_BYTES:]
    return state + b"".join(halves)


def sm4_key_unwrap(kek: bytes, wrapped: bytes) -> bytes:
    """Open a key wrapped by `sm4_key_wrap`.

    Raises:
        KeyUnavailable: `wrapped`: changed, or wrapped under another key.
    """
    if len(wrapped) < 3 * _HALF_BYTES or len(wrapped) % _HALF_BYTES:
        raise KeyUnavailable("wrapped", detail="SM4-KW")
    block = Cipher(_sm4(kek), modes.ECB()).decryptor()  # noqa: S305 - single blocks, not a message
    parts = [wrapped[i : i + _HALF_BYTES] for i in range(0, len(wrapped), _HALF_BYTES)]
    state, halves = parts[0], parts[1:]
    for step in reversed(range(_ROUNDS * len(halves))):
        out = block.update(_xor(state, step + 1) + halves[step % len(halves)])
        state, halves[step % len(halves)] = out[:_HALF_BYTES], out[_HALF_BYTES:]
    if not hmac.compare_digest(state, _INITIAL):
        raise KeyUnavailable("wrapped", detail="SM4-KW")
    return b"".join(halves)


def _sm4(kek: bytes) -> algorithms.SM4:
    if len(kek) != SM4_KEY_BYTES:
        raise ValueError("wrapping key")
    return algorithms.SM4(kek)


def _xor(half: bytes, counter: int) -> bytes:
    return (int.from_bytes(half, "big") ^ counter).to_bytes(_HALF_BYTES, "big")
