"""What guards the root of a key folder: nothing but the file system, or a passphrase.

A lock turns the 32-byte root into the fields that stand in `root.key`, and back. Its name stands
there too, so that a folder is opened by the kind of lock that closed it, and by no weaker one.
Argon2id follows RFC 9106, key wrap RFC 3394. Locks whose key lies elsewhere are in
`keys_pkcs11.py` and `keys_awskms.py`.

This module does NOT ask a person for anything: the caller hands in where a passphrase comes from.
"""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from concura.errors import KeyUnavailable
from concura.sealing.rows import unwrap_key, wrap_key

__all__ = ["ROOT_BYTES", "Ask", "FileLock", "KeyLock", "shown"]

ROOT_BYTES: Final = 32
_SALT_BYTES: Final = 16
_PLAIN: Final = "plain"
_LOCKED: Final = "argon2id"

# Where a secret comes from when it is needed: its bytes, or None when there is nobody to ask.
Ask = Callable[[], bytes | None]


class KeyLock(Protocol):
    """Guards the root of a key folder. MUST NOT keep the root."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it allows besides opening: out of {export, destroy:now, destroy:delayed}."""
        ...

    def close(self, root: bytes) -> tuple[str, list[bytes]]:
        """Turn the root into this lock's name and the fields of `root.key`."""
        ...

    def open(self, name: str, fields: Sequence[bytes], folder: Path) -> bytes:
        """Turn the fields back into the root. Raises KeyUnavailable."""
        ...

    def destroy(self) -> int:
        """Destroy what the lock holds elsewhere; return after how many days that is final."""
        ...


class FileLock:
    """A passphrase, or no lock at all: then the file system's protection is all there is.

    Args:
        ask: where the passphrase comes from when a locked folder is opened or a folder is closed;
            None closes plainly. A folder that was opened plain is closed plainly again.

    Example:
        >>> lock = FileLock(lambda: b"correct horse")
        >>> lock.open(*lock.close(bytes(32)), Path("keys")) == bytes(32)
        True
    """

    __slots__ = ("_ask", "_is_plain")

    def __init__(self, ask: Ask | None = None) -> None:
        self._ask, self._is_plain = ask, ask is None

    @property
    def capabilities(self) -> frozenset[str]:
        """A folder of files can be copied out, and is gone when its files are."""
        return frozenset({"export", "destroy:now"})

    def close(self, root: bytes) -> tuple[str, list[bytes]]:
        """Return the root itself, or a salt and the root wrapped under the passphrase.

        Raises:
            KeyUnavailable: `nopassphrase`: one is wanted and nobody gave it; never plain instead.
        """
        if self._is_plain:
            return _PLAIN, [root]
        passphrase = self._ask() if self._ask else None
        if not passphrase:
            raise KeyUnavailable("nopassphrase")
        salt = secrets.token_bytes(_SALT_BYTES)
        return _LOCKED, [salt, wrap_key(_stretch(passphrase, salt), root)]

    def open(self, name: str, fields: Sequence[bytes], folder: Path) -> bytes:
        """Return the root.

        Raises:
            KeyUnavailable: `garbage`, `guard`, `locked` (no passphrase) or `passphrase` (a wrong
                one).
        """
        sizes = [len(field) for field in fields]
        if name == _PLAIN and sizes == [ROOT_BYTES]:
            self._is_plain = True
            return fields[0]
        if name not in {_PLAIN, _LOCKED}:
            raise KeyUnavailable("guard", file=str(folder), found=shown(name), wanted="file")
        if name == _PLAIN or sizes != [_SALT_BYTES, ROOT_BYTES + 8]:
            raise KeyUnavailable("garbage", file=str(folder / "root.key"))
        passphrase = self._ask() if self._ask else None
        if passphrase is None:
            raise KeyUnavailable("locked", file=str(folder))
        try:
            return unwrap_key(_stretch(passphrase, fields[0]), fields[1])
        except KeyUnavailable as error:
            raise KeyUnavailable("passphrase", file=str(folder)) from error

    def destroy(self) -> int:
        """Nothing lies elsewhere."""
        return 0


def shown(name: str) -> str:
    """Return a lock's name as it may stand in an error: whoever wrote the file chose it."""
    return name if name.isalnum() and name.isascii() and len(name) <= 16 else "?"


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    # RFC 9106 §4, the second recommended option: 3 passes, 4 lanes, 64 MiB; about 0.2 s.
    kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    return kdf.derive(passphrase)
