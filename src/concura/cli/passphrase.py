"""Asking a person at the terminal for a passphrase or PIN, once per command.

At the terminal itself, never at standard input: that may carry data. Without a terminal nobody is
asked, and whatever needs the secret says where else it can come from. What is typed is not shown,
and stands in no argument, variable or file.

This module does NOT know what the secret opens.
"""

import contextlib
import getpass
import os

from concura.adapters.key_locks import Ask
from concura.errors import UsageInvalid, say

__all__ = ["asking", "choosing"]

_TERMINAL = "/dev/tty"


def asking(lang: str) -> Ask:
    """Return how to ask for a secret that opens something.

    Args:
        lang: `en` or `zh`.

    Returns:
        A function that gives the secret, or None without a terminal; it asks one time only.

    Example:
        >>> store = open_key_store("file:keys", base=place, ask=asking("en"))  # doctest: +SKIP
    """
    return _once(lambda: _typed("keys.ask", lang))


def choosing(lang: str) -> Ask:
    """Return how to ask for a passphrase that is chosen now: twice, and not empty.

    Args:
        lang: `en` or `zh`.

    Returns:
        A function that gives it; it asks one time only. It raises UsageInvalid without a terminal,
        for an empty one, and when the two differ: nobody is left unprotected by a slip.
    """

    def choose() -> bytes:
        said = _typed("keys.ask_new", lang)
        if not said:
            raise UsageInvalid(detail=say("cli.usage.no_passphrase", lang))
        if _typed("keys.ask_again", lang) != said:
            raise UsageInvalid(detail=say("cli.usage.passphrase", lang))
        return said

    return _once(choose)


def _once(ask: Ask) -> Ask:
    answer: list[bytes | None] = []

    def once() -> bytes | None:
        if not answer:
            answer.append(ask())
        return answer[0]

    return once


def _typed(question: str, lang: str) -> bytes | None:
    with contextlib.suppress(OSError):
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
        return getpass.getpass(say(question, lang)).encode() or None
    return None
