"""`concura doctor [DIR]`: look at the machine and a folder, and say what to do.

Python and packages, clock, port, variables; of a folder its room, the permissions of private keys,
the days that certificates have left, and what a killed process left behind.

This module does NOT mend anything, and does NOT read a private key beyond its first line.
"""

import argparse
import datetime as dt
import importlib.util
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from concura.adapters.folders import disk, kind_of
from concura.adapters.running import has_remains, read_run
from concura.cli.options import Parser, folder, nearest
from concura.cli.output import Output
from concura.errors import CertificateInvalid, ConcuraError, say
from concura.profiles import Settings, load_settings, variable

__all__ = ["Finding", "configure", "examine", "run"]

_PYTHON = (3, 11)
_PACKAGES = ("apsw", "cryptography", "httpcore", "numpy", "rich", "starlette", "uvicorn")
_SPACE_LOW_BYTES = 1024**3  # a day's ledger and logs of a small consortium
_SPACE_MIN_BYTES = 64 * 1024**2  # less does not even hold one sealed record of the largest size
_CLOCK_SKEW_MAX_S = 5.0
_EARLIEST_S = 1_735_689_600  # 2025-01-01: no clock that is set says less
_RENEW_DAYS = 30
_HEAD_BYTES = 64  # enough to see what a PEM file begins with
_MARKS = {"good": "✓", "warn": "!", "bad": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `good`, `warn` or `bad`, and what to do about it."""

    check: str
    state: str
    message: str
    hint: str = ""


def configure(parser: Parser) -> None:
    """Add the options of `doctor`."""
    parser.add_argument("folder", type=folder, nargs="?")


def run(options: argparse.Namespace) -> int:
    """Look at everything; 0 when nothing is bad, else 1."""
    output: Output = options.output
    findings = list(examine(options.folder, output.lang))
    styles = {"good": "good", "warn": "warn", "bad": "bad"}
    for found in findings:
        output.line(f"{_MARKS[found.state]} {found.message}", style=styles[found.state])
        if found.hint:
            output.line(f"    {found.hint}")
    is_well = all(found.state != "bad" for found in findings)
    output.say("doctor.well" if is_well else "doctor.ill")
    output.object({"well": is_well, "findings": [asdict(found) for found in findings]})
    return 0 if is_well else 1


def examine(place: Path | None, lang: str) -> Iterator[Finding]:
    """Look at the machine and, where one is given, a folder.

    Args:
        place: a consortium's, hub's or node's folder, or None.
        lang: `en` or `zh`.

    Yields:
        What was found, one thing at a time.
    """
    tell = _teller(lang)
    yield _python(tell)
    yield _packages(tell)
    yield _clock(tell)
    yield from _variables(tell)
    try:
        settings = load_settings(place, environment=os.environ).settings
    except ConcuraError as error:
        yield Finding("settings", "bad", error.message(lang), error.hint(lang))
    else:
        yield _port(tell, settings, place)
    if place is None:
        return
    if kind_of(place) is None:
        yield tell("folder", "bad", why="none", folder=place)
        return
    yield from _space(tell, place)
    yield _keys(tell, place)
    yield from _certificates(place, lang)
    yield from _remains(tell, place)


Tell = Callable[..., Finding]


def _teller(lang: str) -> Tell:
    def tell(check: str, state: str, *, why: str = "", **values: object) -> Finding:
        key = f"doctor.{check}.{why or state}"
        hint = "" if state == "good" else say(f"{key}.hint", lang, **values)
        return Finding(check, state, say(key, lang, **values), hint)

    return tell


def _python(tell: Tell) -> Finding:
    state = "good" if sys.version_info >= _PYTHON else "bad"
    return tell("python", state, found=platform.python_version())


def _packages(tell: Tell) -> Finding:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return tell("packages", "bad", names=", ".join(missing))
    return tell("packages", "good", count=len(_PACKAGES))


def _clock(tell: Tell) -> Finding:
    if time.time() < _EARLIEST_S:
        return tell("clock", "bad")
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.flush()
        skew_s = abs(os.fstat(file.fileno()).st_mtime - time.time())
    if skew_s > _CLOCK_SKEW_MAX_S:
        return tell("clock", "warn", seconds=round(skew_s))
    return tell("clock", "good")


def _variables(tell: Tell) -> Iterator[Finding]:
    # A misspelt variable is simply not seen: nobody would find out.
    known = [variable(name) for name in Settings.__dataclass_fields__]
    for name in sorted(os.environ):
        if name.startswith("CONCURA_") and name not in known:
            near = nearest(name, known)
            if near:
                yield tell("variables", "warn", name=name, near=near)


def _port(tell: Tell, settings: Settings, place: Path | None) -> Finding:
    ours = [read_run(path) for path in _folders(place)] if place else []
    if settings.port and any(found and found.port == settings.port for found in ours):
        return tell("port", "good", why="ours", port=settings.port)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError:
            return tell("port", "bad", host=settings.host, port=settings.port)
        return tell("port", "good", host=settings.host, port=listener.getsockname()[1])


def _space(tell: Tell, place: Path) -> Iterator[Finding]:
    try:
        with disk(place), tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(place).free
    except (ConcuraError, OSError):
        yield tell("folder", "bad", folder=place)
        return
    yield tell("folder", "good", folder=place, kind=kind_of(place))
    enough = "warn" if free >= _SPACE_MIN_BYTES else "bad"
    yield tell("space", "good" if free >= _SPACE_LOW_BYTES else enough, mib=free // 1024**2)


def _keys(tell: Tell, place: Path) -> Finding:
    keys = [path for path in _walk(place) if _is_private(path)]
    loose = [path for path in keys if path.stat().st_mode & 0o077]
    if loose:
        return tell("keys", "bad", files=", ".join(str(p.relative_to(place)) for p in loose))
    return tell("keys", "good", count=len(keys))


def _certificates(place: Path, lang: str) -> Iterator[Finding]:
    from concura.adapters.certificates import check  # noqa: PLC0415 - pulls in cryptography

    tell = _teller(lang)
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    for path in _walk(place):
        if path.suffix != ".pem" or b"-----BEGIN CERTIFICATE" not in _read(path):
            continue
        name = str(path.relative_to(place))
        try:
            days = check(_certificate_part(_read(path)), now=now)
        except CertificateInvalid as error:
            hint = tell("certificate", "bad", name=name).hint
            yield Finding("certificate", "bad", error.message(lang), hint)
            continue
        state = "good" if days > _RENEW_DAYS else "warn"
        yield tell("certificate", state, name=name, days=days)


def _remains(tell: Tell, place: Path) -> Iterator[Finding]:
    for path in _folders(place):
        if has_remains(path):
            yield tell("remains", "warn", folder=path)


def _folders(place: Path) -> list[Path]:
    try:
        inside = [path for path in sorted(place.iterdir()) if path.is_dir()]
    except OSError:
        inside = []
    return [place, *(path for path in inside if kind_of(path) is not None)]


def _walk(place: Path) -> Iterator[Path]:
    # Bounded in what it follows: links may lead anywhere.
    for root, names, files in os.walk(place, followlinks=False):
        names.sort()
        names[:] = [name for name in names if name != "logs"]
        yield from (Path(root) / name for name in sorted(files))


def _is_private(path: Path) -> bool:
    if path.suffix not in {".pem", ".key"} or path.is_symlink():
        return False
    return path.suffix == ".key" or b"PRIVATE KEY" in _read(path)[:_HEAD_BYTES]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _certificate_part(pem: bytes) -> bytes:
    return pem[pem.index(b"-----BEGIN CERTIFICATE") :]
