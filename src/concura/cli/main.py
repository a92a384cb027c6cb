"""The way into every command: find the verb, run it, turn whatever happens into an exit code.

Verbs are imported when they are called, so that a serving process does not pay for the others.
A person never sees a traceback: set CONCURA_DEBUG=1 to get one on standard error.

This module does NOT do any work of its own.
"""

import argparse
import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol, cast

from concura._version import __version__
from concura.cli.options import Parser, nearest
from concura.cli.output import Output
from concura.errors import (
    LANGUAGES,
    ConcuraError,
    FolderUnusable,
    InternalFault,
    Interrupted,
    StoreFull,
    UsageInvalid,
    say,
)

__all__ = ["VERBS", "Verb", "language", "main", "parser_of"]

# Each verb and the module that holds its `configure` and `run`; its summary is `cli.VERB`.
VERBS: Mapping[str, str] = {
    "demo": "concura.cli.demo",
    "up": "concura.cli.up",
    "status": "concura.cli.status",
    "down": "concura.cli.down",
    "hub": "concura.cli.hub",
    "node": "concura.cli.node",
    "config": "concura.cli.config",
    "doctor": "concura.cli.doctor",
    "data": "concura.cli.data",
    "seal": "concura.cli.seal",
    "open": "concura.cli.open",
    "inspect": "concura.cli.inspect",
    "keys": "concura.cli.keys",
}

# What may stand before the verb; the two languages are the words after --lang.
_COMMON = {"-h", "--help", "--lang", "--json", "--version", *LANGUAGES}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Verb(Protocol):
    """A module of this package that is one verb."""

    def configure(self, parser: Parser, /) -> None:
        """Add the verb's options."""
        ...

    def run(self, options: argparse.Namespace, /) -> int:
        """Do it; return the exit code. Raises ConcuraError."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `concura`; those of the process if None.

    Returns:
        The exit code: 0, or that of the error (docs/operations/errors.md).

    Example:
        >>> main(["--version"])  # doctest: +SKIP
        concura 0.1.0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _forgive_encoding()
    output = Output(language(words, os.environ), json="--json" in words)
    with _signals(is_last=argv is None):
        try:
            _hold_lifeline()
            return _dispatch(words, output)
        except SystemExit as stop:  # argparse after --help
            return stop.code if isinstance(stop.code, int) else 0
        except BaseException as error:  # noqa: BLE001 - the one place where everything ends
            return _end(error, output)


def parser_of(verb: str, lang: str) -> Parser:
    """Return the parser of one verb, with its options."""
    parser = Parser(lang=lang, prog=f"concura {verb}")
    _load(verb).configure(parser)
    return parser


def language(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Choose the language: `--lang`, then CONCURA_LANG, then the locale, then English."""
    for position, word in enumerate(words):
        if word == "--lang" and position + 1 < len(words) and words[position + 1] in LANGUAGES:
            return words[position + 1]
        if word.startswith("--lang=") and word[7:] in LANGUAGES:
            return word[7:]
    for name in ("CONCURA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return "zh" if environment[name].lower().startswith("zh") else "en"
    return "en"


def _dispatch(words: list[str], output: Output) -> int:
    position = _verb_position(words)
    before = words[:position]
    if "--version" in before:
        output.stdout.write(f"concura {__version__}\n")
        return 0
    unknown = [word for word in before if word.split("=")[0] not in _COMMON]
    if unknown and position == len(words):
        raise UsageInvalid(detail=say("cli.usage.unrecognized", output.lang, what=unknown[0]))
    if position == len(words):
        output.stdout.write(_overview(output.lang))
        return 0 if {"-h", "--help"} & set(before) else UsageInvalid.exit_code
    verb = words[position]
    if verb not in VERBS:
        near = nearest(verb, list(VERBS))
        tail = say("cli.usage.nearest", output.lang, word=near) if near else ""
        raise UsageInvalid(detail=say("cli.usage.verb", output.lang, verb=verb) + tail)
    # Options before the verb are the common ones; the verb's own parser knows them too.
    options = parser_of(verb, output.lang).parse_args(before + words[position + 1 :])
    options.output, options.lang, options.json = output, output.lang, output.json
    return _load(verb).run(options)


def _load(verb: str) -> Verb:
    return cast("Verb", importlib.import_module(VERBS[verb]))


def _verb_position(words: list[str]) -> int:
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position += 2 if words[position] == "--lang" else 1
    return min(position, len(words))


def _overview(lang: str) -> str:
    width = max(map(len, VERBS)) + 2
    verbs = [f"  {verb:<{width}}{say(f'cli.{verb}', lang)}" for verb in VERBS]
    parts = [
        f"{say('cli.heading.usage', lang)} concura [--lang en|zh] [--json] VERB …",
        "",
        say("cli.about", lang),
        "",
        f"{say('cli.heading.verbs', lang)}:",
        *verbs,
        "",
        say("cli.more", lang),
        "",
    ]
    return "\n".join(parts)


@contextmanager
def _signals(*, is_last: bool) -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does: cleaning up behind it.

    Args:
        is_last: whether the process ends with this command. Then the signals stay ignored once one
            came, so that an impatient second one does not undo the exit code.
    """
    before: dict[signal.Signals, object] = {}
    came = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        # Cleaning up takes bounded time; a second Ctrl-C in its middle would leave keys behind.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # A signal that was ignored on purpose (nohup) stays ignored.
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        with suppress(ValueError):  # not the main thread: whoever calls us there keeps its handlers
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if not (came and is_last):
                signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave us


def _hold_lifeline() -> None:
    if "CONCURA_LIFELINE_FD" in os.environ:
        from concura.adapters.processes import follow_lifeline  # noqa: PLC0415 - only for children

        follow_lifeline()


def _end(error: BaseException, output: Output) -> int:
    if isinstance(error, BrokenPipeError):
        return _quiet()
    known = _known(error)
    if os.environ.get("CONCURA_DEBUG") == "1":
        traceback.print_exception(error, file=sys.stderr)
    if "CONCURA_READY_FD" in os.environ:
        from concura.adapters.processes import announce_error  # noqa: PLC0415 - only for children

        announce_error(known)
    try:
        output.error(known)
    except (OSError, ValueError):  # the terminal is gone; the exit code still tells
        return _quiet(known.exit_code)
    return known.exit_code


def _known(error: BaseException) -> ConcuraError:
    if isinstance(error, ConcuraError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    if isinstance(error, OSError) and error.filename is not None:
        place = str(error.filename)
        if error.errno in _FULL:
            return StoreFull(folder=place)
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return FolderUnusable("readonly", folder=place)
    return InternalFault(detail=_where(error))


def _where(error: BaseException) -> str:
    # The message of a foreign exception may quote data; its type and place never do.
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}concura{os.sep}" in frame.filename] or frames
    place = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}{place}"


def _quiet(code: int = 141) -> int:
    """The reader went away: say nothing, and keep the interpreter from complaining at its end."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    return code


def _forgive_encoding() -> None:
    # A terminal that cannot show Chinese must not end a command.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
