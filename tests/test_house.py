"""The house rules that a linter does not know: sizes, purity, names, reasons, errors, layers."""

import ast
import importlib
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import concura
from concura import errors
from concura.data.words import WORDS
from concura.errors import ConcuraError

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "concura"
FILES = sorted(SOURCE.rglob("*.py"))
OTHER_FILES = sorted(
    path
    for part in ("tests", "benchmarks", "examples", "deploy")
    for path in (ROOT / part).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
WORD_TABLES = SOURCE / "data" / "words"

FILE_LINES_MAX = 500
BODY_LINES_MAX = 60

LAYERS = [
    "__main__", "testing", "cli", "web | chaincode", "profiles", "adapters | hub | hospital", "ports",
    "decisions", "surveillance | research | learning", "sharing", "imaging | records | ledger",
    "sealing", "canonical", "types", "limits | errors",
]  # fmt: skip
CORE = {
    "errors", "limits", "types", "canonical", "sealing", "ledger", "records", "imaging", "sharing",
    "learning", "research", "surveillance", "decisions",
}  # fmt: skip
IMPURE = {
    "sqlite3", "apsw", "psycopg", "socket", "ssl", "http", "urllib", "asyncio", "threading",
    "concurrent", "multiprocessing", "subprocess", "httpx", "grpc", "flwr", "boto3", "starlette",
    "uvicorn", "typer", "rich", "os", "io", "pathlib", "tempfile", "shutil", "time", "random",
    "secrets", "uuid",
}  # fmt: skip
ASYNCIO_FOR_USE_CASES = {"Lock", "Queue", "TaskGroup"}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), shown(path))


def comments_of(path: Path) -> Iterator[tuple[int, str]]:
    with tokenize.open(path) as stream:
        for token in tokenize.generate_tokens(stream.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


CORE_FILES = [path for path in FILES if part_of(path) in CORE]
USE_CASE_FILES = [path for path in FILES if part_of(path) in {"hub", "hospital"}]
ERRORS = sorted(
    (
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ConcuraError)
    ),
    key=lambda kind: kind.__name__,
)
# A leaf has its own slug; the branches above only sort them.
LEAVES = [kind for kind in ERRORS if "slug" in vars(kind) and kind is not ConcuraError]


# Sizes ----------------------------------------------------------------------------------------


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    tables = [path for path in FILES if WORD_TABLES in path.parents]
    long = {
        shown(path): count
        for path in FILES + OTHER_FILES
        if path not in tables
        and (count := len(path.read_text("utf-8").splitlines())) > FILE_LINES_MAX
    }
    assert not long


def test_no_function_body_is_longer_than_sixty_lines() -> None:
    long = [
        f"{shown(path)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > BODY_LINES_MAX
    ]
    assert not long


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


# Layers and purity ----------------------------------------------------------------------------


def test_the_layer_list_is_the_written_one() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = next(
        c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"
    )
    assert [layer.replace("(", "").replace(")", "") for layer in contract["layers"]] == LAYERS
    assert contract["exhaustive"] is True
    assert contract["exhaustive_ignores"] == ["_version", "data"]


def test_the_layer_list_stands_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert "\n".join(f"    {layer}" for layer in LAYERS) in text


def test_every_pure_part_stands_under_the_purity_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = next(
        c for c in settings["tool"]["importlinter"]["contracts"] if c["name"] == "The core is pure"
    )
    here = {f"concura.{part_of(path)}" for path in CORE_FILES}
    assert set(contract["source_modules"]) >= here
    assert set(contract["forbidden_modules"]) >= IMPURE


def test_the_core_is_measured_as_a_whole() -> None:
    line = next(
        x for x in (ROOT / "Makefile").read_text("utf-8").splitlines() if "CORE_FILES :=" in x
    )
    measured = {
        Path(name.removesuffix("/*")).stem for name in line.split(":=")[1].strip().split(",")
    }
    assert measured == CORE


@pytest.mark.parametrize("path", CORE_FILES, ids=shown)
def test_the_core_touches_nothing_outside_itself(path: Path) -> None:
    found = [
        f"{shown(path)}:{node.lineno} {what}"
        for node in ast.walk(tree_of(path))
        for what in impurities(node)
    ]
    assert not found


def impurities(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {a.name}" for a in node.names if a.name.partition(".")[0] in IMPURE)
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in IMPURE:
        yield f"from {node.module}"
    if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
        yield "async"
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in {"open", "print", "input", "exec", "eval", "breakpoint", "__import__"}:
            yield called
        if re.search(r"(^|\.)random\.|default_rng", called):
            yield f"{called}: noise and seeds are arguments"
        if re.search(r"\.(now|utcnow|today|generate_private_key|generate_key|generate)$", called):
            yield f"{called}: keys and times are arguments"


@pytest.mark.parametrize("path", USE_CASE_FILES, ids=shown)
def test_use_cases_take_only_locks_queues_and_task_groups_from_asyncio(path: Path) -> None:
    used = {
        node.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    }
    used |= {
        alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio"
        for alias in node.names
    }
    assert used <= ASYNCIO_FOR_USE_CASES


def test_the_wiring_alone_asks_which_backend_it_is() -> None:
    found = [
        shown(path)
        for path in FILES
        if path.name != "profiles.py"
        and re.search(
            r"\bif (self\.|options\.|settings\.)?(backend|profile) ==", path.read_text("utf-8")
        )
    ]
    assert not found


def test_no_folder_is_a_drawer_for_everything() -> None:
    drawers = [
        shown(path)
        for path in SOURCE.rglob("*")
        if path.stem in {"utils", "util", "common", "helpers", "helper", "misc"}
    ]
    assert not drawers


# Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name not in {"__main__.py", "_version.py"}], ids=shown
)
def test_public_names_are_those_in_all(path: Path) -> None:
    tree = tree_of(path)
    module = importlib.import_module(name_of(path))
    listed = set(getattr(module, "__all__", ()))
    own = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    assert hasattr(module, "__all__") or not tree.body[1:] or WORD_TABLES in path.parents, (
        "no __all__"
    )
    if hasattr(module, "__all__"):
        assert own <= listed, f"not in __all__: {sorted(own - listed)}"
        assert {name for name in listed if not hasattr(module, name)} == set()
        assert len(module.__all__) == len(listed), "a name stands twice"


def test_a_package_offers_what_its_all_names() -> None:
    assert set(concura.__all__) == {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", TESTS, ids=shown)
def test_every_test_is_named_by_a_sentence(path: Path) -> None:
    names = [
        n.name
        for n in ast.walk(tree_of(path))
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name.startswith("test")
    ]
    short = [name for name in names if len(name.split("_")) < 4]
    assert names
    assert not short


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in TESTS]
    assert sorted(set(names)) == sorted(names)


def test_tests_never_sleep_to_wait() -> None:
    found = [
        f"{shown(path)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "sleep", "asyncio.sleep"}
        and ast.unparse(node.args[0]) != "0"
    ]
    assert not found


# Comments -------------------------------------------------------------------------------------

WAIVER = re.compile(r"#\s*(noqa|type:\s*ignore|pragma: no cover|nosec|fmt: off)")
ARGUED = re.compile(
    r"#\s*(noqa: [A-Z0-9, ]+|type:\s*ignore\[[a-z-, ]+\]|pragma: no cover)\s*(#|-|:)\s*\w+"
)


def test_every_waiver_gives_its_reason() -> None:
    bare = [
        f"{shown(path)}:{line} {text}"
        for path in FILES
        for line, text in comments_of(path)
        if WAIVER.search(text) and not ARGUED.search(text)
    ]
    assert not bare


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(
        "|".join(
            ["TO" + "DO", "FIX" + "ME", "X" * 3, "raise NotImpl" + "emented", "place" + "holder"]
        )
    )
    found = [
        f"{shown(path)}:{number}"
        for path in [*FILES, *(ROOT / "examples").rglob("*.py")]
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert not found


# Errors ---------------------------------------------------------------------------------------


def test_every_error_says_what_happened_and_what_to_do_in_both_languages() -> None:
    missing = [
        key
        for kind in LEAVES
        for key in (f"error.{kind.slug}", f"error.{kind.slug}.hint")
        if not all(WORDS.get(key, ("", "")))
    ]
    assert not missing


def test_no_two_errors_share_an_exit_code_or_a_slug() -> None:
    assert len({kind.exit_code for kind in LEAVES}) == len(LEAVES)
    assert len({kind.slug for kind in LEAVES}) == len(LEAVES)
    assert all(0 < kind.exit_code < 256 and kind.exit_code != 1 for kind in LEAVES)


def test_the_error_tree_is_drawn_in_its_docstring() -> None:
    drawn = set(re.findall(r"\b[A-Z][A-Za-z]+\b", errors.__doc__ or ""))
    assert {kind.__name__ for kind in ERRORS} <= drawn


def test_every_limit_has_its_reason_beside_it() -> None:
    lines = (SOURCE / "limits.py").read_text("utf-8").splitlines()
    bare = [line for line in lines if re.match(r"[A-Z_]+ = ", line) and "#" not in line]
    assert not bare
