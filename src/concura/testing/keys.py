"""As much of a key store as the key table uses: a root in memory that counts what it opened.

It does NOT protect anything.
"""

from concura.sealing import unwrap_key, wrap_key

__all__ = ["Root"]


class Root:
    """Wraps and opens epoch keys.

    Args:
        root: the root key, 32 bytes.

    Attributes:
        opened: how many keys it has opened.
    """

    def __init__(self, root: bytes = b"r" * 32) -> None:
        self._root = root
        self.opened = 0

    def wrap_aes(self, key: bytes) -> bytes:
        """Wrap a key under the root."""
        return wrap_key(self._root, key)

    def unwrap_aes(self, wrapped: bytes) -> bytes:
        """Open a key that was wrapped under the root."""
        self.opened += 1
        return unwrap_key(self._root, wrapped)
