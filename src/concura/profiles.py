"""Settings: what an operator may change, and where each value came from. Wiring stands below.

Defaults, then `concura.toml` of the consortium, then `concura.toml` of the folder itself, then
`CONCURA_*` variables, then flags: the later wins, and each value remembers its source.

This module does NOT hold limits (`limits.py`): those are the same for everyone.
"""

import re
import ssl
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from concura.adapters.certificates import add_authority, certificate, client_context, server_context
from concura.adapters.certificates import check as check_certificate
from concura.adapters.folders import atomic_write, disk, kind_of
from concura.adapters.http_hub import HttpHub
from concura.adapters.hub_key import HubKey
from concura.adapters.key_locks import Ask
from concura.adapters.keys_sm import SmKeyStore
from concura.adapters.keys_uri import (
    DEFAULT_STORE,
    ManagedKeyStore,
    create_key_store,
    open_key_store,
    place_of,
)
from concura.adapters.logs import LEVELS
from concura.adapters.miner import ProcessMiner
from concura.adapters.sqlite_access import SqliteAccessLog
from concura.adapters.sqlite_hub import SqliteHubStore
from concura.adapters.sqlite_node import SqliteNodeStore
from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemClock, SystemRandomness
from concura.canonical import decode
from concura.errors import LANGUAGES, ConfigInvalid, FolderUnusable
from concura.hospital import Invitation, Node, read_invitation
from concura.hub import Platform
from concura.ledger import MemberCard
from concura.limits import (
    DIFFICULTY_MAX_BITS,
    ENTRIES_PER_BLOCK_MAX,
    INVITATION_MAX_BYTES,
    MEMBERS_MAX,
)
from concura.ports import (
    AccessLog,
    HubStore,
    KeyStore,
    Miner,
    NodePorts,
    NodeStore,
    Randomness,
    RecordStore,
)
from concura.sealing import AES, SM, SUITES, Suite

__all__ = [
    "PROFILES",
    "SETTINGS_FILE",
    "LoadedSettings",
    "OpenHub",
    "Profile",
    "Settings",
    "card_of",
    "database_key",
    "invitation_of",
    "load_settings",
    "made",
    "make_keys",
    "open_hub",
    "open_keys",
    "open_node",
    "pem_of",
    "suite_of",
    "suited",
    "variable",
]

SETTINGS_FILE = "concura.toml"
_PORT_MAX = 65_535
_FLAGS = {"difficulty_bits": "--difficulty"}  # flags that are shorter than their setting's name


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def _choice(default: str, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may change; each is explained by `setting.NAME` in the catalogue."""

    host: str = "127.0.0.1"  # address that the hub listens on
    port: int = _number(0, 0, _PORT_MAX)  # 0: the system chooses
    key_store: str = DEFAULT_STORE  # URI of a node's private keys (adapters/keys_uri.py)
    suite: str = _choice(AES.name, *SUITES)  # algorithms; fixed when node and hub are made
    node_port: int = _number(0, 0, _PORT_MAX)  # a node's own tools, loopback only
    difficulty_bits: int = _number(16, 0, DIFFICULTY_MAX_BITS)
    block_interval_ms: int = _number(1_000, 10, 3_600_000)
    entries_per_block: int = _number(ENTRIES_PER_BLOCK_MAX, 1, ENTRIES_PER_BLOCK_MAX)
    quorum: int = _number(0, 0, MEMBERS_MAX)  # 0: the smallest safe one (PROTOCOLS §1)
    wait_s: float = _number(25.0, 0.1, 300.0)  # a long poll is answered after this time at most
    access_anchor_s: float = _number(10.0, 0.1, 86_400.0)  # access log's root onto the ledger
    log_level: str = _choice("info", *LEVELS)
    log_max_bytes: int = _number(10 * 1024 * 1024, 4_096, 1024**4)
    log_keep: int = _number(5, 1, 1_000)
    lang: str = _choice("en", *LANGUAGES)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings with the source of each value: `default`, a file, a variable or a flag."""

    settings: Settings
    sources: Mapping[str, str]


def load_settings(
    folder: Path | None,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, object] = MappingProxyType({}),
) -> LoadedSettings:
    """Put the settings together.

    Args:
        folder: a consortium's, hub's or node's folder; None leaves files out.
        environment: the variables of the process.
        flags: what the command line says, by setting name; None means not said.

    Returns:
        The settings and their sources.

    Raises:
        ConfigInvalid: an unknown setting, a value of the wrong kind or out of range, or a file that
            is not TOML; it names the file, variable or flag.

    Example:
        >>> load_settings(None, environment={"CONCURA_PORT": "8443"}).settings.port
        8443
    """
    values: dict[str, object] = {}
    sources = {known.name: "default" for known in fields(Settings)}
    for path in _files(folder):
        for name, value in _read(path).items():
            values[name] = _check(name, value, str(path))
            sources[name] = str(path)
    for name in sources:
        text = environment.get(variable(name))
        if text is not None:
            values[name] = _check(name, _parse(name, text), variable(name))
            sources[name] = variable(name)
    for name, said in flags.items():
        if said is not None:
            flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            values[name] = _check(name, said, flag)
            sources[name] = flag
    return LoadedSettings(Settings(**values), MappingProxyType(sources))  # type: ignore[arg-type]  # _check saw their types


def variable(name: str) -> str:
    """Return the variable that overrides a setting."""
    return f"CONCURA_{name.upper()}"


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    # A hub or node inside a consortium's folder takes the consortium's settings first.
    parents = [folder.parent] if kind_of(folder.parent) == "consortium" else []
    return [path / SETTINGS_FILE for path in [*parents, folder] if (path / SETTINGS_FILE).is_file()]


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
        # TOML is UTF-8: another encoding's bytes are refused where they stand.
        for number, line in enumerate(text.split("\n"), 1):
            if any("\udc80" <= character <= "\udcff" for character in line):
                raise ConfigInvalid("syntax", where=str(path), line=number)
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigInvalid("unreadable", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))  # else it stands at the end
        line_number = found[1] if found else text.count("\n") + 1
        raise ConfigInvalid("syntax", where=str(path), line=line_number) from error


def _check(name: str, value: object, where: str) -> object:
    known = {found.name: found for found in fields(Settings)}
    if name not in known:
        raise ConfigInvalid("unknown", name=name, where=where)
    wanted = type(known[name].default)
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise ConfigInvalid(f"type_{wanted.__name__}", name=name, where=where)
    rule = known[name].metadata
    if "choices" in rule and value not in rule["choices"]:
        raise ConfigInvalid("choice", name=name, where=where, known=", ".join(rule["choices"]))
    if "low" in rule and not rule["low"] <= value <= rule["high"]:
        raise ConfigInvalid("range", name=name, where=where, low=rule["low"], high=rule["high"])
    return value


def _parse(name: str, text: str) -> object:
    """Read a variable's text as the setting's type; a text that is none stays, and is refused."""
    wanted = type(getattr(Settings(), name))
    try:
        return wanted(text)
    except ValueError:
        return text


# --- wiring: which adapters a profile is made of -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Profile:
    """Which adapter stands behind each port."""

    hub_store: Callable[[Path], HubStore]
    node_store: Callable[[Path, bytes], NodeStore]
    records: Callable[[Path, KeyStore, Randomness, Suite], RecordStore]
    access_log: Callable[[Path, bytes], AccessLog]
    miner: Callable[[], Miner]


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "embedded": Profile(
            hub_store=SqliteHubStore,
            node_store=lambda path, key: SqliteNodeStore(path, key=key),
            records=lambda folder, keys, randomness, suite: SqliteRecords(
                folder, keys, randomness, suite=suite
            ),
            access_log=SqliteAccessLog,
            miner=ProcessMiner,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class OpenHub:
    """A hub ready to serve: the platform and the TLS side that listens."""

    platform: Platform
    context: ssl.SSLContext


@contextmanager
def open_hub(folder: Path, settings: Settings, profile: str = "embedded") -> Iterator[OpenHub]:
    """Put a hub together from its folder, and take it apart at the end.

    Raises:
        FolderUnusable: the folder was not made by `concura hub init`.
        KeyUnavailable, CertificateInvalid, StoreCorrupt: what is in it cannot be used.
    """
    parts = PROFILES[profile]
    genesis = invitation_of(folder).genesis
    key = HubKey.open(folder / "keys" / "hub.pem")
    context = server_context(folder / "tls")
    check_certificate(certificate(folder / "tls"), now=datetime.now(UTC))  # noqa: TID251 - wiring is where the clock is
    for card in genesis.founders:
        add_authority(context, pem_of(card.authority))
    with ExitStack() as stack:
        store = parts.hub_store(made(folder / "data") / "hub.db")
        stack.callback(_close, store)
        platform = Platform(
            genesis,
            store=store,
            clock=SystemClock(),
            miner=parts.miner(),  # its child ends with this process
            signer=key.sign,
            interval_ms=settings.block_interval_ms,
            on_authority=lambda der: add_authority(context, pem_of(der)),
        )
        yield OpenHub(platform, context)


@contextmanager
def open_node(
    folder: Path, settings: Settings, profile: str = "embedded", *, ask: Ask | None = None
) -> Iterator[Node]:
    """Put a node together from its folder, and take it apart at the end.

    Args:
        folder: the node's folder.
        settings: its settings.
        profile: which adapters.
        ask: how to ask a person for the key store's passphrase or PIN.

    Yields:
        The node.

    Raises:
        FolderUnusable: the node has not joined a consortium yet.
        KeyUnavailable, CertificateInvalid, StoreCorrupt: what is in it cannot be used.
    """
    parts = PROFILES[profile]
    invitation, card = invitation_of(folder), card_of(folder)
    randomness = SystemRandomness()
    keys = open_keys(folder, settings, ask=ask)
    check_certificate(certificate(folder / "tls"), now=datetime.now(UTC))  # noqa: TID251 - wiring is where the clock is
    data = made(folder / "data")
    key = database_key(data / "store.key", keys, randomness)
    suite = invitation.genesis.suite
    with ExitStack() as stack:
        stack.callback(_close, keys)
        store = parts.node_store(data / "node.db", key)
        stack.callback(_close, store)
        records = parts.records(data, keys, randomness, suite)
        stack.callback(_close, records)
        access = parts.access_log(data / "access.db", key)
        stack.callback(_close, access)
        context = client_context(folder / "tls", pem_of(invitation.authority))
        ports = NodePorts(
            hub=HttpHub(invitation.url, context),
            store=store,
            records=records,
            access=access,
            keys=suited(keys, folder, suite),
            clock=SystemClock(),
            randomness=randomness,
        )
        yield Node(
            card,
            invitation.genesis,
            ports,
            wait_s=settings.wait_s,
            anchor_s=settings.access_anchor_s,
        )


def open_keys(folder: Path, settings: Settings, *, ask: Ask | None = None) -> ManagedKeyStore:
    """Open the key store of a node.

    Args:
        folder: the node's folder.
        settings: its settings; `key_store` says where the keys are.
        ask: how to ask a person for a passphrase or PIN.

    Raises:
        ConfigInvalid: the setting names no key store.
        KeyUnavailable: it cannot be opened.
    """
    return open_key_store(settings.key_store, base=folder, ask=ask)


def make_keys(
    folder: Path, settings: Settings, *, ask: Ask | None = None, choose: Ask | None = None
) -> ManagedKeyStore:
    """Open the key store of a node, made with fresh keys if there is none yet.

    Args:
        folder: the node's folder.
        settings: its settings; `key_store` says where the keys are.
        ask: how to ask a person for a passphrase or PIN that there is.
        choose: how to ask for a new passphrase; None makes files without one.

    Raises:
        ConfigInvalid: the setting names no key store.
        KeyUnavailable: it cannot be opened or made.
    """
    if place_of(settings.key_store, base=folder).folder.exists():
        return open_keys(folder, settings, ask=ask)
    return create_key_store(settings.key_store, base=folder, ask=ask, choose=choose)


# Which keys a suite's members sign and unwrap with, beside the key store that holds the root.
_SUITED: Mapping[str, Callable[[Path, KeyStore], KeyStore]] = MappingProxyType(
    {AES.name: lambda _folder, keys: keys, SM.name: SmKeyStore.ensure}
)


def suited(keys: KeyStore, folder: Path, suite: Suite) -> KeyStore:
    """Return the key store with the suite's own keys in front; drawn where there are none yet.

    Args:
        keys: the node's key store.
        folder: the node's folder.
        suite: the consortium's.

    Raises:
        KeyUnavailable: the suite's keys cannot be opened with this key store.
        ConfigInvalid: `extra`: the suite needs a package that is not installed.
    """
    return _SUITED[suite.name](folder / suite.name, keys)


def suite_of(folder: Path, settings: Settings) -> Suite:
    """Return a node's suite: its consortium's; before it joined one, that of its settings.

    Raises:
        InvitationInvalid: the invitation was changed.
    """
    if (folder / "invitation.json").exists():
        return invitation_of(folder).genesis.suite
    return SUITES[settings.suite]


def invitation_of(folder: Path) -> Invitation:
    """Read the invitation that a hub or node folder holds.

    Raises:
        FolderUnusable: there is none: the folder is not finished.
        InvitationInvalid: it was changed.
    """
    path = folder / "invitation.json"
    try:
        return read_invitation(path.read_bytes()[: INVITATION_MAX_BYTES + 1])
    except OSError as error:
        raise FolderUnusable("unjoined", folder=str(folder), detail=path.name) from error


def card_of(folder: Path) -> MemberCard:
    """Read a node's own card.

    Raises:
        FolderUnusable: there is none: `concura node init` did not finish.
        EntryRefused: it was changed.
    """
    path = folder / "card.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FolderUnusable("unmade", folder=str(folder), detail=path.name) from error
    return MemberCard.from_json(decode(data.rstrip(b"\n")))


def database_key(path: Path, keys: KeyStore, randomness: Randomness) -> bytes:
    """Return the key of the node's own database, drawn once and kept under the key store's root."""
    if not path.exists():
        atomic_write(path, keys.wrap_aes(randomness.draw(32)))
    return keys.unwrap_aes(path.read_bytes())


def pem_of(der: bytes) -> bytes:
    """Write a certificate's DER as PEM."""
    return ssl.DER_cert_to_PEM_cert(der).encode("ascii")


def made(folder: Path) -> Path:
    """Make a folder for its owner alone, if it is missing."""
    with disk(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _close(part: object) -> None:
    close = getattr(part, "close", None)
    if close is not None:
        close()
