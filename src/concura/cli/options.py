"""The parser of one verb: argparse whose every word comes from the catalogue.

The help of an option is looked up by where it stands: `--founder` of `concura hub init` is
`cli.hub.init.founder`, or `cli.option.founder` where several verbs share it. A wrong command line
raises UsageInvalid instead of ending the process.

This module does NOT know any verb.
"""

import argparse
import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from concura.data.words import WORDS
from concura.errors import UsageInvalid, say

__all__ = ["Parser", "add_actions", "folder", "nearest", "run_action"]

Configure = Callable[["Parser"], None]
Run = Callable[[argparse.Namespace], int]

# What argparse says in English only, and the catalogue's sentence for it.
_COMPLAINTS = (
    (r"the following arguments are required: (?P<what>.+)", "cli.usage.required"),
    (r"unrecognized arguments: (?P<what>.+)", "cli.usage.unrecognized"),
    (
        r"argument (?P<what>.+?): invalid choice: '?(?P<value>.*?)'? \(choose from (?P<known>.*)\)",
        "cli.usage.choice",
    ),
    (r"argument (?P<what>.+?): invalid \w+ value: (?P<value>.*)", "cli.usage.value"),
    (r"argument (?P<what>.+?): expected .*", "cli.usage.expected"),
    (r"argument (?P<what>.+?): not allowed with argument (?P<value>.+)", "cli.usage.conflict"),
    (r"ambiguous option: (?P<what>.+?) could match (?P<known>.*)", "cli.usage.ambiguous"),
)


class Parser(argparse.ArgumentParser):
    """An argument parser in the reader's language.

    Args:
        lang: `en` or `zh`.
        prog: the words that called it, such as `concura hub init`.

    Raises:
        UsageInvalid: from `parse_args`, when the command line does not make sense.

    Example:
        >>> Parser(lang="en", prog="concura up").parse_args(["--lang", "zh"]).lang
        'zh'
    """

    def __init__(self, *, lang: str, prog: str) -> None:
        self.lang = lang
        self.area = ".".join(["cli", *prog.split()[1:]])
        super().__init__(
            prog=prog,
            description=_say_if(f"{self.area}.about", lang) or _say_if(self.area, lang),
            add_help=False,
            allow_abbrev=False,
        )
        # argparse's own headings are English only.
        self._positionals.title = say("cli.heading.arguments", lang)
        self._optionals.title = say("cli.heading.options", lang)
        self.add_argument("-h", "--help", action="help")
        self.add_argument("--lang", choices=("en", "zh"), default=lang)
        self.add_argument("--json", action="store_true")

    def add_argument(self, *names: str, **more: Any) -> argparse.Action:
        """Add an argument; its help is looked up in the catalogue unless it is given.

        Raises:
            KeyError: the catalogue has no help for it; a test walks all verbs.
        """
        if "help" not in more:
            long = [name for name in names if name.startswith("--")] or list(names)
            name = long[0].lstrip("-").replace("-", "_")
            own = f"{self.area}.{name}"
            key = own if own in WORDS else f"cli.option.{name}"
            more["help"] = say(key, self.lang).replace("%", "%%")
        return super().add_argument(*names, **more)

    def format_usage(self) -> str:
        """Write the usage line."""
        formatter = self._get_formatter()
        self._write_usage(formatter)
        return formatter.format_help()

    def format_help(self) -> str:
        """Write the whole help."""
        formatter = self._get_formatter()
        self._write_usage(formatter)
        formatter.add_text(self.description)
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_arguments(group._group_actions)  # noqa: SLF001 - as argparse itself does
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into an error of ours."""
        raise UsageInvalid(detail=_translate(message, self.lang))

    def _write_usage(self, formatter: argparse.HelpFormatter) -> None:
        prefix = say("cli.heading.usage", self.lang) + " "
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups, prefix)


def add_actions(parser: Parser, actions: Mapping[str, tuple[Configure, Run]]) -> None:
    """Give a verb its second word: `concura hub init|serve`.

    Args:
        parser: the verb's parser.
        actions: second word -> (configure, run). `run_action` then calls the chosen one.

    Example:
        >>> add_actions(parser, {"show": (_configure_show, _show)})  # doctest: +SKIP
    """
    lang, prog = parser.lang, parser.prog
    chosen = parser.add_subparsers(
        dest="action",
        required=True,
        metavar="|".join(actions),
        title=say("cli.heading.actions", lang),
    )
    for name, (configure, run) in actions.items():
        about = say(f"{parser.area}.{name}", lang).replace("%", "%%")
        sub = chosen.add_parser(name, help=about, lang=lang, prog=f"{prog} {name}")
        configure(sub)
        sub.set_defaults(run_action=run)


def run_action(options: argparse.Namespace) -> int:
    """Run the second word that `add_actions` found."""
    run: Run = options.run_action
    return run(options)


def folder(text: str) -> Path:
    """Read a folder or file name: `~` is the home, and the result is absolute."""
    if not text or "\0" in text:
        raise ValueError("name")  # argparse turns it into its complaint
    return Path(text).expanduser().absolute()


def nearest(word: str, known: list[str]) -> str:
    """Return the known word that is most like `word`, or an empty text."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.5)), "")


def _say_if(key: str, lang: str) -> str | None:
    return say(key, lang).replace("%", "%%") if key in WORDS else None


def _translate(message: str, lang: str) -> str:
    for pattern, key in _COMPLAINTS:
        found = re.fullmatch(pattern, message, re.DOTALL)
        if not found:
            continue
        values = found.groupdict()
        detail = say(key, lang, **values)
        known = [word.strip("' ") for word in values.get("known", "").split(",")]
        near = nearest(values.get("value", "") or "", known)
        return detail + (say("cli.usage.nearest", lang, word=near) if near else "")
    return message
