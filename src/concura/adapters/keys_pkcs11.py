"""A hospital's private keys in a token: a hardware module or SoftHSM (`ports.KeyStore`).

The signing and the wrap key (RSA-3072) and the root (AES-256) are made in the token and never leave
it. The witness key, which most tokens cannot hold (Ed25519), lies in a key folder, under a secret
that the token's root wraps; the folder also names which of the token's keys count. Signing is PSS
in the token; unwrapping is OAEP with SHA-256 there where the token can do that, else the bare
operation there and `sealing.oaep` here: never SHA-1. PKCS#11 v2.40; needs the extra `hsm`.

This module does NOT make tokens or set PINs: the module's own tools do.
"""

import logging
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from concura.adapters.folders import atomic_write
from concura.adapters.key_folder import (
    carry_over,
    check_folder,
    new_folder,
    read_private,
    read_root,
    read_witness,
    remove_folder,
    write_private,
    write_root,
)
from concura.adapters.key_locks import ROOT_BYTES, Ask
from concura.adapters.pkcs11_objects import (
    ID_BYTES,
    TokenLock,
    key_id,
    make_pair,
    make_root,
    unmake,
)
from concura.adapters.pkcs11_token import Token, TokenAddress
from concura.errors import ConcuraError, EnvelopeRefused, KeyUnavailable
from concura.sealing.keys import (
    CONTENT_KEY_BYTES,
    check_rsa_public,
    fingerprint,
    verify_signature,
    wrap_content_key,
)
from concura.sealing.oaep import strip_padding
from concura.sealing.refusal import refused

__all__ = ["TokenKeyStore"]

_log = logging.getLogger(__name__)

_RSA_BYTES: Final = 3_072 // 8
_PUBLICS: Final = {"sign": "sign.pub", "wrap": "wrap.pub"}
_WITNESS: Final = "witness.pem"
_TEST: Final = b"concura key store self-test"


class TokenKeyStore:
    """The keys of one token, and the folder that belongs to them; made by `create` or `open`.

    Example:
        >>> store = TokenKeyStore.open(Path("keys"), address, pin=lambda: b"1234")  # doctest: +SKIP
        >>> len(store.sign(b"entry"))  # doctest: +SKIP
        384
    """

    __slots__ = ("_address", "_folder", "_lock", "_pads", "_pin", "_publics", "_token", "_witness")

    def __init__(
        self,
        *,
        token: Token,
        lock: TokenLock,
        pin: Ask,
        publics: dict[str, bytes],
        witness: Ed25519PrivateKey,
        folder: Path,
    ) -> None:
        self._token, self._lock, self._pin, self._folder = token, lock, pin, folder
        self._publics = publics | {"witness": witness.public_key().public_bytes_raw()}
        self._witness = witness
        self._pads = True  # whether the token takes OAEP's padding off itself

    @classmethod
    def create(cls, folder: Path, address: TokenAddress, *, pin: Ask) -> "TokenKeyStore":
        """Make fresh keys in the token, and the folder that belongs to them.

        Args:
            folder: where; must not exist, or be empty. Appears complete or not at all.
            address: the token.
            pin: where the user's PIN comes from.

        Returns:
            The opened store.

        Raises:
            KeyUnavailable: `exists`, or what the token says; no key is left behind in it then.
            StoreFull, FolderUnusable: the folder cannot be written.
        """
        token = Token(address, pin=pin, writes=True)
        made: list[Any] = []
        try:
            with new_folder(folder) as unfinished:
                lock = TokenLock(token, secrets.token_bytes(ID_BYTES))
                made.append(token.run(lambda session: make_root(token, session, lock.root)))
                password = write_root(unfinished, secrets.token_bytes(ROOT_BYTES), lock)
                write_private(unfinished / _WITNESS, Ed25519PrivateKey.generate(), password)
                for use in _PUBLICS:
                    _write_public(unfinished / _PUBLICS[use], make_pair(token, use, made))
        except BaseException:
            unmake(token, made)
            raise
        finally:
            token.close()
        store = cls.open(folder, address, pin=pin)
        _log.info("keys created: sign=%s", fingerprint(store.public("sign"))[:16])
        return store

    @classmethod
    def open(cls, folder: Path, address: TokenAddress, *, pin: Ask) -> "TokenKeyStore":
        """Open the keys of a token, and try each once.

        Args:
            folder: the folder that `create` made.
            address: the token.
            pin: where the user's PIN comes from.

        Returns:
            The store.

        Raises:
            KeyUnavailable: what the folder or the token says; `tokenkey`: a key is missing in the
                token, or is not the one that the folder names.
        """
        check_folder(folder)
        token = Token(address, pin=pin)
        lock = TokenLock(token)
        _, password = read_root(folder, lock)
        witness = read_witness(folder / _WITNESS, password)
        publics = {use: _read_public(folder / name) for use, name in _PUBLICS.items()}
        if publics["sign"] == publics["wrap"]:
            raise KeyUnavailable("garbage", file=str(folder / _PUBLICS["wrap"]))
        store = cls(
            token=token, lock=lock, pin=pin, publics=publics, witness=witness, folder=folder
        )
        store._test()
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
        """Sign with the signing key, in the token: RSA-PSS, SHA-256, salt of 32 bytes."""
        self._note("sign")
        p = self._token.pkcs11
        how = {
            "mechanism": p.Mechanism.SHA256_RSA_PKCS_PSS,
            "mechanism_param": (p.Mechanism.SHA256, p.MGF.SHA256, 32),
        }
        return self._token.run(
            lambda session: bytes(self._key(session, "sign").sign(message, **how))
        )

    def unwrap(self, wrapped: bytes) -> bytes:
        """Open a content key with the wrap key, in the token: RSA-OAEP, SHA-256.

        Raises:
            EnvelopeRefused: `wrap`: not wrapped to this key, changed, or no content key.
        """
        self._note("wrap")
        modulus = check_rsa_public(self._publics["wrap"]).public_numbers().n
        # Public, and else a module's many ways to complain: what is no number below the modulus.
        if len(wrapped) != _RSA_BYTES or int.from_bytes(wrapped, "big") >= modulus:
            raise refused("wrap")
        if not self._pads:
            return strip_padding(self._decrypt(wrapped, **self._bare()))
        content_key = self._decrypt(wrapped, **self._oaep())
        if len(content_key) != CONTENT_KEY_BYTES:
            raise refused("wrap")
        return content_key

    def witness(self, message: bytes) -> bytes:
        """Sign with the witness key: Ed25519; 64 bytes."""
        self._note("witness")
        return self._witness.sign(message)

    def wrap_aes(self, key: bytes) -> bytes:
        """Wrap an AES key under the root, in the token (RFC 3394); 8 bytes longer."""
        return self._lock.wrap(key)

    def unwrap_aes(self, wrapped: bytes) -> bytes:
        """Open a key wrapped by `wrap_aes`.

        Raises:
            KeyUnavailable: `wrapped`: changed, or wrapped under another root.
        """
        return self._lock.unwrap(wrapped)

    def replace(self, folder: Path, uses: Collection[str]) -> "TokenKeyStore":
        """Make new signing or wrap keys in the token, and a folder that names them.

        The root and the other keys are shared with this store, whose keys count until the ledger
        names the new ones.

        Args:
            folder: where; must not exist, or be empty.
            uses: out of {sign, wrap}; not empty.

        Returns:
            The store of the new folder.

        Raises:
            KeyUnavailable: `exists`, `missing` (no such use), or what the token says.
            StoreFull, FolderUnusable: the folder cannot be written.
        """
        if not uses or not set(uses) <= set(_PUBLICS):
            raise KeyUnavailable("missing", file=",".join(uses))
        token = Token(self._token.address, pin=self._pin, writes=True)
        made: list[Any] = []
        try:
            with new_folder(folder) as unfinished:
                for name in ("root.key", _WITNESS, *_PUBLICS.values()):
                    atomic_write(unfinished / name, read_private(self._folder / name))
                carry_over(self._folder, unfinished)
                for use in sorted(uses):
                    _write_public(unfinished / _PUBLICS[use], make_pair(token, use, made))
        except BaseException:
            unmake(token, made)
            raise
        finally:
            token.close()
        store = TokenKeyStore.open(folder, self._token.address, pin=self._pin)
        for use in sorted(uses):
            _log.info("key replaced: use=%s key=%s", use, fingerprint(store.public(use))[:16])
        return store

    def destroy(self, *, also: Sequence[Path] = ()) -> int:
        """Destroy the keys in the token and the folder, at once and for good.

        Args:
            also: folders that `replace` made from this store; their keys go too.

        Returns:
            0: the number of days after which that cannot be taken back any more.

        Raises:
            KeyUnavailable: what the token says.
            FolderUnusable: the folder cannot be removed.
        """
        token = Token(self._token.address, pin=self._pin, writes=True)
        folders = (*also, self._folder)
        names = _PUBLICS.values()
        publics = [_read_public(folder / name) for folder in folders for name in names]
        doomed = [*map(key_id, publics), self._lock.root]
        a = token.pkcs11.Attribute

        def work(session: Any) -> None:
            session.generate_random(8)  # tells whether it lives, before a search
            for identity in doomed:
                here = session.get_objects({a.LABEL: token.address.name, a.ID: identity})
                for key in list(here):
                    key.destroy()

        try:
            token.run(work)
        finally:
            token.close()
        self._token.close()
        for folder in folders:
            remove_folder(folder)
        _log.info("keys destroyed: sign=%s", fingerprint(self._publics["sign"])[:16])
        return 0

    def close(self) -> None:
        """End the session with the token; the next use opens another."""
        self._token.close()

    def _key(self, session: Any, use: str) -> Any:
        kind = self._token.pkcs11.ObjectClass.PRIVATE_KEY
        return self._token.find(session, kind, key_id(self._publics[use]))

    def _decrypt(self, wrapped: bytes, **how: Any) -> bytes:
        p = self._token.pkcs11
        bad = (p.EncryptedDataInvalid, p.EncryptedDataLenRange, p.DataInvalid, p.DataLenRange)

        def work(session: Any) -> bytes:
            try:
                return bytes(self._key(session, "wrap").decrypt(wrapped, **how))
            except bad as error:
                raise refused("wrap") from error

        opened = self._token.run(work)
        # Some modules drop leading zeros of the bare operation's result.
        return opened if "mechanism_param" in how else opened.rjust(_RSA_BYTES, b"\x00")

    def _oaep(self) -> dict[str, Any]:
        p = self._token.pkcs11
        param = (p.Mechanism.SHA256, p.MGF.SHA256, None)
        return {"mechanism": p.Mechanism.RSA_PKCS_OAEP, "mechanism_param": param}

    def _bare(self) -> dict[str, Any]:
        return {"mechanism": self._token.pkcs11.Mechanism.RSA_X_509}

    def _test(self) -> None:
        """Try each key once, and find out whether the token pads: SoftHSM 2.6 refuses SHA-256."""
        label = self._token.address.shown
        if not verify_signature(self._publics["sign"], _TEST, self.sign(_TEST)):
            raise KeyUnavailable("tokenkey", token=label)
        content_key = secrets.token_bytes(CONTENT_KEY_BYTES)
        wrapped = wrap_content_key(self._publics["wrap"], content_key)
        try:
            if self.unwrap(wrapped) == content_key:
                return
        except ConcuraError:
            _log.info("token does no OAEP with SHA-256: the bare operation is used")
        self._pads = False
        try:
            is_ours = self.unwrap(wrapped) == content_key
        except EnvelopeRefused:
            is_ours = False
        if not is_ours:
            raise KeyUnavailable("tokenkey", token=label)

    def _note(self, use: str) -> None:
        _log.info("private key used: use=%s key=%s", use, fingerprint(self._publics[use])[:16])


def _read_public(path: Path) -> bytes:
    data = read_private(path)
    try:
        key = load_pem_public_key(data)
        public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        check_rsa_public(public)
    except (ValueError, UnsupportedAlgorithm, EnvelopeRefused) as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    return public


def _write_public(path: Path, public: bytes) -> None:
    pem = check_rsa_public(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    atomic_write(path, pem)
