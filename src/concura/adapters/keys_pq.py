"""A post-quantum wrap key beside any key store (`ports.PostQuantumKeys`).

The whole secret is a seed of 32 bytes (X-Wing, draft-connolly-cfrg-xwing-kem §5.2), in one file,
`pq.key`, wrapped under the root of the key store beside which it stands.

This module does NOT let the seed out and does NOT wipe memory. Format: docs/spec/suites.md.
"""

import logging
import secrets
from pathlib import Path
from typing import Final

from concura.adapters.folders import atomic_write, disk
from concura.adapters.keys_file import read_private
from concura.canonical import b64decode, b64encode
from concura.errors import KeyUnavailable
from concura.ports import KeyStore
from concura.sealing import CONTENT_KEY_BYTES, fingerprint
from concura.sealing.hpke import HPKE_SEED_BYTES, hpke_private, hpke_public, unwrap_hpke
from concura.sealing.refusal import refused

__all__ = ["PqKeyFile"]

_log = logging.getLogger(__name__)

_FILE: Final = "pq.key"
_SCHEME: Final = "concura-pq-v1"


class PqKeyFile:
    """One post-quantum wrap key; made by `create` or `open`.

    Example:
        >>> keys = PqKeyFile.create(folder, keystore)  # doctest: +SKIP
        >>> len(keys.public_pq())  # doctest: +SKIP
        1216
    """

    __slots__ = ("_private", "_public")

    def __init__(self, seed: bytes) -> None:
        self._private, self._public = hpke_private(seed), hpke_public(seed)

    @classmethod
    def create(cls, folder: Path, beside: KeyStore) -> "PqKeyFile":
        """Draw a key into a folder, wrapped under the root of a key store.

        Args:
            folder: where `pq.key` is written; it MUST be its owner's alone.
            beside: the key store with the root; it can `wrap_aes`.

        Returns:
            The opened key.

        Raises:
            KeyUnavailable: `exists`: keys are never overwritten.
            StoreFull, FolderUnusable: it cannot be written.
        """
        path = folder / _FILE
        if path.exists():
            raise KeyUnavailable("exists", file=str(path))
        seed = secrets.token_bytes(HPKE_SEED_BYTES)
        text = f"{_SCHEME} {b64encode(beside.wrap_aes(seed))}\n"
        with disk(folder):
            atomic_write(path, text.encode("ascii"))
        keys = cls(seed)
        _log.info("post-quantum key created: wrap=%s", fingerprint(keys.public_pq())[:16])
        return keys

    @classmethod
    def open(cls, folder: Path, beside: KeyStore) -> "PqKeyFile":
        """Open the key of a folder.

        Args:
            folder: where.
            beside: the key store that it was created with.

        Returns:
            The key.

        Raises:
            KeyUnavailable: `missing`, `readable`, `owner`, `garbage`, or `wrapped`: another root.
        """
        path = folder / _FILE
        fields = read_private(path).decode("ascii", "replace").removesuffix("\n").split(" ")
        try:
            if len(fields) != 2 or fields[0] != _SCHEME:
                raise KeyUnavailable("garbage", file=str(path))
            seed = beside.unwrap_aes(b64decode(fields[1]))
            return cls(seed)
        except ValueError as error:
            raise KeyUnavailable("garbage", file=str(path)) from error

    def capabilities(self) -> frozenset[str]:
        """Return what it can do."""
        return frozenset({"unwrap_pq"})

    def public_pq(self) -> bytes:
        """Return the public key: 1216 bytes."""
        return self._public

    def unwrap_pq(self, wrapped: bytes, *, info: bytes) -> bytes:
        """Open a content key.

        Args:
            wrapped: 1168 bytes.
            info: from `Sealed.wrap_info`.

        Raises:
            EnvelopeRefused: `wrap`: for another reader, another envelope, or changed.
        """
        _log.info("private key used: use=pq key=%s", fingerprint(self._public)[:16])
        content_key = unwrap_hpke(self._private, wrapped, info)
        if len(content_key) != CONTENT_KEY_BYTES:
            raise refused("wrap")
        return content_key
