"""The operators' pages say what the program does."""

import re
from pathlib import Path

import concura.adapters  # noqa: F401 - every class of error is known once everything is imported
from concura import errors
from concura.cli import VERBS
from concura.data.words import WORDS

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
GROUPS = (
    errors.OperatorError,
    errors.DataError,
    errors.PeerError,
    errors.NetworkError,
    errors.LearningError,
    errors.OurError,
)


def cell(text):
    return text.replace("|", "\\|")


def rows(group):
    kinds = [kind for kind in group.__subclasses__() if kind.__module__ == "concura.errors"]
    for kind in sorted(kinds, key=lambda kind: kind.exit_code):
        said = (cell(text) for key in ("", ".hint") for text in WORDS[f"error.{kind.slug}{key}"])
        english, chinese, hint, hint_chinese = said
        yield (
            f"| {kind.exit_code} | `{kind.slug}` | {kind.http_status} "
            f"| {english}<br>{chinese} | {hint}<br>{hint_chinese} |"
        )


def tables():
    return [line for group in GROUPS for line in rows(group)]


def test_the_page_of_errors_shows_each_error_as_the_program_has_it():
    page = (OPERATIONS / "errors.md").read_text("utf-8").splitlines()
    assert [line for line in page if re.match(r"\| \d", line)] == tables()


def test_no_exit_code_is_used_twice():
    codes = [line.split("|")[1] for line in tables()]
    assert len(set(codes)) == len(codes)


def test_every_verb_is_explained_to_operators():
    page = (OPERATIONS / "running.md").read_text("utf-8")
    assert [verb for verb in VERBS if f"concura {verb}" not in page] == []
