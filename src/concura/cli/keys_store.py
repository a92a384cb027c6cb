"""`concura keys generate|list|fingerprint|export|replace|destroy|check|renew DIR`: a key store.

DIR is a node's folder, whose setting `key_store` says where its keys are, or a person's key folder.
`--key-store` names another store, such as a token.

This module does NOT enter keys on the ledger: `replace` writes the card that has to be entered.
"""

import argparse
import dataclasses
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from concura.adapters.certificates import RENEW_DAYS, authority, certificate, renew
from concura.adapters.certificates import check as days_left
from concura.adapters.folders import atomic_write, disk, kind_of
from concura.adapters.key_locks import Ask
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_uri import (
    ManagedKeyStore,
    create_key_store,
    open_key_store,
    restore_key_store,
)
from concura.adapters.running import read_run
from concura.adapters.system import harden_process
from concura.canonical import encode
from concura.cli.options import Configure, Parser, Run, folder
from concura.cli.output import Output, describe
from concura.cli.passphrase import asking, choosing
from concura.errors import (
    AlreadyRunning,
    ConcuraError,
    FolderUnusable,
    KeyUnavailable,
    UsageInvalid,
    say,
)
from concura.ledger import words
from concura.ports import KeyStore
from concura.profiles import card_of, load_settings
from concura.sealing import check_rsa_public, fingerprint

__all__ = ["ACTIONS"]

_USES: Final = ("sign", "wrap", "witness")
_ALGORITHMS: Final = {"sign": "RSA-3072 PSS", "wrap": "RSA-3072 OAEP", "witness": "Ed25519"}
_CONFIRM_CHARS: Final = 16  # of the fingerprint: nobody types that by mistake
_NEXT: Final = "keys.next"
_NEXT_CARD: Final = "card.next.json"


def _configure_plain(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--key-store", metavar="URI")


def _configure_generate(parser: Parser) -> None:
    _configure_plain(parser)
    parser.add_argument("--passphrase", action="store_true")
    parser.add_argument("--from-backup", type=folder, metavar="FOLDER")


def _configure_fingerprint(parser: Parser) -> None:
    _configure_plain(parser)
    parser.add_argument("--use", choices=_USES)


def _configure_export(parser: Parser) -> None:
    _configure_plain(parser)
    parser.add_argument("--out", type=folder, metavar="FILE")
    parser.add_argument("--private", action="store_true")


def _configure_replace(parser: Parser) -> None:
    _configure_plain(parser)
    parser.add_argument("--use", choices=("sign", "wrap"), action="append", required=True)


def _configure_destroy(parser: Parser) -> None:
    _configure_plain(parser)
    parser.add_argument("--confirm", metavar="FINGERPRINT")


def _configure_check(parser: Parser) -> None:
    parser.add_argument("folder", type=folder, nargs="?", default=Path.cwd())


def _configure_renew(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)


def _generate(options: argparse.Namespace) -> int:
    output: Output = options.output
    harden_process()
    uri, base = _store_of(options)
    ask = asking(options.lang)
    choose = choosing(options.lang) if options.passphrase else None
    if options.from_backup is not None:
        store = restore_key_store(uri, options.from_backup, base=base, ask=ask, choose=choose)
    else:
        store = create_key_store(uri, base=base, ask=ask, choose=choose)
    prints = _prints(store)
    output.say("keys.made", folder=str(base), sign=prints["sign"], wrap=prints["wrap"])
    output.object({"folder": str(base), "fingerprints": prints})
    return 0


def _list(options: argparse.Namespace) -> int:
    output: Output = options.output
    harden_process()
    store = _open(options)
    prints, can = _prints(store), sorted(store.capabilities())
    for use, print_ in prints.items():
        output.say("keys.line", use=f"{use:<8}", algorithm=f"{_ALGORITHMS[use]:<14}", print=print_)
    output.say("keys.can", can=", ".join(can))
    output.object({"fingerprints": prints, "algorithms": _ALGORITHMS, "capabilities": can})
    return 0


def _fingerprint(options: argparse.Namespace) -> int:
    output: Output = options.output
    harden_process()
    prints = _prints(_open(options))
    if options.use:
        prints = {options.use: prints[options.use]}
    for use, print_ in prints.items():
        output.line(print_ if options.use else f"{use} {print_}")
    output.object(prints)
    return 0


def _export(options: argparse.Namespace) -> int:
    output: Output = options.output
    harden_process()
    store = _open(options)
    if options.private:
        return _back_up(options, store)
    # The wrap key comes first: a reader who takes only one takes the one to seal to.
    text = "".join(f"{use}\n{_pem(store, use)}" for use in ("wrap", "sign"))
    if options.out is None:
        output.stdout.write(text if not output.json else "")
    else:
        atomic_write(options.out, text.encode("ascii"), mode=0o644)
        output.say("keys.exported", file=str(options.out))
    output.object({"file": str(options.out or "-"), "pem": text, "fingerprints": _prints(store)})
    return 0


def _back_up(options: argparse.Namespace, store: ManagedKeyStore) -> int:
    output: Output = options.output
    if options.out is None:
        raise UsageInvalid(detail=say("cli.usage.out", options.lang))
    if not isinstance(store, FileKeyStore):
        raise KeyUnavailable("noexport", file=str(options.folder))
    store.export(options.out, choosing(options.lang))
    output.say("keys.backed_up", folder=str(options.out))
    output.object({"folder": str(options.out), "fingerprints": _prints(store)})
    return 0


def _replace(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    harden_process()
    if kind_of(place) != "node":
        raise FolderUnusable("foreign", folder=str(place))
    card = card_of(place)
    store = _open(options).replace(place / _NEXT, options.use)
    card = dataclasses.replace(card, sign=store.public("sign"), wrap=store.public("wrap"))
    path = place / _NEXT_CARD
    atomic_write(path, encode(card.to_json()) + b"\n", mode=0o644)
    output.say(
        "keys.replaced", uses=", ".join(options.use), card=str(path), words=words(card.digest)
    )
    output.object({"card": str(path), "words": words(card.digest), "fingerprints": _prints(store)})
    return 0


def _destroy(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    harden_process()
    if (run := read_run(place)) is not None:
        raise AlreadyRunning(pid=run.pid, folder=str(place))
    store = _open(options)
    expected = fingerprint(store.public("sign"))[:_CONFIRM_CHARS]
    if options.confirm != expected:
        raise UsageInvalid(detail=say("cli.usage.confirm", options.lang, print=expected))
    # Keys that wait for their entry share the root: left behind, they would still open rows.
    days = store.destroy(also=[path for path in (place / _NEXT,) if path.exists()])
    output.say("keys.destroyed_later" if days else "keys.destroyed", days=days, folder=str(place))
    output.object({"days": days, "folder": str(place)})
    return 0


def _check(options: argparse.Namespace) -> int:
    """Look at certificates and keys; 0 when all is well, 1 when something is due or wrong."""
    output: Output = options.output
    place: Path = options.folder
    harden_process()
    found = [line for one in _owned(place) for line in _findings(one, output)]
    if not found:
        raise FolderUnusable("foreign", folder=str(place))
    is_well = all(line["state"] == "good" for line in found)
    output.say("keys.well" if is_well else "keys.due")
    output.object({"well": is_well, "findings": found})
    return 0 if is_well else 1


def _owned(place: Path) -> list[Path]:
    """Return the folder and, of a consortium's, those in it."""
    with disk(place):
        inside = sorted(place.iterdir()) if kind_of(place) == "consortium" else []
    return [place, *(path for path in inside if kind_of(path) in {"hub", "node"})]


def _findings(place: Path, output: Output) -> Iterator[dict[str, object]]:
    if (place / "tls").is_dir():
        yield from (_look(place, name, output) for name in ("tls.pem", "ca.pem"))
    if kind_of(place) == "node":
        uri = load_settings(place, environment=os.environ).settings.key_store
        yield _try(uri, place, output)
    elif (place / "root.key").exists():
        yield _try("file:.", place, output)


def _look(place: Path, name: str, output: Output) -> dict[str, object]:
    now = datetime.now(UTC)  # noqa: TID251 - a command's own clock
    file = place / "tls" / name
    try:
        pem = certificate(place / "tls") if name == "tls.pem" else authority(place / "tls")
        days = days_left(pem, now=now)
    except ConcuraError as error:
        return _bad(error, str(file), output)
    is_good = days > RENEW_DAYS
    key = "keys.certificate" if is_good else f"keys.certificate_{name.partition('.')[0]}"
    output.line(say(key, output.lang, file=str(file), days=days), style="" if is_good else "warn")
    return {"file": str(file), "state": "good" if is_good else "warn", "days": days}


def _try(uri: str, place: Path, output: Output) -> dict[str, object]:
    try:
        open_key_store(uri, base=place, ask=asking(output.lang))
    except ConcuraError as error:
        return _bad(error, str(place), output)
    output.say("keys.opens", folder=str(place))
    return {"file": str(place), "state": "good"}


def _bad(error: ConcuraError, file: str, output: Output) -> dict[str, object]:
    output.line(error.message(output.lang), style="bad")
    output.line(f"    {error.hint(output.lang)}")
    return {"file": file, "state": "bad", "error": describe(error, output.lang)}


def _renew(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    harden_process()
    if kind_of(place) not in {"node", "hub"}:
        raise FolderUnusable("foreign", folder=str(place))
    now = datetime.now(UTC)  # noqa: TID251 - a command's own clock
    days = days_left(renew(place / "tls", now=now), now=now)
    is_running = read_run(place) is not None
    output.say("keys.renewed_restart" if is_running else "keys.renewed", days=days)
    output.object({"days": days, "restart": is_running})
    return 0


def _open(options: argparse.Namespace) -> ManagedKeyStore:
    uri, base = _store_of(options)
    ask: Ask = asking(options.lang)
    return open_key_store(uri, base=base, ask=ask)


def _store_of(options: argparse.Namespace) -> tuple[str, Path]:
    """Return the key store's URI and where it starts: the said one, the node's, or the folder."""
    place: Path = options.folder
    if options.key_store is not None:
        return options.key_store, place
    if kind_of(place) == "node":
        return load_settings(place, environment=os.environ).settings.key_store, place
    return "file:.", place


def _prints(store: KeyStore) -> dict[str, str]:
    return {use: str(fingerprint(store.public(use))) for use in _USES}


def _pem(store: KeyStore, use: str) -> str:
    key = check_rsa_public(store.public(use))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


ACTIONS: Mapping[str, tuple[Configure, Run]] = MappingProxyType(
    {
        "generate": (_configure_generate, _generate),
        "list": (_configure_plain, _list),
        "fingerprint": (_configure_fingerprint, _fingerprint),
        "export": (_configure_export, _export),
        "replace": (_configure_replace, _replace),
        "destroy": (_configure_destroy, _destroy),
        "check": (_configure_check, _check),
        "renew": (_configure_renew, _renew),
    }
)
