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
from concura.canonical import b64encode, decode, encode
from concura.cli.loop import run_until_stopped
from concura.cli.options import Parser, add_actions, folder, run_action
from concura.cli.output import Output
from concura.errors import ConcuraError, DataFileInvalid, FolderUnusable
from concura.ledger import Genesis, MemberCard, quorum_of, words
from concura.limits import INVITATION_MAX_BYTES
from concura.profiles import SETTINGS_FILE, Settings, load_settings, open_hub
from concura.web.hub_api import hub_app
from concura.web.serving import bind, serve

__all__ = ["configure", "run"]

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
    claim(place, "hub")
    if (place / "invitation.json").exists():
        raise FolderUnusable("finished", folder=str(place))
    genesis, url = _found(place, settings, options, cards)
    invitation = {
        "v": 1,
        "url": url,
        "authority": b64encode(genesis.hub_authority),
        "genesis": b64encode(genesis.encode()),
        "words": words(genesis.chain),
    }
    path = place / "invitation.json"
    atomic_write(path, encode(invitation) + b"\n", mode=0o644)
    output.say("hub.made", name=genesis.name, path=str(path))
    output.say("hub.words", words=words(genesis.chain))
    output.object({"invitation": str(path), "words": words(genesis.chain), "url": url})
    return 0


def _found(
    place: Path, settings: Settings, options: argparse.Namespace, cards: tuple[MemberCard, ...]
) -> tuple[Genesis, str]:
    """Make keys, certificate and genesis; what an earlier, killed run made is used again."""
    now = datetime.now(UTC)  # noqa: TID251 - a command's own clock
    port = settings.port or _free_port(settings.host)
    address = options.address or settings.host
    if not (place / "tls" / "ca.pem").exists():
        create_authority(place / "tls", options.name, now=now)
    names = list(dict.fromkeys([address, settings.host, "localhost", "127.0.0.1"]))
    issue(place / "tls", names=[name for name in names if name != "0.0.0.0"], now=now)  # noqa: S104 - compared, not bound
    lines = f'host = "{settings.host}"\nport = {port}\n'
    atomic_write(place / SETTINGS_FILE, lines.encode())
    genesis = Genesis(
        name=options.name,
        created_ms=SystemClock().now_ms(),
        difficulty_bits=settings.difficulty_bits,
        quorum=settings.quorum or quorum_of(len(cards)),
        hub_name=_HUB_NAME,
        hub_witness=HubKey.make(place / "keys" / "hub.pem").public,
        hub_authority=ssl.PEM_cert_to_DER_cert(authority(place / "tls").decode("ascii")),
        founders=cards,
    )
    genesis.encode()  # refuses what no chain can stand on before anything points to it
    shown = f"[{address}]" if ":" in address else address
    return genesis, f"https://{shown}:{port}"


def _card(path: Path) -> MemberCard:
    try:
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

                await serve(app, listener, context=hub.context, started=started, stop=stop)

            run_until_stopped(main, beside=hub.platform.run)
    return 0
