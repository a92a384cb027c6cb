"""The specification names every rule, every step of the state machines and every limit that is used."""

import re
from pathlib import Path

import concura.ledger
from concura.data.words import WORDS
from concura.ledger.block import HEADER_BYTES
from concura.ledger.contract import BODIES, TABLES

SPEC = (Path(__file__).parents[2] / "docs" / "spec" / "ledger.md").read_text(encoding="utf-8")
SOURCES = "".join(
    path.read_text(encoding="utf-8") for path in Path(concura.ledger.__file__).parent.rglob("*.py")
)
# Codes that are put together from a role, or stand as keys of a table.
MORE_RULES = {
    "consent.not-holder", "consent.reader", "consent.purpose", "consent.not-active",
    "consent.expired", "transfer.unknown", "transfer.not-holder", "transfer.not-reader",
    "transfer.state", "study.unknown", "study.not-author", "study.state",
}  # fmt: skip
RULES = MORE_RULES | set(re.findall(r'(?:refuse|_refused|EntryRefused)\(\s*"([a-z.-]+)"', SOURCES))
STEPS = set(re.findall(r'ChainInvalid\(\s*"([a-z.-]+)"', SOURCES)) | set(
    re.findall(r'_must\([^\n]*, "([a-z.-]+)", where\)', SOURCES)
)


def test_every_rule_has_its_words_and_stands_in_the_specification():
    assert len(RULES) > 40
    assert not {rule for rule in RULES if f"error.entry.{rule}" not in WORDS}
    assert not {rule for rule in RULES if f"`{rule}`" not in SPEC}


def test_every_step_of_a_check_has_its_words_and_stands_in_the_specification():
    assert len(STEPS) > 15
    assert not {why for why in STEPS if f"error.chain.{why}" not in WORDS}
    assert not {why for why in STEPS if f"`{why}`" not in SPEC}


def test_there_are_no_words_for_rules_that_do_not_exist():
    rules = {key.removeprefix("error.entry.") for key in WORDS if key.startswith("error.entry.")}
    assert {one for one in rules if not one.endswith("hint")} == RULES
    steps = {key.removeprefix("error.chain.") for key in WORDS if key.startswith("error.chain.")}
    assert {one for one in steps if not one.endswith("hint")} == STEPS


def test_the_state_machines_of_the_specification_are_those_of_the_code():
    rows = set(re.findall(r"^\| (\w+) \| (\S+) \| `([a-z.]+)` \| (\w+) \|$", SPEC, re.MULTILINE))
    assert rows == {
        (name, state or "–", kind, after)
        for name, table in TABLES.items()
        for (state, kind), after in table.items()
    }


def test_every_entry_type_stands_with_its_members():
    for kind, shape in BODIES.items():
        (line,) = re.findall(rf"^\| `{re.escape(kind)}` \|.*$", SPEC, re.MULTILINE)
        assert not {name for name in shape if name not in line}
    assert f"{HEADER_BYTES} bytes" in SPEC
