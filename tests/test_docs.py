"""The documents are true: links resolve, tables match the program, both languages say the same."""

import ast
import dataclasses
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from concura import errors, limits, profiles
from concura.data.words import WORDS
from concura.errors import ConcuraError

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
        *(ROOT / "examples").glob("*.md"),
    ]
)
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, ConcuraError)
    and kind is not ConcuraError
    and "slug" in vars(kind)
]
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
DECISION_PARTS = ("## Context", "## Options", "## Decision", "## Consequences")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def prose_of(path: Path) -> str:
    return FENCE.sub("", text_of(path))


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def shell_lines(path: Path) -> list[str]:
    blocks = re.findall(
        r"^```(?:sh|shell|bash|console)\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL
    )
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    prompted = any(line.startswith("$ ") for line in lines)
    return [
        line.removeprefix("$ ")
        for line in lines
        if line.startswith("$ ") or (not prompted and line and not line.startswith("#"))
    ]


# Links and names ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_every_link_leads_somewhere(path: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_every_file_that_is_named_exists(path: Path) -> None:
    names = re.findall(
        r"`((?:src|tests|docs|deploy|benchmarks|examples)/[\w./-]+)`", prose_of(path)
    )
    assert not [name for name in names if not (ROOT / name).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_every_test_that_is_named_exists(path: Path) -> None:
    known = known_tests()
    named = re.findall(r"`?((?:[\w/]+\.py::)?test_\w+)`?", prose_of(path))
    assert not [
        name
        for name in named
        if name not in known
        and not (ROOT / "tests" / f"{name}.py").exists()
        and f"{name}.py" not in prose_of(path)
    ]


def known_tests() -> set[str]:
    known = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                known |= {node.name, f"{path.name}::{node.name}", f"{shown(path)}::{node.name}"}
    return known


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_no_document_names_a_machine(path: Path) -> None:
    assert not re.findall(r"(?<![\w.])/(?:tmp|work|root|home|opt)/\S*", text_of(path))


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_no_document_has_a_gap_to_be_filled(path: Path) -> None:
    assert not re.findall(r"@[\w-]+@", text_of(path))


def test_pins_name_no_index_and_no_machine() -> None:
    text = text_of(ROOT / "requirements-dev.txt")
    assert not re.findall(
        r"https?://|--index|--find-links|--extra|file:|(?<![\w.])/(?:tmp|work|root|home|opt)/", text
    )
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))


def test_every_dependency_is_pinned() -> None:
    settings = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    wanted = [*settings["project"]["dependencies"], *settings["dependency-groups"]["dev"]]
    names = {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower().replace("_", "-") for line in wanted}
    pinned = set(
        re.findall(r"^([a-z0-9-]+)==", text_of(ROOT / "requirements-dev.txt"), re.MULTILINE)
    )
    assert names <= pinned


# Tables that follow from the program ----------------------------------------------------------


def test_every_error_is_in_the_operators_table_with_its_code() -> None:
    text = text_of(ROOT / "docs" / "operations" / "errors.md")
    lines = text.splitlines()
    missing = [
        f"{kind.__name__} {kind.exit_code}"
        for kind in ERRORS
        if not any(
            f"`{kind.slug}`" in line and re.search(rf"\b{kind.exit_code}\b", line) for line in lines
        )
    ]
    assert not missing


def test_every_hint_is_in_the_operators_table_in_both_languages() -> None:
    text = text_of(ROOT / "docs" / "operations" / "errors.md")
    assert not [
        kind.slug
        for kind in ERRORS
        for hint in WORDS[f"error.{kind.slug}.hint"]
        if hint.replace("|", "\\|") not in text
    ]


def test_every_setting_is_documented_with_its_variable() -> None:
    text = text_of(ROOT / "docs" / "operations" / "settings.md")
    names = [field.name for field in dataclasses.fields(profiles.Settings)]
    documented = [
        name for name in names if f"`{name}`" in text and f"CONCURA_{name.upper()}" in text
    ]
    assert documented == names


def test_every_limit_named_in_a_document_exists() -> None:
    named = {
        name
        for path in DOCUMENTS
        for name in re.findall(
            r"`(?!CONCURA_)([A-Z]+(?:_[A-Z]+)*_(?:MAX|MAX_[A-Z]+))`", prose_of(path)
        )
    }
    assert named <= set(limits.__all__)


def test_every_benchmark_is_in_the_list_of_benchmarks() -> None:
    text = text_of(ROOT / "benchmarks" / "README.md")
    assert not [
        path.name for path in (ROOT / "benchmarks").glob("*.py") if f"`{shown(path)}`" not in text
    ]


def test_make_help_lists_every_target_in_one_line() -> None:
    targets = re.findall(r"^([a-z]+):.*## (.+)$", text_of(ROOT / "Makefile"), re.MULTILINE)
    assert [name for name, _ in targets] == [
        "help",
        "setup",
        "demo",
        "test",
        "lint",
        "bench",
        "docs",
        "clean",
    ]
    assert all(len(line) <= 100 for _, line in targets)


# README ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READMES, ids=shown)
def test_every_command_in_a_readme_is_one_that_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", text_of(ROOT / "Makefile"), re.MULTILINE))
    verbs = known_verbs()
    wrong = []
    for line in shell_lines(path):
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"] and not set(words[1:2]) <= targets:
            wrong.append(line)
        if words[:1] == ["concura"] and words[1] not in verbs:
            wrong.append(line)
    assert shell_lines(path)
    assert not wrong


def known_verbs() -> set[str]:
    answer = subprocess.run(
        [sys.executable, "-m", "concura", "--lang", "en", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"^ {2,}([a-z]+)\b", answer.stdout, re.MULTILINE)) | set(
        re.findall(r"[{,]([a-z]+)(?=[,}])", answer.stdout)
    )


def test_both_readmes_have_the_same_shape() -> None:
    english, chinese = (
        [re.match(r"#+", line)[0] for line in prose_of(path).splitlines() if re.match(r"#+ ", line)]
        for path in READMES
    )
    assert english == chinese


def test_both_readmes_give_the_same_commands_and_links() -> None:
    plain = [
        [line.replace(' ARGS="--lang zh"', "") for line in shell_lines(path)] for path in READMES
    ]
    assert plain[0] == plain[1]
    links = [
        sorted(set(re.findall(r"\]\(([^)]+)\)", prose_of(path))) - {"README.md", "README.zh-CN.md"})
        for path in READMES
    ]
    assert links[0] == links[1]


def test_both_readmes_have_tables_of_the_same_size() -> None:
    rows = [len(re.findall(r"^\|", prose_of(path), re.MULTILINE)) for path in READMES]
    assert rows[0] == rows[1]


def test_each_readme_shows_the_decision_at_its_end_of_the_demonstration() -> None:
    english, chinese = map(text_of, READMES)
    assert f"Decision: {WORDS['decision.high'][0]}" in english
    assert f"决策：{WORDS['decision.high'][1]}" in chinese


# Decisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")), ids=shown)
def test_every_decision_record_has_its_parts(path: Path) -> None:
    text = text_of(path)
    assert re.match(r"# \d{4} ", text)
    assert path.name.startswith(text[2:6])
    assert all(part in text for part in DECISION_PARTS)
    assert "Status: " in text


def test_decision_records_are_numbered_without_gaps_and_listed() -> None:
    numbers = [path.name[:4] for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)]
    index = text_of(ROOT / "docs" / "decisions" / "README.md")
    assert all(
        f"({path.name})" in index for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")
    )


# Security sentences ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["threat-model.md", "clinical-safety.md"])
def test_every_control_names_a_test(name: str) -> None:
    rows = re.findall(r"^\| (?:C|H)\d+ \|.*$", text_of(ROOT / "docs" / name), re.MULTILINE)
    assert rows
    assert not [row for row in rows if "test_" not in row]
