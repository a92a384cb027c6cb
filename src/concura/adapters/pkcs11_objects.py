"""What lies in a token: its root, which guards a key folder, and key pairs named by fingerprint.

The templates say what a key may do, and that it never leaves: PKCS#11 v2.40 §4. AES key wrap is the
token's own (RFC 3394).

This module does NOT open sessions (`pkcs11_token.py`), and does NOT use the pairs.
"""

import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from concura.adapters.key_locks import ROOT_BYTES, shown
from concura.adapters.pkcs11_token import Token
from concura.errors import KeyUnavailable
from concura.sealing.keys import fingerprint

__all__ = ["ID_BYTES", "TokenLock", "key_id", "make_pair", "make_root", "unmake"]

_log = logging.getLogger(__name__)

ID_BYTES: Final = 20
_NAME: Final = "pkcs11"
_RSA_BITS: Final = 3_072


class TokenLock:
    """Guards a key folder's root by the root key in a token (`key_locks.KeyLock`).

    Args:
        token: the token.
        root: the root key's id in the token; learned from the folder when it is opened.
    """

    __slots__ = ("_token", "root")

    def __init__(self, token: Token, root: bytes = b"") -> None:
        self._token, self.root = token, root

    @property
    def capabilities(self) -> frozenset[str]:
        """Nothing leaves a token, and a key destroyed there is gone at once."""
        return frozenset({"destroy:now"})

    def close(self, root: bytes) -> tuple[str, list[bytes]]:
        """Return the id of the token's root, and the folder's root wrapped under it."""
        return _NAME, [self.root, self.wrap(root)]

    def open(self, name: str, fields: Sequence[bytes], folder: Path) -> bytes:
        """Return the folder's root.

        Raises:
            KeyUnavailable: `guard`, `garbage`, `wrapped`, or what the token says.
        """
        if name != _NAME:
            raise KeyUnavailable("guard", file=str(folder), found=shown(name), wanted=_NAME)
        if [len(field) for field in fields] != [ID_BYTES, ROOT_BYTES + 8]:
            raise KeyUnavailable("garbage", file=str(folder / "root.key"))
        self.root = fields[0]
        return self.unwrap(fields[1])

    def destroy(self) -> int:
        """Do nothing: `TokenKeyStore.destroy` removes the root with the other keys, at once."""
        return 0

    def wrap(self, key: bytes) -> bytes:
        """Wrap a key under the token's root (RFC 3394)."""
        _log.info("private key used: use=root action=wrap")
        p = self._token.pkcs11

        def work(session: Any) -> bytes:
            root = self._token.find(session, p.ObjectClass.SECRET_KEY, self.root)
            value = session.create_object(_session_key(p) | {p.Attribute.VALUE: key})
            try:
                return bytes(root.wrap_key(value, mechanism=p.Mechanism.AES_KEY_WRAP))
            finally:
                value.destroy()

        return self._token.run(work)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Open a key that `wrap` wrapped.

        Raises:
            KeyUnavailable: `wrapped`: changed, or wrapped under another root.
        """
        _log.info("private key used: use=root action=unwrap")
        p = self._token.pkcs11
        if len(wrapped) % 8 or not 24 <= len(wrapped) <= 72:
            raise KeyUnavailable("wrapped", detail="AES-KW")
        # What a module says to a changed wrap; SoftHSM has no better word than a general error.
        bad = (p.GeneralError, p.WrappedKeyInvalid, p.WrappedKeyLenRange, p.EncryptedDataInvalid)

        def work(session: Any) -> bytes:
            root = self._token.find(session, p.ObjectClass.SECRET_KEY, self.root)
            kind = p.KeyType.GENERIC_SECRET
            try:
                value = root.unwrap_key(
                    p.ObjectClass.SECRET_KEY,
                    kind,
                    wrapped,
                    mechanism=p.Mechanism.AES_KEY_WRAP,
                    store=False,
                    template=_leaving(p),
                )
            except bad as error:
                raise KeyUnavailable("wrapped", detail="AES-KW") from error
            try:
                return bytes(value[p.Attribute.VALUE])
            finally:
                value.destroy()

        return self._token.run(work)


def key_id(public: bytes) -> bytes:
    """Return the id that a key pair has in the token: the first 20 bytes of its fingerprint."""
    return bytes.fromhex(fingerprint(public))[:ID_BYTES]


def make_root(token: Token, session: Any, identity: bytes) -> Any:
    """Make the root key in the token, to wrap and unwrap and for nothing else."""
    p = token.pkcs11
    return session.generate_key(
        p.KeyType.AES,
        256,
        id=identity,
        label=token.address.name,
        store=True,
        capabilities=p.MechanismFlag.WRAP | p.MechanismFlag.UNWRAP,
        template={p.Attribute.SENSITIVE: True, p.Attribute.EXTRACTABLE: False},
    )


def make_pair(token: Token, use: str, made: list[Any]) -> bytes:
    """Make a key pair in the token, named by its fingerprint.

    Args:
        token: the token, open for writing.
        use: `sign` or `wrap`; the pair can do nothing else.
        made: takes both halves as soon as they are there, so that they can be taken back.

    Returns:
        The public key: SPKI in DER.

    Raises:
        KeyUnavailable: what the token says.
    """
    p = token.pkcs11
    flags = p.MechanismFlag
    can = {"sign": flags.SIGN | flags.VERIFY, "wrap": flags.ENCRYPT | flags.DECRYPT}[use]

    def work(session: Any) -> bytes:
        pair = session.generate_keypair(
            p.KeyType.RSA,
            _RSA_BITS,
            id=secrets.token_bytes(ID_BYTES),
            label=token.address.name,
            store=True,
            capabilities=can,
            private_template={p.Attribute.SENSITIVE: True, p.Attribute.EXTRACTABLE: False},
        )
        made.extend(pair)
        public = _public_of(p, pair[0])
        for key in pair:
            key[p.Attribute.ID] = key_id(public)
        return public

    return token.run(work)


def unmake(token: Token, made: list[Any]) -> None:
    """Take back what a creation that failed had made in the token, as far as it lets us."""

    def undo(_session: Any) -> None:
        for key in made:
            key.destroy()

    try:
        token.run(undo)
    except KeyUnavailable:
        _log.warning(
            "keys of a failed creation are left in the token: label=%s", token.address.name
        )


def _public_of(p: Any, key: Any) -> bytes:
    numbers = RSAPublicNumbers(
        int.from_bytes(key[p.Attribute.PUBLIC_EXPONENT], "big"),
        int.from_bytes(key[p.Attribute.MODULUS], "big"),
    )
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _session_key(p: Any) -> dict[Any, Any]:
    """The template of a key that is in the token only while it is wrapped."""
    a = p.Attribute
    kinds = {a.CLASS: p.ObjectClass.SECRET_KEY, a.KEY_TYPE: p.KeyType.GENERIC_SECRET}
    return kinds | {a.TOKEN: False} | _leaving(p)


def _leaving(p: Any) -> dict[Any, Any]:
    # Epoch keys work outside the token, at a million rows a second: they must come out.
    return {p.Attribute.SENSITIVE: False, p.Attribute.EXTRACTABLE: True}
