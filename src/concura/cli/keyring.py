"""Keys as a person names them: own ones by folder, readers and senders by file, card or member.

A file holds one public key (PEM or DER), several with a line that says which is which, or a
member's card. A member's id is looked up on the ledger as the named node verified it.

This module does NOT seal, and keeps no list of whom a person trusts: that is said each time.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from concura.adapters.folders import kind_of
from concura.adapters.keys_uri import DEFAULT_STORE, SCHEMES, open_key_store
from concura.adapters.running import read_run
from concura.adapters.segments import reading
from concura.canonical import decode
from concura.cli.passphrase import asking
from concura.errors import (
    ConcuraError,
    FileUnusable,
    FolderUnusable,
    NotFound,
    UsageInvalid,
    say,
)
from concura.ports import KeyStore
from concura.sealing import check_rsa_public, fingerprint
from concura.types import Fingerprint

if TYPE_CHECKING:  # the ledger takes a tenth of a second to import; a key file needs none
    from concura.ledger import MemberCard

__all__ = ["Names", "member_cards", "own_keys", "public_key", "read_public"]

_HOME: Final = Path("~/.concura/keys")
_FILE_MAX_BYTES: Final = 64 * 1024  # a card with its certificate is about 3 kB
_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(slots=True)
class Names:
    """What fingerprints are called, as far as the person said or a ledger knows."""

    of: dict[Fingerprint, str] = field(default_factory=dict)

    def call(self, public: bytes, name: str) -> None:
        """Give a key a name, unless it has one."""
        self.of.setdefault(fingerprint(public), name)

    def name(self, key: Fingerprint, lang: str) -> str:
        """Return a key's name, or that it is unknown."""
        return self.of.get(key) or say("inspect.unknown", lang)

    def short(self, key: Fingerprint) -> str:
        """Return a key's name, or the first half of its fingerprint."""
        return self.of.get(key, key[:32])


@dataclass(frozen=True, slots=True)
class _Public:
    """The public keys of one file, by use; a lone key has the use that is asked for."""

    name: str
    keys: Mapping[str, bytes]

    def of(self, use: str) -> bytes | None:
        return self.keys.get(use) or self.keys.get("")


def own_keys(text: str | None, lang: str) -> KeyStore:
    """Open the person's own keys.

    Args:
        text: a key folder, a node's folder or a key store's URI; None for the one at home.
        lang: of messages.

    Returns:
        The key store; asks for a passphrase at the terminal where one is needed.

    Raises:
        UsageInvalid: there are no keys.
        KeyUnavailable, ConfigInvalid: they cannot be opened.
    """
    if text is not None and text.partition(":")[0] in SCHEMES and ":" in text:
        return open_key_store(text, base=Path.cwd(), ask=asking(lang))
    folder = Path(_HOME if text is None else text).expanduser().absolute()
    if not folder.is_dir():
        raise UsageInvalid(detail=say("cli.usage.keys", lang, folder=str(folder)))
    if kind_of(folder) == "node":
        from concura.profiles import load_settings  # noqa: PLC0415 - the whole node; few need it

        settings = load_settings(folder, environment=os.environ).settings
        uri = getattr(settings, "key_store", DEFAULT_STORE)
        return open_key_store(uri, base=folder, ask=asking(lang))
    return open_key_store(f"file:{quote(str(folder))}", base=Path("/"), ask=asking(lang))


def public_key(
    text: str, use: str, *, cards: "Mapping[str, MemberCard] | None", lang: str
) -> _Public:
    """Find a reader's or sender's public key by what a person wrote.

    Args:
        text: a file's name, or a member's id.
        use: `wrap` for a reader, `sign` for a sender.
        cards: members of the named consortium, by id; None where none was named.
        lang: of messages.

    Returns:
        The key's name and keys; `.of(use)` is there.

    Raises:
        UsageInvalid: no file, and no consortium was named in which it could be a member.
        NotFound: neither a file nor a member.
        FileUnusable: the file holds no such key.
    """
    path = Path(text).expanduser()
    if not path.exists() and re.fullmatch(r"[a-z0-9-]{1,63}", text):
        if cards is None:
            raise UsageInvalid(detail=say("cli.usage.member_of", lang, what=text))
        if text not in cards:
            raise NotFound(what=text)
        return _of_card(cards[text])
    found = read_public(path)
    if found.of(use) is None:
        raise FileUnusable("public", file=str(path))
    return found


def read_public(path: Path) -> _Public:
    """Read a file of public keys or a member's card.

    Args:
        path: at most 64 KiB.

    Returns:
        Its keys and what it is called.

    Raises:
        FileUnusable: `missing`, `unreadable`, `size` or `public`.
    """
    with reading(str(path)), path.open("rb") as file:
        data = file.read(_FILE_MAX_BYTES + 1)
    if len(data) > _FILE_MAX_BYTES:
        raise FileUnusable("size", file=str(path))
    try:
        if data.lstrip().startswith(b"{"):
            from concura.ledger import MemberCard  # noqa: PLC0415 - see above

            card = MemberCard.from_json(decode(data.rstrip(b"\n")))
            card.check_keys()
            return _of_card(card)
        keys = _pem_keys(data) or {"": data}
        for key in keys.values():
            check_rsa_public(key)
    except (ConcuraError, ValueError, UnsupportedAlgorithm) as error:
        raise FileUnusable("public", file=str(path)) from error
    return _Public(path.stem, keys)


def member_cards(
    folder: Path | None, lang: str, *, wanted: Sequence[str] = ()
) -> "dict[str, MemberCard]":
    """Return members' cards as a node verified them.

    Args:
        folder: a node's folder, or a consortium's that holds one; None gives none.
        lang: of the node's answers.
        wanted: only these, where a running node is asked; all if empty.

    Raises:
        FolderUnusable: no node's folder.
        ConcuraError: what the node says, or its stored copy of the ledger.
    """
    if folder is None:
        return {}
    from concura.cli.node import ask  # noqa: PLC0415 - the whole node; few need it
    from concura.ledger import MemberCard, members  # noqa: PLC0415 - the same
    from concura.profiles import load_settings, open_node  # noqa: PLC0415 - the same

    place = _node_folder(folder)
    if read_run(place) is not None:
        known = [str(one) for one in _list(ask(place, "GET", "/status", lang=lang), "members")]
        names = [one for one in known if not wanted or one in wanted]
        answers = {one: ask(place, "GET", f"/directory/{one}", lang=lang) for one in names}
        return {one: MemberCard.from_json(answer) for one, answer in answers.items()}
    settings = load_settings(place, environment=os.environ).settings
    with open_node(place, settings) as node:
        node.watch.load()
        return {str(one): card for one, card in members(node.watch.chain.state).items()}


def _list(answer: Mapping[str, object], name: str) -> list[object]:
    value = answer.get(name)
    return value if isinstance(value, list) else []


def _node_folder(folder: Path) -> Path:
    if kind_of(folder) == "consortium":
        nodes = sorted(path for path in folder.iterdir() if kind_of(path) == "node")
        # One that runs follows the ledger; any other knows what it last saw.
        running = [path for path in nodes if read_run(path) is not None]
        folder = next(iter([*running, *nodes]), folder)
    if kind_of(folder) != "node":
        raise FolderUnusable("foreign", folder=str(folder))
    return folder


def _of_card(card: "MemberCard") -> _Public:
    return _Public(f"{card.name} ({card.member})", {"wrap": card.wrap, "sign": card.sign})


def _pem_keys(data: bytes) -> dict[str, bytes]:
    """Read PEM blocks; the text ahead of a block may say `wrap` or `sign`."""
    keys: dict[str, bytes] = {}
    end = 0
    for block in _PEM.finditer(data):
        said = re.findall(rb"\b(wrap|sign)\b", data[end : block.start()])
        use = said[-1].decode() if said else ""
        if use in keys:
            raise ValueError("two keys of one use")
        end = block.end()
        key = load_pem_public_key(block.group())
        keys[use] = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if "" in keys and len(keys) > 1:
        raise ValueError("a key without its use")
    return keys
