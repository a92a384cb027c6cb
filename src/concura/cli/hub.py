"""`concura hub init|serve`: the sharing platform.

`init` makes keys, certificate, genesis and invitation; the invitation comes last, so that a folder
with one is complete. `serve` runs until SIGTERM, Ctrl-C or the end of its lifeline.

This module does NOT know what the hub does.
"""

import argparse
import asyncio
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from concura.adapters.certificates import authority, create_authority, issue
from concura.adapters.folders import atomic_write, claim, enter, log_file
from concura.adapters.hub_key import HubKey
from concura.adapters.logs import configure_logs
from concura.adapters.running import serving
from concura.adapters.system import SystemClock, harden_process
from concura.canonical import decode
from concura.cli.loop import run_until_stopped
from concura.cli.options import Parser, add_actions, folder, run_action
from concura.cli.output import Output
from concura.errors import ConcuraError, DataFileInvalid, FolderUnusable
from concura.hospital import Invitation
from concura.ledger import Genesis, MemberCard, quorum_of
from concura.limits import INVITATION_MAX_BYTES
from concura.profiles import SETTINGS_FILE, Settings, load_settings, made, open_hub
from concura.sealing import SUITES
from concura.web.hub_api import hub_app
from concura.web.serving import bind, serve

__all__ = ["configure", "make_hub", "run"]

_HUB_NAME = "hub"


def configure(parser: Parser) -> None:
    """Add the second words of `hub`."""
    add_actions(parser, {"init": (_configure_init, _init), "serve": (_configure_serve, _serve)})


def run(options: argparse.Namespace) -> int:
    """Run the second word."""
    return run_action(options)


def _configure_init(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--founder", nargs="+", type=folder, required=True, metavar="CARD")
    parser.add_argument("--name", required=True, metavar="TEXT")
    parser.add_argument("--host", metavar="ADDRESS")
    parser.add_argument("--port", type=int, metavar="N")
    parser.add_argument("--address", metavar="NAME")
    parser.add_argument("--difficulty", type=int, metavar="BITS")


def _configure_serve(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)


def _init(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    cards = tuple(_card(path) for path in options.founder)
    flags = {
        "host": options.host,
        "port": options.port,
        "difficulty_bits": options.difficulty,
    }
    settings = load_settings(place, environment=os.environ, flags=flags).settings
    invitation = make_hub(place, settings, cards, name=options.name, address=options.address)
    path = place / "invitation.json"
    output.say("hub.made", name=options.name, path=str(path))
    output.say("hub.words", words=invitation.words)
    output.object({"invitation": str(path), "words": invitation.words, "url": invitation.url})
    return 0


def make_hub(
    place: Path,
    settings: Settings,
    cards: tuple[MemberCard, ...],
    *,
    name: str,
    address: str | None = None,
) -> Invitation:
    """Make a hub's folder: key, certificate, genesis, invitation.

    What an earlier, killed run made is used again; the invitation comes last, so that a folder with
    one is complete.

    Args:
        place: the folder.
        settings: host, port, difficulty and quorum.
        cards: the founders'.
        name: the consortium's name.
        address: name or address that the nodes dial; the listening one by default.

    Raises:
        FolderUnusable: a finished hub is there already.
        ChainInvalid: no chain can stand on these founders or settings.
    """
    claim(place, "hub")
    path = place / "invitation.json"
    if path.exists():
        raise FolderUnusable("finished", folder=str(place))
    now = datetime.now(UTC)  # noqa: TID251 - a command's own clock
    port = settings.port or _free_port(settings.host)
    address = address or settings.host
    if not (place / "tls" / "ca.pem").exists():
        create_authority(place / "tls", name, now=now)
    names = dict.fromkeys([address, settings.host, "localhost", "127.0.0.1"])
    issue(place / "tls", names=[one for one in names if one != "0.0.0.0"], now=now)  # noqa: S104 - compared, not bound
    lines = f'host = "{settings.host}"\nport = {port}\n'
    atomic_write(place / SETTINGS_FILE, lines.encode())
    genesis = Genesis(
        name=name,
        created_ms=SystemClock().now_ms(),
        difficulty_bits=settings.difficulty_bits,
        quorum=settings.quorum or quorum_of(len(cards)),
        hub_name=_HUB_NAME,
        hub_witness=HubKey.make(made(place / "keys") / "hub.pem").public,
        hub_authority=ssl.PEM_cert_to_DER_cert(authority(place / "tls").decode("ascii")),
        founders=cards,
        suite=SUITES[settings.suite],
    )
    shown = f"[{address}]" if ":" in address else address
    invitation = Invitation(f"https://{shown}:{port}", genesis.hub_authority, genesis)
    atomic_write(path, invitation.encode() + b"\n", mode=0o644)
    return invitation


def _card(path: Path) -> MemberCard:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise DataFileInvalid("card", file=str(path))
        with path.open("rb") as file:
            data = file.read(INVITATION_MAX_BYTES)
        return MemberCard.from_json(decode(data.rstrip(b"\n")))
    except (OSError, ConcuraError) as error:
        raise DataFileInvalid("card", file=str(path)) from error


def _free_port(host: str) -> int:
    with bind(host, 0) as listener:
        port: int = listener.getsockname()[1]
        return port


def _serve(options: argparse.Namespace) -> int:
    place: Path = options.folder
    harden_process()
    enter(place, "hub")
    settings = load_settings(place, environment=os.environ).settings
    configure_logs(
        log_file(place),
        level=settings.log_level,
        max_bytes=settings.log_max_bytes,
        keep=settings.log_keep,
    )
    with serving(place) as mark, bind(settings.host, settings.port) as listener:
        port = listener.getsockname()[1]
        with open_hub(place, settings) as hub:

            async def main(stop: asyncio.Event) -> None:
                app = hub_app(hub.platform)

                def started() -> None:
                    mark.ready(port=port, host=settings.host)
                    url = f"https://{settings.host}:{port}"
                    options.output.say("hub.serving", url=url)

                await serve(
                    app,
                    listener,
                    context=hub.context,
                    started=started,
                    stopping=hub.platform.close,
                    stop=stop,
                )

            run_until_stopped(main, beside=hub.platform.run)
    return 0
