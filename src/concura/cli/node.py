"""`concura node init|join|serve|admit`: a hospital's node.

Two commands join a consortium: `init` makes keys, certificate and card; `join` takes an invitation,
shows its words, and signs the genesis as a founder or applies to those who are in.

This module does NOT know what the node does.
"""

import argparse
import asyncio
import http.client
import json
import os
import re
import secrets
import ssl
from datetime import UTC, datetime
from pathlib import Path

from concura.adapters.certificates import (
    authority,
    certificate,
    client_context,
    create_authority,
    issue,
    tls_fingerprint,
)
from concura.adapters.folders import atomic_write, claim, enter, log_file
from concura.adapters.http_hub import HttpHub, error_of
from concura.adapters.key_locks import Ask
from concura.adapters.keys_uri import place_of
from concura.adapters.logs import configure_logs
from concura.adapters.running import read_run, serving
from concura.adapters.system import SystemClock, SystemRandomness, harden_process
from concura.canonical import encode
from concura.cli.loop import run_until_stopped
from concura.cli.options import Parser, add_actions, folder, run_action
from concura.cli.output import Output
from concura.cli.passphrase import asking, choosing
from concura.errors import (
    FolderUnusable,
    InvitationInvalid,
    NodeUnreachable,
    NotRunning,
    UsageInvalid,
    say,
)
from concura.hospital import Invitation, apply, found, read_invitation
from concura.ledger import MemberCard, words
from concura.limits import INVITATION_MAX_BYTES, NAME_MAX_CHARS
from concura.ports import KeyStore
from concura.profiles import (
    SETTINGS_FILE,
    card_of,
    load_settings,
    make_keys,
    open_keys,
    open_node,
    pem_of,
    suited,
)
from concura.sealing import SUITES
from concura.types import Digest, MemberId
from concura.web.node_api import node_app
from concura.web.serving import bind, serve

__all__ = ["ask", "configure", "join_node", "make_node", "run"]

_LOOPBACK = "127.0.0.1"
_PATIENCE_S = 130.0


def configure(parser: Parser) -> None:
    """Add the second words of `node`."""
    add_actions(
        parser,
        {
            "init": (_configure_init, _init),
            "join": (_configure_join, _join),
            "serve": (_configure_serve, _serve),
            "admit": (_configure_admit, _admit),
        },
    )


def run(options: argparse.Namespace) -> int:
    """Run the second word."""
    return run_action(options)


def _configure_init(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--member", required=True, metavar="ID")
    parser.add_argument("--name", required=True, metavar="TEXT")
    parser.add_argument("--key-store", metavar="URI")
    parser.add_argument("--passphrase", action="store_true")


def _configure_join(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--invitation", type=folder, required=True, metavar="FILE")
    parser.add_argument("--words", metavar="TEXT")


def _configure_serve(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)


def _configure_admit(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("applicant", metavar="ID")


def _init(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", options.member):
        raise UsageInvalid(detail=say("cli.usage.member", options.lang))
    if not 0 < len(options.name) <= NAME_MAX_CHARS or not options.name.isprintable():
        raise UsageInvalid(detail=say("cli.usage.name", options.lang, most=NAME_MAX_CHARS))
    member = MemberId(options.member)
    card, _ = make_node(
        place,
        member,
        options.name,
        key_store=options.key_store,
        ask=asking(options.lang),
        choose=choosing(options.lang) if options.passphrase else None,
    )
    path = place / "card.json"
    output.say("node.made", name=options.name, path=str(path))
    output.object({"card": str(path), "words": words(card.digest)})
    return 0


def make_node(
    place: Path,
    member: MemberId,
    name: str,
    *,
    key_store: str | None = None,
    ask: Ask | None = None,
    choose: Ask | None = None,
) -> tuple[MemberCard, KeyStore]:
    """Make a node's folder: keys, authority, certificate, card.

    What an earlier, killed run made is used again; the card comes last, so that where it stands,
    all that it names stands too.

    Args:
        place: the folder.
        member: its id in the consortium.
        name: the hospital's name.
        key_store: URI of its keys, kept in the folder's settings; None takes those as they are.
        ask: how to ask a person for a passphrase or PIN that there is.
        choose: how to ask for a new passphrase; None makes files without one.

    Returns:
        Its card and its open keys.

    Raises:
        FolderUnusable: a finished node is there already.
        ConfigInvalid, KeyUnavailable: the key store cannot be used.
    """
    flags = {"key_store": key_store}
    if key_store is not None:
        place_of(key_store, base=place)  # refused before anything is made
    claim(place, "node")
    if (place / "card.json").exists():
        raise FolderUnusable("finished", folder=str(place))
    settings = load_settings(place, environment=os.environ, flags=flags).settings
    if key_store is not None:
        _keep(place / SETTINGS_FILE, key_store)
    now = datetime.now(UTC)  # noqa: TID251 - a command's own clock
    store = suited(
        make_keys(place, settings, ask=ask, choose=choose), place, SUITES[settings.suite]
    )
    if not (place / "tls" / "ca.pem").exists():
        create_authority(place / "tls", name, now=now)
    issue(place / "tls", names=[member], now=now, server=False)
    card = MemberCard(
        member=member,
        name=name,
        sign=store.public("sign"),
        wrap=store.public("wrap"),
        witness=store.public("witness"),
        tls=tls_fingerprint(certificate(place / "tls")),
        authority=ssl.PEM_cert_to_DER_cert(authority(place / "tls").decode("ascii")),
    )
    atomic_write(place / "card.json", encode(card.to_json()) + b"\n", mode=0o644)
    return card, store


def _keep(path: Path, key_store: str) -> None:
    """Put the key store into the folder's settings; the other lines stay."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if not re.match(r"\s*key_store\s*=", line)]
    # A TOML string is written as a JSON string is.
    said = f"key_store = {json.dumps(key_store, ensure_ascii=False)}"
    atomic_write(path, "\n".join([said, *kept, ""]).encode())


def _join(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    enter(place, "node")
    card = card_of(place)
    data = _read(options.invitation)
    invitation = read_invitation(data)
    output.say("node.words", words=invitation.words)
    if options.words is not None and options.words.split() != invitation.words.split():
        raise InvitationInvalid("words")
    is_founder = join_node(place, card, data)
    if is_founder:
        output.say("node.founded", name=card.name)
    else:
        output.say("node.applied", name=card.name, words=words(card.digest))
    output.object({"member": card.member, "is_founder": is_founder, "words": invitation.words})
    return 0


def join_node(place: Path, card: MemberCard, data: bytes, *, keys: KeyStore | None = None) -> bool:
    """Sign the genesis as a founder, or apply; keep the invitation.

    Args:
        place: the node's folder.
        card: its card.
        data: the invitation.
        keys: the node's keys where they are open already; opening checks them, which takes time.

    Returns:
        Whether it is a founder.

    Raises:
        InvitationInvalid: malformed, tampered with, or not for this node.
        FolderUnusable: the node belongs to another consortium.
        HubUnreachable: the hub does not answer.
    """
    invitation = read_invitation(data)
    held = place / "invitation.json"
    if held.exists() and read_invitation(held.read_bytes()).genesis != invitation.genesis:
        raise FolderUnusable("finished", folder=str(place))
    is_founder = any(one.member == card.member for one in invitation.genesis.founders)
    if keys is None:
        settings = load_settings(place, environment=os.environ).settings
        opened = open_keys(place, settings, ask=asking("en"))
        keys = suited(opened, place, invitation.genesis.suite)
    asyncio.run(_sign_up(place, card, invitation, keys=keys, is_founder=is_founder))
    # Kept last: a node with an invitation has joined.
    atomic_write(held, data)
    return is_founder


async def _sign_up(
    place: Path,
    card: MemberCard,
    invitation: Invitation,
    *,
    keys: KeyStore,
    is_founder: bool,
) -> None:
    # Without its certificate: the hub does not know an applicant's authority yet.
    context = client_context(place / "tls", pem_of(invitation.authority), presents=False)
    hub = HttpHub(invitation.url, context)
    try:
        if is_founder:
            await found(card, invitation.genesis, hub=hub, keys=keys)
        else:
            await apply(
                card,
                invitation.genesis,
                hub=hub,
                keys=keys,
                clock=SystemClock(),
                randomness=SystemRandomness(),
            )
    finally:
        await hub.close()


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise InvitationInvalid("unreadable", file=str(path))
        with path.open("rb") as file:
            return file.read(INVITATION_MAX_BYTES + 1)
    except OSError as error:
        raise InvitationInvalid("unreadable", file=str(path)) from error


def _serve(options: argparse.Namespace) -> int:
    place: Path = options.folder
    harden_process()
    enter(place, "node")
    settings = load_settings(place, environment=os.environ).settings
    configure_logs(
        log_file(place),
        level=settings.log_level,
        max_bytes=settings.log_max_bytes,
        keep=settings.log_keep,
    )
    with serving(place) as mark, bind(_LOOPBACK, settings.node_port) as listener:
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        with open_node(place, settings, ask=asking(options.lang)) as node:

            async def main(stop: asyncio.Event) -> None:
                def started() -> None:
                    mark.ready(port=port, token=token)
                    options.output.say("node.serving", member=node.me, port=port)

                await serve(node_app(node, token), listener, started=started, stop=stop)

            run_until_stopped(main, beside=node.run)
    return 0


def _admit(options: argparse.Namespace) -> int:
    output: Output = options.output
    enter(options.folder, "node")
    answer = ask(options.folder, "POST", f"/members/{options.applicant}", lang=options.lang)
    digest = Digest(str(answer["card_digest"]))
    output.say("node.voted", member=options.applicant, words=words(digest))
    output.object(answer)
    return 0


def ask(
    place: Path,
    method: str,
    path: str,
    body: dict[str, object] | None = None,
    *,
    lang: str = "en",
) -> dict[str, object]:
    """Ask the node that serves a folder, over its loopback port.

    Args:
        place: the node's folder.
        method: HTTP method.
        path: path and query.
        body: JSON body.
        lang: language of its answers.

    Returns:
        Its answer.

    Raises:
        NotRunning: nothing serves the folder.
        NodeUnreachable: it does not answer.
        ConcuraError: what the node said.
    """
    found_run = read_run(place)
    if found_run is None:
        raise NotRunning(folder=str(place))
    headers = {"Authorization": f"Bearer {found_run.token}", "Accept-Language": lang}
    link = http.client.HTTPConnection(_LOOPBACK, found_run.port, timeout=_PATIENCE_S)
    try:
        link.request(method, path, body=json.dumps(body or {}), headers=headers)
        reply = link.getresponse()
        data = reply.read()
    except (OSError, http.client.HTTPException) as error:
        detail = type(error).__name__
        raise NodeUnreachable(folder=str(place), detail=detail) from error
    finally:
        link.close()
    if reply.status >= 400:
        raise error_of(data, str(place))
    answer: dict[str, object] = json.loads(data) if data else {}
    return answer
