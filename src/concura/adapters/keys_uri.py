"""Key stores by URI: `file:`, `pkcs11:` (RFC 7512), `awskms:`.

    file:keys?passphrase-file=/run/credentials/concura/passphrase
    pkcs11:token=hospital-a;object=concura?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=pin
    awskms:alias/concura?region=eu-central-1

A URI stands in settings, logs and process lists: it never holds a secret, only where one is. Every
store has a key folder (docs/spec/keys.md); a relative path starts at the folder that the URI is
about, such as a node's.

This module does NOT ask a person: the caller hands in how. Bounded and total: any text gives a
store's address or ConfigInvalid.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from concura.adapters.key_folder import read_private
from concura.adapters.key_locks import Ask, FileLock, KeyLock
from concura.adapters.keys_awskms import KmsAddress, KmsLock
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_pkcs11 import TokenKeyStore
from concura.adapters.pkcs11_token import TokenAddress
from concura.errors import ConfigInvalid, KeyUnavailable
from concura.limits import KEY_STORE_URI_MAX_CHARS
from concura.ports import KeyStore

__all__ = [
    "DEFAULT_STORE",
    "SCHEMES",
    "ManagedKeyStore",
    "Place",
    "create_key_store",
    "open_key_store",
    "place_of",
    "restore_key_store",
]

DEFAULT_STORE: Final = "file:keys"
_FOLDER: Final = "keys"
_SETTING: Final = "key_store"


class ManagedKeyStore(KeyStore, Protocol):
    """A key store as those see it who look after it."""

    def replace(self, folder: Path, uses: Collection[str]) -> KeyStore:
        """Make new keys for `sign` or `wrap` beside the old ones."""
        ...

    def destroy(self, *, also: Sequence[Path] = ()) -> int:
        """Destroy the keys, those that wait in `also` too; return after how many days for good."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A URI that was read: its scheme, its key folder, and what else it says."""

    scheme: str
    folder: Path
    path: Mapping[str, str]
    query: Mapping[str, str]
    base: Path


@dataclass(frozen=True, slots=True)
class _Scheme:
    """What a scheme takes, and what it does."""

    path: frozenset[str]
    query: frozenset[str]
    check: Callable[[Place], object]
    create: Callable[[Place, Ask | None, Ask | None], ManagedKeyStore]
    open: Callable[[Place, Ask | None], ManagedKeyStore]


def place_of(uri: str, *, base: Path) -> Place:
    """Read a key store's URI.

    Args:
        uri: at most `KEY_STORE_URI_MAX_CHARS` characters.
        base: where relative paths start.

    Returns:
        What it says.

    Raises:
        ConfigInvalid: `keystore`, with the part that cannot be taken; never with its value.

    Example:
        >>> place_of("file:keys", base=Path("node")).folder
        PosixPath('node/keys')
    """
    if len(uri) > KEY_STORE_URI_MAX_CHARS or not uri.isprintable():
        raise _unusable("length")
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme not in SCHEMES:
        raise ConfigInvalid("keystore_scheme", name=_SETTING, known=", ".join(SCHEMES))
    text, _, query = rest.partition("?")
    known = SCHEMES[scheme]
    parts = _attributes(text, ";", known.path) if known.path else {"": _decoded(text)}
    place = Place(
        scheme=scheme,
        folder=base / (parts[""] if scheme == "file" else _FOLDER),
        path=parts,
        query=_attributes(query, "&", known.query),
        base=base,
    )
    known.check(place)
    return place


def open_key_store(uri: str, *, base: Path, ask: Ask | None = None) -> ManagedKeyStore:
    """Open a key store.

    Args:
        uri: which.
        base: where relative paths start, such as a node's folder.
        ask: how to ask a person for a passphrase or PIN, when the URI names no file for it.

    Returns:
        The store.

    Raises:
        ConfigInvalid: the URI is none.
        KeyUnavailable: it cannot be opened.

    Example:
        >>> store = open_key_store("file:keys", base=Path("node"))  # doctest: +SKIP
    """
    place = place_of(uri, base=base)
    return SCHEMES[place.scheme].open(place, ask)


def create_key_store(
    uri: str, *, base: Path, ask: Ask | None = None, choose: Ask | None = None
) -> ManagedKeyStore:
    """Make a key store with fresh keys; see `open_key_store`.

    Args:
        uri: which.
        base: where relative paths start.
        ask: how to ask a person for the PIN that a token has.
        choose: how to ask for a new passphrase for files; None leaves them to the file system's
            protection, unless the URI names a file with one.

    Returns:
        The store.

    Raises:
        ConfigInvalid: the URI is none.
        KeyUnavailable: `exists`, or it cannot be made.
    """
    place = place_of(uri, base=base)
    return SCHEMES[place.scheme].create(place, ask, choose)


def restore_key_store(
    uri: str, backup: Path, *, base: Path, ask: Ask | None = None, choose: Ask | None = None
) -> ManagedKeyStore:
    """Put the keys of a backup into a key store that does not exist yet.

    Args:
        uri: which store; its keys lie in files (`file:` or `awskms:`).
        backup: the backup, from `FileKeyStore.export`.
        base: where relative paths start.
        ask: how to ask for the backup's passphrase.
        choose: how to ask for a new passphrase for the store, as in `create_key_store`.

    Returns:
        The store.

    Raises:
        ConfigInvalid: the URI is none.
        KeyUnavailable: `exists`; `noimport`: keys cannot be put into a token; what the backup says.
    """
    place = place_of(uri, base=base)
    if place.scheme not in _LOCKS:
        raise KeyUnavailable("noimport", scheme=place.scheme)
    kept = FileKeyStore.open(backup, lock=FileLock(ask))
    kept.restore(place.folder, _LOCKS[place.scheme](place, choose))
    return open_key_store(uri, base=base, ask=choose)


def _file_lock(place: Place, ask: Ask | None) -> KeyLock:
    return FileLock(_from_file(place, "passphrase-file") or ask)


def _kms_lock(place: Place, _ask: Ask | None) -> KeyLock:
    return KmsLock(_kms_address(place))


_LOCKS: Final[Mapping[str, Callable[[Place, Ask | None], KeyLock]]] = {
    "file": _file_lock,
    "awskms": _kms_lock,
}


def _create_folder(place: Place, _ask: Ask | None, choose: Ask | None) -> ManagedKeyStore:
    return FileKeyStore.create(place.folder, lock=_LOCKS[place.scheme](place, choose))


def _open_folder(place: Place, ask: Ask | None) -> ManagedKeyStore:
    return FileKeyStore.open(place.folder, lock=_LOCKS[place.scheme](place, ask))


def _create_token(place: Place, ask: Ask | None, _choose: Ask | None) -> ManagedKeyStore:
    return TokenKeyStore.create(place.folder, _token_address(place), pin=_pin(place, ask))


def _open_token(place: Place, ask: Ask | None) -> ManagedKeyStore:
    return TokenKeyStore.open(place.folder, _token_address(place), pin=_pin(place, ask))


def _check_file(place: Place) -> None:
    if not place.path[""]:
        raise _unusable("path")


def _token_address(place: Place) -> TokenAddress:
    module, path = place.query.get("module-path", ""), place.path
    if not module:
        raise _unusable("module-path")
    if not (path.get("token") or path.get("serial")):
        raise _unusable("token")
    return TokenAddress(
        module=str(place.base / module),
        token=path.get("token", ""),
        serial=path.get("serial", ""),
        name=path.get("object", "concura"),
    )


def _kms_address(place: Place) -> KmsAddress:
    key, endpoint = place.path[""], place.query.get("endpoint", "")
    region = place.query.get("region", "")
    if not re.fullmatch(r"[A-Za-z0-9:/_-]{1,2048}", key):
        raise _unusable("key")
    if not re.fullmatch(r"[a-z0-9-]{0,64}", region):
        raise _unusable("region")
    if endpoint and not _is_safe(endpoint):
        raise _unusable("endpoint")
    return KmsAddress(key=key, region=region, endpoint=endpoint)


def _is_safe(endpoint: str) -> bool:
    """Whether an endpoint may see a root: over TLS, or on this machine."""
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname or "", url.port
        if url.scheme == "https":
            return bool(host) and url.username is None
        return url.scheme == "http" and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pin(place: Place, ask: Ask | None) -> Ask:
    return _from_file(place, "pin-source") or ask or (lambda: None)


def _from_file(place: Place, attribute: str) -> Ask | None:
    """Return how to read a secret from the file that the URI names, or None."""
    name = place.query.get(attribute, "")
    if not name:
        return None
    path = place.base / name.removeprefix("file:")
    return lambda: read_private(path).removesuffix(b"\n").removesuffix(b"\r")


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else []:
        name, equals, value = part.partition("=")
        if name in {"pin-value", "passphrase", "pin"}:
            raise ConfigInvalid("keystore_secret", name=_SETTING, part=name)
        if name not in known or not equals or name in found:
            raise _unusable(name if name in known else "?")
        found[name] = _decoded(value)
    return found


def _decoded(text: str) -> str:
    try:
        value = unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as error:
        raise _unusable("%") from error
    if not value.isprintable():
        raise _unusable("%")
    return value


def _unusable(part: str) -> ConfigInvalid:
    return ConfigInvalid("keystore", name=_SETTING, part=part)


SCHEMES: Final[Mapping[str, _Scheme]] = {
    "file": _Scheme(
        path=frozenset(),
        query=frozenset({"passphrase-file"}),
        check=_check_file,
        create=_create_folder,
        open=_open_folder,
    ),
    "pkcs11": _Scheme(
        path=frozenset({"token", "serial", "object"}),
        query=frozenset({"module-path", "pin-source"}),
        check=_token_address,
        create=_create_token,
        open=_open_token,
    ),
    "awskms": _Scheme(
        path=frozenset(),
        query=frozenset({"region", "endpoint"}),
        check=_kms_address,
        create=_create_folder,
        open=_open_folder,
    ),
}
