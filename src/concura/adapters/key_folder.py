"""The files of a key folder: made whole or not at all, read strictly, removed for good.

Files 0600 in a folder 0700; looser permissions are refused, because whoever could read may have
read. Private keys are PKCS#8 in PEM (RFC 5958), `root.key` is a line of text that a lock wrote
(`key_locks.py`). Byte-exact in docs/spec/keys.md, "The key folder".

This module does NOT know which keys there are, and does NOT use any.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from concura.adapters.folders import atomic_write, disk
from concura.adapters.key_locks import ROOT_BYTES, KeyLock
from concura.canonical import b64decode, b64encode
from concura.errors import EnvelopeRefused, KeyUnavailable
from concura.sealing.keys import check_rsa_public

__all__ = [
    "carry_over",
    "check_folder",
    "new_folder",
    "read_private",
    "read_root",
    "read_rsa",
    "read_witness",
    "remove_folder",
    "spki",
    "write_private",
    "write_root",
]

_FILE_MAX_BYTES: Final = 64 * 1024  # a key file is under 4 kB; anything larger is none
_ROOT: Final = "root.key"
_VERSION: Final = "concura-root-v1"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that appears complete or not at all.

    Args:
        folder: where; it must not exist, or be empty.

    Yields:
        The unfinished folder beside it, to be filled; renamed at the end, removed on any error.

    Raises:
        KeyUnavailable: `exists`: something is there already; keys are never overwritten.
        StoreFull, FolderUnusable: it cannot be written.

    Example:
        >>> with new_folder(Path("keys")) as unfinished:  # doctest: +SKIP
        ...     write_private(unfinished / "sign.pem", key, None)
    """
    with disk(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise KeyUnavailable("exists", file=str(folder))
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a creation that was killed
        unfinished.mkdir(mode=0o700)
        try:
            yield unfinished
            # The system renames over an empty folder only: keys that came meanwhile stay.
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        # A key whose public half is published and that a power cut takes away is lost for good.
        _sync(folder.parent)


def carry_over(source: Path | None, target: Path) -> None:
    """Copy the keys that others keep in a key folder, wrapped under its root: `*.key`.

    Args:
        source: the key folder, or None.
        target: a folder with the same root; what stands there stays.
    """
    for path in sorted(source.glob("*.key")) if source else []:
        if not (target / path.name).exists():
            atomic_write(target / path.name, read_private(path))


def remove_folder(folder: Path) -> None:
    """Remove a key folder: its name first, so that a kill leaves no half of it in use.

    The files are overwritten once. That says nothing about copies which a solid-state disk or a
    snapshot keeps below the file system: only a lock whose key is destroyed elsewhere does.

    Args:
        folder: the key folder.

    Raises:
        FolderUnusable: it cannot be removed.
    """
    with disk(folder):
        doomed = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        for path in doomed.iterdir():
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
        shutil.rmtree(doomed)
        _sync(folder.parent)


def read_private(path: Path) -> bytes:
    """Read a file that must be its owner's alone.

    Args:
        path: the file; at most 64 KiB.

    Returns:
        Its bytes.

    Raises:
        KeyUnavailable: `missing`, `readable` by others, of another `owner`, or `garbage`.

    Example:
        >>> pem = read_private(Path("keys/sign.pem"))  # doctest: +SKIP
        >>> pem.startswith(b"-----BEGIN")  # doctest: +SKIP
        True
    """
    try:
        # O_NOFOLLOW and the checks on the open file: a link could lead to another's file, and
        # a name could lead elsewhere between check and use. O_NONBLOCK: a pipe must not hang us.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KeyUnavailable("missing", file=str(path)) from error
    except (OSError, ValueError) as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise KeyUnavailable("garbage", file=str(path))
        _check_owner(path, status)
        data = os.read(handle, _FILE_MAX_BYTES + 1)
    except OSError as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    finally:
        os.close(handle)
    if not 0 < len(data) <= _FILE_MAX_BYTES:
        raise KeyUnavailable("garbage", file=str(path))
    return data


def check_folder(folder: Path) -> None:
    """Refuse a key folder that is missing or not its owner's alone.

    Raises:
        KeyUnavailable: `missing`, `readable` or `owner`.
    """
    try:
        status = folder.stat()
    except (OSError, ValueError) as error:
        raise KeyUnavailable("missing", file=str(folder)) from error
    if not stat.S_ISDIR(status.st_mode):
        raise KeyUnavailable("missing", file=str(folder))
    _check_owner(folder, status)


def write_root(folder: Path, root: bytes, lock: KeyLock) -> bytes | None:
    """Write `root.key`: version, the lock's name, what the lock made of the root.

    Args:
        folder: the key folder.
        root: 32 bytes.
        lock: what guards it.

    Returns:
        The password of the other files, or None where nothing but the file system guards them.
    """
    name, fields = lock.close(root)
    text = " ".join([_VERSION, name, *map(b64encode, fields)])
    atomic_write(folder / _ROOT, f"{text}\n".encode("ascii"))
    return _password_of(name, root)


def read_root(folder: Path, lock: KeyLock) -> tuple[bytes, bytes | None]:
    """Read `root.key` with the lock that wrote it.

    Args:
        folder: the key folder.
        lock: what guards the root.

    Returns:
        The root, and the password of the other files or None.

    Raises:
        KeyUnavailable: `garbage`, `guard` (another lock wrote it), or what the lock says.
    """
    path = folder / _ROOT
    line = read_private(path).decode("ascii", "replace").removesuffix("\n")
    version, _, rest = line.partition(" ")
    name, _, text = rest.partition(" ")
    if version != _VERSION:
        raise KeyUnavailable("garbage", file=str(path))
    try:
        fields = [b64decode(value) for value in text.split(" ")]
    except ValueError as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    root = lock.open(name, fields, folder)
    if len(root) != ROOT_BYTES:
        raise KeyUnavailable("garbage", file=str(path))
    return root, _password_of(name, root)


def write_private(
    path: Path, key: RSAPrivateKey | Ed25519PrivateKey, password: bytes | None
) -> None:
    """Write a private key, encrypted if a password is given.

    Args:
        path: the file.
        key: the key.
        password: from `write_root` or `read_root`.
    """
    format_: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        format_ = serialization.BestAvailableEncryption(password)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    atomic_write(path, key.private_bytes(encoding, form, format_))


def read_rsa(path: Path, password: bytes | None) -> RSAPrivateKey:
    """Read an RSA key that is strong enough.

    Raises:
        KeyUnavailable: `garbage`, or what `read_private` says.
    """
    key = _read_pem(path, password)
    try:
        if isinstance(key, RSAPrivateKey):
            check_rsa_public(spki(key))
            return key
    except EnvelopeRefused as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    raise KeyUnavailable("garbage", file=str(path))


def read_witness(path: Path, password: bytes | None) -> Ed25519PrivateKey:
    """Read an Ed25519 key.

    Raises:
        KeyUnavailable: `garbage`, or what `read_private` says.
    """
    key = _read_pem(path, password)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnavailable("garbage", file=str(path))
    return key


def spki(key: RSAPrivateKey) -> bytes:
    """Return a key's public half: SubjectPublicKeyInfo in DER."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _read_pem(path: Path, password: bytes | None) -> object:
    data = read_private(path)
    # Which of the two a file is follows from the lock, never from the file: an unlocked key that
    # was put beside a locked root would else be taken for ours.
    if (password is None) == (b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data):
        raise KeyUnavailable("garbage", file=str(path))
    try:
        return serialization.load_pem_private_key(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnavailable("garbage", file=str(path)) from error


def _password_of(lock: str, root: bytes) -> bytes | None:
    if lock == "plain":
        return None
    # PKCS#8 as written here stretches with few rounds of PBKDF2. That suffices for a password
    # of 256 bits, never for a person's: that one goes through Argon2id, to the root alone.
    kdf = HKDF(hashes.SHA256(), 32, salt=None, info=b"concura key files")
    return b64encode(kdf.derive(root)).encode("ascii")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_mode & 0o077:
        mode = f"{stat.S_IMODE(status.st_mode):o}"
        raise KeyUnavailable("readable", file=str(path), mode=mode)
    # The administrator may run a node on a folder that belongs to its service user.
    if os.geteuid() not in (0, status.st_uid):
        raise KeyUnavailable("owner", file=str(path))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        with suppress(OSError):
            os.close(handle)
