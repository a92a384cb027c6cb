"""`concura status DIR`: what runs in a folder, and how far its ledger is.

A node is asked over its loopback port, with the token that only its owner can read; the hub over
its own port, with its own authority as the only trusted one. What they do not say is left out.

This module does NOT start, stop or change anything.
"""

import argparse
import datetime as dt
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from concura.adapters.folders import enter, kind_of
from concura.adapters.running import Run, read_run
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.plan import read_plan
from concura.errors import NotRunning, say

__all__ = ["configure", "places", "run"]

_TIMEOUT_S = 3.0
_TOLD = ("height", "final", "entries", "members", "stale_since", "distrust")
_COUNTS = ("height", "final", "entries", "members")
_REPLY_MAX_BYTES = 1024 * 1024


def configure(parser: Parser) -> None:
    """Add the options of `status`."""
    parser.add_argument("folder", type=folder)


def run(options: argparse.Namespace) -> int:
    """Say what runs; 0 when everything does, else the exit code of NotRunning."""
    output: Output = options.output
    found = [_look(path, name) for path, name in places(options.folder, options.lang)]
    if not found:
        output.say("status.empty", folder=str(options.folder))
    for one in found:
        _show(one, output)
    is_complete = bool(found) and all(one["running"] for one in found)
    output.object({"folder": str(options.folder), "running": is_complete, "processes": found})
    return 0 if is_complete else NotRunning.exit_code


def places(place: Path, lang: str) -> list[tuple[Path, str]]:
    """Return the folders of a consortium, or the one folder itself, with what people call them.

    Raises:
        FolderUnusable: the folder is missing, or none of ours.
    """
    kind = kind_of(place)
    if kind != "consortium":
        # `enter` says precisely what is wrong with a folder that is none of the three.
        enter(place, kind or "consortium")
        return [(place, say("status.hub", lang) if kind == "hub" else place.name)]
    plan = read_plan(place)
    members = plan.hospitals if plan else ()
    return (
        [(place / member, name) for member, name in (("hub", say("status.hub", lang)), *members)]
        if plan
        else []
    )


def _look(path: Path, name: str) -> dict[str, Any]:
    kind = kind_of(path)
    found = read_run(path)
    one: dict[str, Any] = {
        "id": path.name,
        "name": name,
        "kind": kind,
        "running": found is not None,
    }
    if found is None:
        return one
    told = _ask(found, None if kind == "node" else path)
    one |= {"pid": found.pid, "port": found.port, "answers": told is not None}
    return one | {key: told[key] for key in _TOLD if told and key in told}


def _show(one: dict[str, Any], output: Output) -> None:
    if not one["running"]:
        output.line(say("status.stopped", output.lang, name=one["name"]), style="bad")
        return
    key, style = ("status.runs", "good") if one["answers"] else ("status.silent", "warn")
    values = {name: one[name] for name in ("name", "port", "pid")}
    output.line(say(key, output.lang, **values), style=style)
    counts = {name: one[name] for name in _COUNTS if one.get(name) is not None}
    if "members" in counts:
        counts["members"] = len(one["members"])
    if counts:
        told = [say(f"status.{name}", output.lang, count=counts[name]) for name in counts]
        output.line("  " + say("status.and", output.lang).join(told))
    if one.get("stale_since"):
        since = dt.datetime.fromtimestamp(one["stale_since"] / 1000, dt.UTC).isoformat(
            " ", "seconds"
        )
        output.line(say("status.stale", output.lang, since=since), style="warn")
    if one.get("distrust"):
        output.line(say("status.distrust", output.lang), style="bad")


def _ask(found: Run, hub: Path | None) -> dict[str, Any] | None:
    """Ask a node, or the hub in its folder; None when it does not answer as it should."""
    headers = {} if hub else {"Authorization": f"Bearer {found.token}"}
    try:
        link = _link_to_hub(found, hub) if hub else _link_to_node(found)
    except OSError:  # its authority is gone, or damaged
        return None
    try:
        link.request("GET", "/healthz" if hub else "/status", headers=headers)
        reply = link.getresponse()
        told = json.loads(reply.read(_REPLY_MAX_BYTES))
    except (OSError, ValueError, OverflowError, http.client.HTTPException):
        return None
    finally:
        link.close()
    return told if reply.status == http.client.OK and isinstance(told, dict) else None


def _link_to_node(found: Run) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", found.port, timeout=_TIMEOUT_S)


def _link_to_hub(found: Run, hub: Path) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(hub / "tls" / "ca.pem"))
    host = str(found.more.get("host", "127.0.0.1"))
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound: it listens everywhere
        host = "127.0.0.1"
    return http.client.HTTPSConnection(host, found.port, timeout=_TIMEOUT_S, context=context)
