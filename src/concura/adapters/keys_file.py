"""A hospital's private keys in a folder of files (`ports.KeyStore`).

`sign.pem` and `wrap.pem` (RSA-3072), `witness.pem` (Ed25519) and `root.key` with the AES-256 root.
A lock guards the root (`key_locks.py`, `keys_awskms.py`), and a password derived from the root the
other files. How such a folder is written and read stands in `key_folder.py`.

This module does NOT wipe memory (Python cannot). Byte-exact in docs/spec/keys.md.
"""

import logging
import secrets
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from concura.adapters.key_folder import (
    carry_over,
    check_folder,
    new_folder,
    read_private,
    read_root,
    read_rsa,
    read_witness,
    remove_folder,
    spki,
    write_private,
    write_root,
)
from concura.adapters.key_locks import ROOT_BYTES, Ask, FileLock, KeyLock
from concura.errors import KeyUnavailable
from concura.sealing.keys import CONTENT_KEY_BYTES, OAEP, PSS, fingerprint
from concura.sealing.refusal import refused
from concura.sealing.rows import unwrap_key, wrap_key

__all__ = ["FileKeyStore", "read_private"]

_log = logging.getLogger(__name__)

_RSA_BITS: Final = 3_072
_FILES: Final = {"sign": "sign.pem", "wrap": "wrap.pem", "witness": "witness.pem"}


class FileKeyStore:
    """The keys of one folder; made by `create` or `open`.

    Example:
        >>> store = FileKeyStore.create(Path("keys"))  # doctest: +SKIP
        >>> len(store.sign(b"entry"))  # doctest: +SKIP
        384
    """

    __slots__ = ("_folder", "_lock", "_publics", "_root", "_sign", "_witness", "_wrap")

    def __init__(
        self,
        *,
        sign: RSAPrivateKey,
        wrap: RSAPrivateKey,
        witness: Ed25519PrivateKey,
        root: bytes,
        lock: KeyLock | None = None,
        folder: Path | None = None,
    ) -> None:
        self._sign, self._wrap, self._witness, self._root = sign, wrap, witness, root
        self._lock, self._folder = lock or FileLock(), folder
        self._publics = {
            "sign": spki(sign),
            "wrap": spki(wrap),
            "witness": witness.public_key().public_bytes_raw(),
        }

    @classmethod
    def create(
        cls, folder: Path, *, passphrase: bytes | None = None, lock: KeyLock | None = None
    ) -> "FileKeyStore":
        """Draw fresh keys into a folder that does not exist or is empty.

        Args:
            folder: where; appears complete or not at all.
            passphrase: locks the keys; None leaves them to the file system's protection.
            lock: guards the keys instead of a passphrase.

        Returns:
            The opened store.

        Raises:
            KeyUnavailable: `exists`: something is there already; keys are never overwritten.
            StoreFull, FolderUnusable: it cannot be written.
        """
        with new_folder(folder) as unfinished:
            sign, wrap = _draw(2)
            store = cls(
                sign=sign,
                wrap=wrap,
                witness=Ed25519PrivateKey.generate(),
                root=secrets.token_bytes(ROOT_BYTES),
                lock=lock or _lock(passphrase),
                folder=folder,
            )
            store._write(unfinished, store._lock)
        _log.info("keys created: sign=%s", fingerprint(store.public("sign"))[:16])
        return store

    @classmethod
    def open(
        cls, folder: Path, *, passphrase: bytes | None = None, lock: KeyLock | None = None
    ) -> "FileKeyStore":
        """Open the keys of a folder.

        Args:
            folder: where.
            passphrase: as it was given to `create`.
            lock: as it was given to `create`.

        Returns:
            The store.

        Raises:
            KeyUnavailable: `missing`, `readable`, `owner`, `garbage`, `guard`, `locked`,
                `passphrase`, or what the lock says.
        """
        check_folder(folder)
        guard = lock or _lock(passphrase)
        root, password = read_root(folder, guard)
        # The check of an RSA key takes 0.1 s and releases the interpreter lock.
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(read_rsa, folder / _FILES[use], password) for use in ("sign", "wrap")
            ]
            witness = read_witness(folder / _FILES["witness"], password)
            sign, wrap = (job.result() for job in jobs)
        store = cls(sign=sign, wrap=wrap, witness=witness, root=root, lock=guard, folder=folder)
        # One key, one use: a signature made for one purpose must not open the other's secrets.
        if store.public("sign") == store.public("wrap"):
            raise KeyUnavailable("garbage", file=str(folder / _FILES["wrap"]))
        return store

    def capabilities(self) -> frozenset[str]:
        """Return what it can do."""
        return frozenset({"sign", "unwrap", "wrap_aes"}) | self._lock.capabilities

    def public(self, use: str) -> bytes:
        """Return the public key for `sign` or `wrap` (SPKI DER, 422 bytes) or `witness` (raw, 32).

        Raises:
            KeyUnavailable: `missing`: no such use.
        """
        if use not in self._publics:
            raise KeyUnavailable("missing", file=use)
        return self._publics[use]

    def sign(self, message: bytes) -> bytes:
        """Sign with the signing key: RSA-PSS, SHA-256, salt of 32 bytes; 384 bytes."""
        self._note("sign")
        return self._sign.sign(message, PSS, hashes.SHA256())

    def unwrap(self, wrapped: bytes) -> bytes:
        """Open a content key with the wrap key: RSA-OAEP, SHA-256.

        Raises:
            EnvelopeRefused: `wrap`: not wrapped to this key, changed, or no content key.
        """
        self._note("wrap")
        try:
            content_key = self._wrap.decrypt(wrapped, OAEP)
        except ValueError as error:
            raise refused("wrap") from error
        if len(content_key) != CONTENT_KEY_BYTES:
            raise refused("wrap")
        return content_key

    def witness(self, message: bytes) -> bytes:
        """Sign with the witness key: Ed25519; 64 bytes."""
        self._note("witness")
        return self._witness.sign(message)

    def wrap_aes(self, key: bytes) -> bytes:
        """Wrap an AES key under the root (RFC 3394); 8 bytes longer."""
        _log.info("private key used: use=root action=wrap")
        return wrap_key(self._root, key)

    def unwrap_aes(self, wrapped: bytes) -> bytes:
        """Open a key wrapped by `wrap_aes`.

        Raises:
            KeyUnavailable: `wrapped`: changed, or wrapped under another root.
        """
        _log.info("private key used: use=root action=unwrap")
        return unwrap_key(self._root, wrapped)

    def export(self, folder: Path, choose: Ask) -> None:
        """Write a backup of all keys into another folder, locked with a passphrase of its own.

        It is a key folder like any other: `open` reads it, and so does `restore`.

        Args:
            folder: where; must not exist, or be empty.
            choose: where the passphrase that locks the backup comes from.

        Raises:
            KeyUnavailable: `noexport`: this store lets no private key out; `exists`;
                `nopassphrase`.
            StoreFull, FolderUnusable: it cannot be written.
        """
        if "export" not in self.capabilities():
            raise KeyUnavailable("noexport", file=str(self._folder))
        for use in _FILES:
            _log.info("private key used: use=%s action=export", use)
        with new_folder(folder) as unfinished:
            self._write(unfinished, FileLock(choose))

    def restore(self, folder: Path, lock: KeyLock) -> None:
        """Write the keys of an opened backup into a folder, under the lock that it shall have.

        Args:
            folder: where; must not exist, or be empty.
            lock: guards the restored keys.

        Raises:
            KeyUnavailable: `exists`: keys are never overwritten.
            StoreFull, FolderUnusable: it cannot be written.
        """
        with new_folder(folder) as unfinished:
            self._write(unfinished, lock)
        _log.info("keys restored: sign=%s", fingerprint(self._publics["sign"])[:16])

    def replace(self, folder: Path, uses: Collection[str]) -> "FileKeyStore":
        """Draw new signing or wrap keys into another folder; the rest stays as it is.

        The root stays, because it opens what is stored; this folder stays, because its keys count
        until the ledger names the new ones.

        Args:
            folder: where; must not exist, or be empty.
            uses: out of {sign, wrap}; not empty.

        Returns:
            The store of the new folder.

        Raises:
            KeyUnavailable: `exists`; `missing`: no such use.
            StoreFull, FolderUnusable: it cannot be written.
        """
        if not uses or not set(uses) <= {"sign", "wrap"}:
            raise KeyUnavailable("missing", file=",".join(uses))
        with new_folder(folder) as unfinished:
            fresh = dict(zip(sorted(uses), _draw(len(uses)), strict=True))
            store = FileKeyStore(
                sign=fresh.get("sign", self._sign),
                wrap=fresh.get("wrap", self._wrap),
                witness=self._witness,
                root=self._root,
                lock=self._lock,
                folder=folder,
            )
            carry_over(self._folder, unfinished)
            store._write(unfinished, self._lock)
        for use in sorted(uses):
            _log.info("key replaced: use=%s key=%s", use, fingerprint(store.public(use))[:16])
        return store

    def destroy(self, *, also: Sequence[Path] = ()) -> int:
        """Destroy the keys: what is sealed to them and is not held elsewhere is lost for good.

        Args:
            also: folders that `replace` made from this store; they share its root.

        Returns:
            After how many days that cannot be taken back any more; 0 at once.

        Raises:
            FolderUnusable: the folder cannot be removed.
            KeyUnavailable: what guards it elsewhere says no; then nothing is removed.
        """
        days = self._lock.destroy()
        if self._folder is not None:
            for folder in (*also, self._folder):
                remove_folder(folder)
        _log.info("keys destroyed: sign=%s", fingerprint(self._publics["sign"])[:16])
        return days

    def _write(self, folder: Path, lock: KeyLock) -> None:
        password = write_root(folder, self._root, lock)
        keys: dict[str, RSAPrivateKey | Ed25519PrivateKey] = {
            "sign": self._sign,
            "wrap": self._wrap,
            "witness": self._witness,
        }
        for use, key in keys.items():
            write_private(folder / _FILES[use], key, password)
        carry_over(self._folder, folder)

    def _note(self, use: str) -> None:
        _log.info("private key used: use=%s key=%s", use, fingerprint(self._publics[use])[:16])


def _lock(passphrase: bytes | None) -> KeyLock:
    return FileLock(None if passphrase is None else lambda: passphrase)


def _draw(count: int) -> list[RSAPrivateKey]:
    # Two threads: drawing an RSA key releases the interpreter lock, and a demo waits for eight.
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(generate_private_key, 65_537, _RSA_BITS) for _ in range(count)]
        return [job.result() for job in jobs]
