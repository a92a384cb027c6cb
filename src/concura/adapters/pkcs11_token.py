"""One PKCS#11 token: its module loaded, its session opened, reopened and shared by threads.

A session is opened when it is first needed and again when it was lost (the token was taken out and
put back, the module's service restarted); a PIN that was refused once is never tried again, because
tokens lock themselves after a few wrong ones. Calls are made one at a time. Needs the extra `hsm`.

This module does NOT know which keys there are (`keys_pkcs11.py`), and does NOT survive a fork.
"""

import importlib
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from concura.adapters.key_locks import Ask
from concura.errors import KeyUnavailable

__all__ = ["Token", "TokenAddress", "load_pkcs11"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

# What a lost session looks like, module by module: the work is tried once more with a new one.
_LOST: Final = (
    "SessionHandleInvalid",
    "SessionClosed",
    "UserNotLoggedIn",
    "ObjectHandleInvalid",
    "KeyHandleInvalid",
    "DeviceRemoved",
    "TokenNotPresent",
    "CryptokiNotInitialized",
)
# The module's error -> which of ours; everything else is `token`.
_WHY: Final = {
    "PinIncorrect": "pin",
    "PinInvalid": "pin",
    "PinLenRange": "pin",
    "PinExpired": "pinlocked",
    "PinLocked": "pinlocked",
    "NoSuchToken": "notoken",
    "TokenNotPresent": "notoken",
    "TokenNotRecognised": "notoken",
    "DeviceRemoved": "notoken",
    "MultipleTokensReturned": "notoken",
    "NoSuchKey": "tokenkey",
    "MultipleObjectsReturned": "tokenkey",
}


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Where a token is: the module's file, and the token's label or serial number.

    Args:
        module: path of the module, a shared library.
        token: the token's label, or empty.
        serial: the token's serial number, or empty; one of the two is needed.
        name: the label that our keys carry in the token.
    """

    module: str
    token: str
    serial: str
    name: str

    @property
    def shown(self) -> str:
        """The token as errors name it."""
        return self.token or self.serial


def load_pkcs11() -> Any:
    """Return the binding, the package `python-pkcs11`.

    Raises:
        KeyUnavailable: `extra`: it is not installed.
    """
    try:
        return importlib.import_module("pkcs11")
    except ImportError as error:
        raise KeyUnavailable("extra", extra="hsm") from error


class Token:
    """A token in use.

    Args:
        address: where it is.
        pin: where the user's PIN comes from; asked at each opening of a session, not kept.
        writes: whether keys may be made and destroyed.

    Example:
        >>> token = Token(address, pin=lambda: b"1234")  # doctest: +SKIP
        >>> token.run(lambda session: session.generate_random(64))  # doctest: +SKIP
    """

    __slots__ = ("_found", "_guard", "_pin", "_refused", "_session", "_writes", "address", "pkcs11")

    def __init__(self, address: TokenAddress, *, pin: Ask, writes: bool = False) -> None:
        self.address = address
        self.pkcs11 = load_pkcs11()
        self._pin, self._writes = pin, writes
        self._session: Any = None
        self._found: dict[tuple[int, bytes], Any] = {}
        self._refused = ""
        self._guard = threading.RLock()

    def run(self, work: Callable[[Any], T]) -> T:
        """Do some work in the session, alone.

        Args:
            work: called with the session; a second time with a new one if the first was lost.

        Returns:
            What it returned.

        Raises:
            KeyUnavailable: `module`, `notoken`, `locked` (no PIN), `pin`, `pinlocked`, `tokenkey`,
                or `token` with the module's word for it.
        """
        with self._guard:
            try:
                return self._try(work)
            except self.pkcs11.PKCS11Error as error:
                self._drop()
                if type(error).__name__ not in _LOST:
                    raise self._known(error) from error
            _log.info("token session lost, opening another")
            try:
                return self._try(work)
            except self.pkcs11.PKCS11Error as error:
                self._drop()
                raise self._known(error) from error

    def find(self, session: Any, kind: Any, identity: bytes) -> Any:
        """Return one of our keys, within `run`; looked for once in a session.

        Args:
            session: what `run` gave.
            kind: the binding's object class.
            identity: the key's id in the token.

        Returns:
            The binding's key. Its own error for a missing one passes to `run`.
        """
        place = (int(kind), identity)
        if place not in self._found:
            # The binding cannot end a search in a session that died; a random byte tells before.
            session.generate_random(8)
            wanted = {"object_class": kind, "label": self.address.name, "id": identity}
            self._found[place] = session.get_key(**wanted)
        return self._found[place]

    def close(self) -> None:
        """End the session; the next work opens another."""
        with self._guard:
            self._drop()

    def _try(self, work: Callable[[Any], T]) -> T:
        if self._session is None:
            self._session = self._open()
        return work(self._session)

    def _open(self) -> Any:
        if self._refused:
            raise KeyUnavailable(self._refused, token=self.address.shown)
        try:
            module = self.pkcs11.lib(self.address.module)
        except self.pkcs11.PKCS11Error as error:
            raise KeyUnavailable("module", file=self.address.module) from error
        wanted: dict[str, object] = {}
        if self.address.token:
            wanted["token_label"] = self.address.token
        if self.address.serial:
            wanted["token_serial"] = self.address.serial.encode()
        token = module.get_token(**wanted)
        pin = self._pin()
        if pin is None:
            raise KeyUnavailable("pinmissing", token=self.address.shown)
        try:
            return token.open(rw=self._writes, user_pin=pin.decode("utf-8", "surrogateescape"))
        except self.pkcs11.UserAlreadyLoggedIn:
            # Another session of this process logged in; a login counts for all of them.
            return token.open(rw=self._writes)

    def _drop(self) -> None:
        session, self._session = self._session, None
        self._found.clear()
        if session is not None:
            with suppress(self.pkcs11.PKCS11Error):
                session.close()

    def _known(self, error: Exception) -> KeyUnavailable:
        kind = type(error).__name__
        why = _WHY.get(kind, "token")
        if why in {"pin", "pinlocked"}:
            self._refused = why
        return KeyUnavailable(why, token=self.address.shown, detail=kind)
