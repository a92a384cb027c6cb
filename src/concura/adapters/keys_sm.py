"""SM2 keys beside any key store: signing and unwrapping for a consortium of the SM suite.

Both private numbers lie in one file, `sm2.key`, wrapped under the root of the key store beside it;
a passphrase, a token or a cloud service therefore guards them just as well. Signatures
are GB/T 32918.2, decryption GB/T 32918.4, computed by tongsuopy (extra `sm`). Witness key and root
stay those of the other store: checkpoints are Ed25519 in every suite.

This module does NOT let a private key out and does NOT wipe memory. Format: docs/spec/suites.md.
"""

import logging
import secrets
from pathlib import Path
from typing import Any, Final

from concura.adapters.folders import atomic_write, disk
from concura.adapters.keys_file import read_private
from concura.canonical import b64decode, b64encode
from concura.errors import KeyUnavailable
from concura.ports import KeyStore
from concura.sealing import fingerprint
from concura.sealing.refusal import refused
from concura.sealing.sm2 import SM2_ORDER, Sm2Library, is_sm2_ciphertext, sm2_library
from concura.sealing.suite import SM

__all__ = ["SmKeyStore"]

_log = logging.getLogger(__name__)

_FILE: Final = "sm2.key"
_SCHEME: Final = "concura-sm2-v1"
_NUMBER_BYTES: Final = 32
_USES: Final = ("sign", "wrap")


class SmKeyStore:
    """Implements `ports.KeyStore` with SM2 keys; made by `create` or `open`.

    Example:
        >>> store = SmKeyStore.create(folder, beside)  # doctest: +SKIP
        >>> len(store.public("sign"))  # doctest: +SKIP
        91
    """

    __slots__ = ("_beside", "_keys", "_library", "_publics")

    def __init__(self, numbers: tuple[bytes, bytes], beside: KeyStore) -> None:
        self._beside = beside
        self._library: Sm2Library = sm2_library()
        self._keys: dict[str, Any] = {
            use: self._library.private_key(number)
            for use, number in zip(_USES, numbers, strict=True)
        }
        self._publics = {use: self._library.spki(key) for use, key in self._keys.items()}

    @classmethod
    def create(cls, folder: Path, beside: KeyStore) -> "SmKeyStore":
        """Draw two SM2 keys into a folder, wrapped under the root of a key store.

        Args:
            folder: where `sm2.key` is written; it MUST be its owner's alone.
            beside: the key store with the root; it can `wrap_aes`.

        Returns:
            The opened store.

        Raises:
            KeyUnavailable: `exists`: keys are never overwritten.
            ConfigInvalid: `extra`: tongsuopy is not installed.
            StoreFull, FolderUnusable: it cannot be written.
        """
        path = folder / _FILE
        if path.exists():
            raise KeyUnavailable("exists", file=str(path))
        numbers = (_draw(), _draw())
        store = cls(numbers, beside)
        text = f"{_SCHEME} {b64encode(beside.wrap_aes(b''.join(numbers)))}\n"
        with disk(folder):
            atomic_write(path, text.encode("ascii"))
        _log.info("SM2 keys created: sign=%s", fingerprint(store.public("sign"))[:16])
        return store

    @classmethod
    def ensure(cls, folder: Path, beside: KeyStore) -> "SmKeyStore":
        """Open the SM2 keys of a folder; create folder and keys where there are none yet.

        Raises:
            KeyUnavailable, ConfigInvalid, StoreFull, FolderUnusable: as `open` and `create` say.
        """
        if (folder / _FILE).exists():
            return cls.open(folder, beside)
        with disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls.create(folder, beside)

    @classmethod
    def open(cls, folder: Path, beside: KeyStore) -> "SmKeyStore":
        """Open the SM2 keys of a folder.

        Args:
            folder: where.
            beside: the key store that they were created with.

        Returns:
            The store.

        Raises:
            KeyUnavailable: `missing`, `readable`, `owner`, `garbage`, or `wrapped`: another root.
            ConfigInvalid: `extra`: tongsuopy is not installed.
        """
        path = folder / _FILE
        fields = read_private(path).decode("ascii", "replace").removesuffix("\n").split(" ")
        if len(fields) != 2 or fields[0] != _SCHEME:
            raise KeyUnavailable("garbage", file=str(path))
        try:
            wrapped = b64decode(fields[1])
        except ValueError as error:
            raise KeyUnavailable("garbage", file=str(path)) from error
        both = beside.unwrap_aes(wrapped)
        numbers = (both[:_NUMBER_BYTES], both[_NUMBER_BYTES:])
        # One key, one use; and only numbers that make a key.
        if not all(_is_number(number) for number in numbers) or numbers[0] == numbers[1]:
            raise KeyUnavailable("garbage", file=str(path))
        return cls(numbers, beside)

    def capabilities(self) -> frozenset[str]:
        """Return what it can do."""
        return (self._beside.capabilities() & {"wrap_aes"}) | {"sign", "unwrap"}

    def public(self, use: str) -> bytes:
        """Return the public key for `sign` or `wrap` (SPKI DER, 91 bytes) or `witness` (raw, 32).

        Raises:
            KeyUnavailable: `missing`: no such use.
        """
        return self._publics[use] if use in self._publics else self._beside.public(use)

    def sign(self, message: bytes) -> bytes:
        """Sign with the signing key: SM2 with SM3, identity 1234567812345678; DER."""
        self._note("sign")
        return self._library.sign(self._keys["sign"], message)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Open a content key with the wrap key: SM2 decryption.

        Raises:
            EnvelopeRefused: `wrap`: not wrapped to this key, changed, or no content key.
        """
        self._note("wrap")
        # The library sees ciphertexts in one form only: see `sealing.sm2`.
        if not is_sm2_ciphertext(wrapped):
            raise refused("wrap")
        content_key = self._library.decrypt(self._keys["wrap"], wrapped)
        if content_key is None or len(content_key) != SM.key_bytes:
            raise refused("wrap")
        return content_key

    def witness(self, message: bytes) -> bytes:
        """Sign with the witness key of the store beside: Ed25519; 64 bytes."""
        return self._beside.witness(message)

    def wrap_aes(self, key: bytes) -> bytes:
        """Wrap a key under the root of the store beside."""
        return self._beside.wrap_aes(key)

    def unwrap_aes(self, wrapped: bytes) -> bytes:
        """Open a key wrapped by `wrap_aes`.

        Raises:
            KeyUnavailable: `wrapped`: changed, or wrapped under another root.
        """
        return self._beside.unwrap_aes(wrapped)

    def _note(self, use: str) -> None:
        _log.info("private key used: use=%s key=%s", use, fingerprint(self._publics[use])[:16])


def _draw() -> bytes:
    # From 1 to n-2 (GB/T 32918.1 §6.1): with n-1 no signature could be computed.
    return (secrets.randbelow(SM2_ORDER - 2) + 1).to_bytes(_NUMBER_BYTES, "big")


def _is_number(number: bytes) -> bool:
    return len(number) == _NUMBER_BYTES and 0 < int.from_bytes(number, "big") < SM2_ORDER - 1
