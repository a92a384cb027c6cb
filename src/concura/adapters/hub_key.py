"""The hub's one signing key: Ed25519, for receipts, headers and checkpoints.

It opens nothing and nobody seals to it; whoever steals it can sign as the hub, and the members'
co-signatures then still show a second history. Kept as PKCS#8 PEM, readable by its owner alone.

It does NOT rotate the key: the key stands in genesis.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from concura.adapters.folders import atomic_write
from concura.adapters.keys_file import read_private
from concura.errors import KeyUnavailable

__all__ = ["HubKey"]


class HubKey:
    """Signs for the hub.

    Args:
        key: the private key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def make(cls, path: Path) -> "HubKey":
        """Open the key at `path`, drawn anew if there is none yet."""
        if not path.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            atomic_write(path, pem)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "HubKey":
        """Read the key.

        Raises:
            KeyUnavailable: missing, readable by others, or no Ed25519 key.
        """
        try:
            key = load_pem_private_key(read_private(path), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnavailable("garbage", file=str(path)) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnavailable("garbage", file=str(path))
        return cls(key)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Sign with Ed25519, 64 bytes."""
        return self._key.sign(message)
