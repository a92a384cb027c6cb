"""A hospital's private keys in a folder of files (`ports.KeyStore`).

`sign.pem` and `wrap.pem` (RSA-3072) and `witness.pem` (Ed25519) are PKCS#8 (RFC 5958), `root.key`
is a line of text with the AES-256 root. With a passphrase the root is wrapped under Argon2id
(RFC 9106) and the others under a password derived from the root. Files 0600 in a folder 0700, made
whole or not at all; looser permissions are refused, because whoever could read may have read.

This module does NOT let a private key out, does NOT rotate, does NOT wipe memory (Python cannot).
Byte-exact in docs/spec/keys.md.
"""

import logging
import os
import secrets
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from concura.adapters.folders import atomic_write, disk
from concura.canonical import b64decode, b64encode
from concura.errors import EnvelopeRefused, KeyUnavailable
from concura.sealing.keys import CONTENT_KEY_BYTES, OAEP, PSS, check_rsa_public, fingerprint
from concura.sealing.refusal import refused
from concura.sealing.rows import unwrap_key, wrap_key

__all__ = ["FileKeyStore", "read_private"]

_log = logging.getLogger(__name__)

_RSA_BITS: Final = 3_072
_FILE_MAX_BYTES: Final = 64 * 1024  # a key file is under 4 kB; anything larger is none
_ROOT_BYTES: Final = 32
_SALT_BYTES: Final = 16
_FILES: Final = {"sign": "sign.pem", "wrap": "wrap.pem", "witness": "witness.pem"}
_ROOT: Final = "root.key"
_PLAIN: Final = "concura-root-v1 plain"
_LOCKED: Final = "concura-root-v1 argon2id"


class FileKeyStore:
    """The keys of one folder; made by `create` or `open`.

    Example:
        >>> store = FileKeyStore.create(Path("keys"))  # doctest: +SKIP
        >>> len(store.sign(b"entry"))  # doctest: +SKIP
        384
    """

    __slots__ = ("_publics", "_root", "_sign", "_witness", "_wrap")

    def __init__(
        self, *, sign: RSAPrivateKey, wrap: RSAPrivateKey, witness: Ed25519PrivateKey, root: bytes
    ) -> None:
        self._sign, self._wrap, self._witness, self._root = sign, wrap, witness, root
        self._publics = {
            "sign": _spki(sign),
            "wrap": _spki(wrap),
            "witness": witness.public_key().public_bytes_raw(),
        }

    @classmethod
    def create(cls, folder: Path, *, passphrase: bytes | None = None) -> "FileKeyStore":
        """Draw fresh keys into a folder that does not exist or is empty.

        Args:
            folder: where; appears complete or not at all.
            passphrase: locks the keys; None leaves them to the file system's protection.

        Returns:
            The opened store.

        Raises:
            KeyUnavailable: `exists`: something is there already; keys are never overwritten.
            StoreFull, FolderUnusable: it cannot be written.
        """
        with disk(folder):
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise KeyUnavailable("exists", file=str(folder))
            store = cls._draw()
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a creation that was killed
            unfinished.mkdir(mode=0o700)
            try:
                store._write(unfinished, passphrase)  # noqa: SLF001 - its own class
                # The system renames over an empty folder only: keys that came meanwhile stay.
                unfinished.rename(folder)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            # A key whose public half is published and that a power cut takes away is lost for good.
            _sync(folder.parent)
        _log.info("keys created: sign=%s", fingerprint(store.public("sign"))[:16])
        return store

    @classmethod
    def open(cls, folder: Path, *, passphrase: bytes | None = None) -> "FileKeyStore":
        """Open the keys of a folder.

        Args:
            folder: where.
            passphrase: as it was given to `create`.

        Returns:
            The store.

        Raises:
            KeyUnavailable: `missing`, `readable`, `owner`, `garbage`, `locked` or `passphrase`.
        """
        _check_folder(folder)
        root, password = _read_root(folder, passphrase)
        # The check of an RSA key takes 0.1 s and releases the interpreter lock.
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(_read_rsa, folder / _FILES[use], password) for use in ("sign", "wrap")
            ]
            witness = _read_pem(folder / _FILES["witness"], password)
            sign, wrap = (job.result() for job in jobs)
        if not isinstance(witness, Ed25519PrivateKey):
            raise KeyUnavailable("garbage", file=str(folder / _FILES["witness"]))
        store = cls(sign=sign, wrap=wrap, witness=witness, root=root)
        # One key, one use: a signature made for one purpose must not open the other's secrets.
        if store.public("sign") == store.public("wrap"):
            raise KeyUnavailable("garbage", file=str(folder / _FILES["wrap"]))
        return store

    def capabilities(self) -> frozenset[str]:
        """Return what it can do."""
        return frozenset({"sign", "unwrap", "wrap_aes"})

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

    @classmethod
    def _draw(cls) -> "FileKeyStore":
        # Two threads: drawing an RSA key releases the interpreter lock, and a demo waits for eight.
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(generate_private_key, 65_537, _RSA_BITS) for _ in range(2)]
            sign, wrap = (job.result() for job in jobs)
        return cls(
            sign=sign,
            wrap=wrap,
            witness=Ed25519PrivateKey.generate(),
            root=secrets.token_bytes(_ROOT_BYTES),
        )

    def _write(self, folder: Path, passphrase: bytes | None) -> None:
        format_: serialization.KeySerializationEncryption = serialization.NoEncryption()
        text = f"{_PLAIN} {b64encode(self._root)}\n"
        if passphrase is not None:
            format_ = serialization.BestAvailableEncryption(_password(self._root))
            salt = secrets.token_bytes(_SALT_BYTES)
            wrapped = wrap_key(_stretch(passphrase, salt), self._root)
            text = f"{_LOCKED} {b64encode(salt)} {b64encode(wrapped)}\n"
        keys: dict[str, RSAPrivateKey | Ed25519PrivateKey] = {
            "sign": self._sign,
            "wrap": self._wrap,
            "witness": self._witness,
        }
        for use, key in keys.items():
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, format_
            )
            atomic_write(folder / _FILES[use], pem)
        atomic_write(folder / _ROOT, text.encode("ascii"))

    def _note(self, use: str) -> None:
        _log.info("private key used: use=%s key=%s", use, fingerprint(self._publics[use])[:16])


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
    except OSError as error:
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


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_folder(folder: Path) -> None:
    try:
        status = folder.stat()
    except OSError as error:
        raise KeyUnavailable("missing", file=str(folder)) from error
    if not stat.S_ISDIR(status.st_mode):
        raise KeyUnavailable("missing", file=str(folder))
    _check_owner(folder, status)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_mode & 0o077:
        mode = f"{stat.S_IMODE(status.st_mode):o}"
        raise KeyUnavailable("readable", file=str(path), mode=mode)
    # The administrator may run a node on a folder that belongs to its service user.
    if os.geteuid() not in (0, status.st_uid):
        raise KeyUnavailable("owner", file=str(path))


def _read_root(folder: Path, passphrase: bytes | None) -> tuple[bytes, bytes | None]:
    """Return the root, and the password of the other files or None."""
    path = folder / _ROOT
    fields = read_private(path).decode("ascii", "replace").removesuffix("\n").split(" ")
    scheme, values = " ".join(fields[:2]), fields[2:]
    try:
        blobs = [b64decode(value) for value in values]
    except ValueError as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    sizes = [len(blob) for blob in blobs]
    if scheme == _PLAIN and sizes == [_ROOT_BYTES]:
        return blobs[0], None
    if scheme != _LOCKED or sizes != [_SALT_BYTES, _ROOT_BYTES + 8]:
        raise KeyUnavailable("garbage", file=str(path))
    if passphrase is None:
        raise KeyUnavailable("locked", file=str(folder))
    try:
        root = unwrap_key(_stretch(passphrase, blobs[0]), blobs[1])
    except KeyUnavailable as error:
        raise KeyUnavailable("passphrase", file=str(folder)) from error
    return root, _password(root)


def _read_rsa(path: Path, password: bytes | None) -> RSAPrivateKey:
    key = _read_pem(path, password)
    try:
        if isinstance(key, RSAPrivateKey):
            check_rsa_public(_spki(key))
            return key
    except EnvelopeRefused as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    raise KeyUnavailable("garbage", file=str(path))


def _read_pem(path: Path, password: bytes | None) -> object:
    try:
        return serialization.load_pem_private_key(read_private(path), password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnavailable("garbage", file=str(path)) from error


def _spki(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    # RFC 9106 §4, the second recommended option: 3 passes, 4 lanes, 64 MiB; about 0.2 s.
    kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    return kdf.derive(passphrase)


def _password(root: bytes) -> bytes:
    # PKCS#8 as written here stretches with few rounds of PBKDF2. That suffices for a password
    # of 256 bits, never for a person's: that one goes through Argon2id, to the root alone.
    kdf = HKDF(hashes.SHA256(), 32, salt=None, info=b"concura key files")
    return b64encode(kdf.derive(root)).encode("ascii")
