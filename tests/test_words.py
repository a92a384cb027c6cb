"""The catalogue of sentences: whole, the same in both languages, and everything asked of it exists."""

import ast
import importlib
import re
import string
from collections import Counter
from pathlib import Path

import pytest

from concura import errors
from concura.data.words import WORDS
from concura.errors import ConcuraError, say

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "concura"
FILES = sorted(SOURCE.rglob("*.py"))
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ConcuraError)
}
HAN = re.compile(r"[\u3400-\u9fff]")
LATIN = re.compile(r"[A-Za-z]{2,}")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fields(sentence: str) -> set[str]:
    return {
        name.split(".")[0].split("[")[0]
        for _, name, _, _ in string.Formatter().parse(sentence)
        if name is not None
    }


def calls(path: Path) -> list[ast.Call]:
    return [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]


def literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_both_languages_of_every_sentence_are_there() -> None:
    assert not [
        key
        for key, pair in WORDS.items()
        # A number without a unit has an empty one, in both languages.
        if len(pair) != 2
        or not (all(text.strip() for text in pair) or (".unit." in key and not any(pair)))
    ]


def test_both_languages_name_the_same_values() -> None:
    assert not [
        key for key, (english, chinese) in WORDS.items() if fields(english) != fields(chinese)
    ]


def test_no_key_stands_in_two_tables() -> None:
    tables = [
        path.stem for path in (SOURCE / "data" / "words").glob("*.py") if path.stem != "__init__"
    ]
    count = Counter(
        key
        for table in tables
        for key in importlib.import_module(f"concura.data.words.{table}").WORDS
    )
    assert not [key for key, number in count.items() if number > 1]
    assert set(count) == set(WORDS), "a table is not merged into the catalogue"


def test_no_key_stands_twice_in_one_table() -> None:
    for path in (SOURCE / "data" / "words").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Dict):
                keys = Counter(literal(key) for key in node.keys if literal(key))
                assert not [key for key, number in keys.items() if number > 1]


def test_english_holds_no_chinese() -> None:
    # A language's own name is written in that language.
    assert not [
        key
        for key, (english, _) in WORDS.items()
        if HAN.search(english) and not key.endswith(".name")
    ]


def test_chinese_words_are_chinese() -> None:
    # Bare names, units and codes read the same in both; a sentence of four words and more does not.
    assert not [
        key
        for key, (english, chinese) in WORDS.items()
        if len(LATIN.findall(re.sub(r"\{[^}]*\}|`[^`]*`", "", english))) >= 4
        and not HAN.search(chinese)
    ]


def test_chinese_sentences_use_chinese_punctuation() -> None:
    half = re.compile(r"[\u3400-\u9fff] ?[,;:!?](\s|$|[\u3400-\u9fff])|[\u3400-\u9fff]\.(\s|$)")
    assert not [key for key, (_, chinese) in WORDS.items() if half.search(chinese)]


@pytest.mark.parametrize("lang", ["en", "zh", "zh-CN", "fr"])
def test_an_unknown_language_reads_as_english(lang: str) -> None:
    english, chinese = WORDS["error.interrupted"]
    assert say("error.interrupted", lang) == (chinese if lang.startswith("zh") else english)


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_every_sentence_that_is_asked_for_exists_with_its_values(path: Path) -> None:
    wrong = []
    for call in calls(path):
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        key = literal(call.args[0]) if call.args else None
        if name != "say" or key is None:
            continue
        key = next((full for full in (key, f"report.{key}") if full in WORDS), key)
        if key not in WORDS:
            wrong.append(f"{shown(path)}:{call.lineno} no sentence {key}")
        elif missing := missing_values(call, WORDS[key][0]):
            wrong.append(f"{shown(path)}:{call.lineno} {key} lacks {missing}")
    assert not wrong


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_every_error_that_is_raised_can_be_said(path: Path) -> None:
    wrong = []
    for call in calls(path):
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        kind = KINDS.get(name)
        if kind is None or "slug" not in vars(kind):
            continue
        sayable = sentences(call, kind.slug)
        if not sayable:
            wrong.append(f"{shown(path)}:{call.lineno} no sentence for this {name}")
        wrong += [
            f"{shown(path)}:{call.lineno} {key} lacks {missing}"
            for key in sayable
            if (missing := missing_values(call, WORDS[key][0]))
        ]
    assert not wrong


def sentences(call: ast.Call, slug: str) -> list[str]:
    """Return the keys of all sentences and hints that a raised error may say."""
    general = f"error.{slug}"
    special = [key for key in WORDS if re.fullmatch(rf"{re.escape(general)}\..+(?<!\.hint)", key)]
    why = call.args[0] if call.args else ast.Constant("")
    options = [why.body, why.orelse] if isinstance(why, ast.IfExp) else [why]
    keys: list[str] = []
    for option in options:
        if (text := literal(option)) is not None:
            keys.append(f"{general}.{text}" if f"{general}.{text}" in special else general)
        elif isinstance(option, ast.JoinedStr):
            parts = [literal(part) for part in option.values]
            pattern = "".join(".+" if part is None else re.escape(part) for part in parts)
            matching = re.compile(rf"{re.escape(general)}\.{pattern}")
            keys += [
                key
                for key in special
                if matching.fullmatch(key) and not missing_values(call, WORDS[key][0])
            ]
        elif not special or not missing_values(call, WORDS[general][0]):
            # A variable: the general sentence must do, unless there are special ones to choose.
            keys.append(general)
        else:
            keys += [key for key in special if not missing_values(call, WORDS[key][0])]
    return keys + [hint for key in keys for hint in hints(key, general)]


def hints(key: str, general: str) -> list[str]:
    return [hint for hint in (f"{key}.hint", f"{general}.hint") if hint in WORDS][:1]


def missing_values(call: ast.Call, sentence: str) -> set[str]:
    given = {keyword.arg for keyword in call.keywords}
    return set() if None in given else fields(sentence) - given


def test_an_error_says_its_own_sentence_before_the_general_one() -> None:
    own, general = (
        errors.DataFileInvalid("json"),
        errors.DataFileInvalid(file="a.csv", line=":3", detail="empty"),
    )
    assert own.message() == WORDS["error.datafile.json"][0]
    assert general.message("en") == "a.csv:3: empty."
    assert str(general) == general.message()
    assert general.hint("zh") == WORDS["error.datafile.hint"][1]
