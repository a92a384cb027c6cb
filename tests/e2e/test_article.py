"""The article's program does what the article says, with real parts."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from concura.errors import EntryRefused, EnvelopeRefused

PROGRAM = Path(__file__).resolve().parent.parent.parent / "examples" / "article.py"
ARTICLE_NAMES = [
    "load_medical_data", "generate_key", "encrypt_data", "transmit_data", "process_data",
    "support_decision", "main",
]  # fmt: skip


@pytest.fixture(scope="module")
def article() -> ModuleType:
    spec = importlib.util.spec_from_file_location("article", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["article"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def keys(article: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return article.generate_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def patient(article: Any) -> Any:
    data = article.load_medical_data()
    return article.choose_patient(data, article.plan(data))


def test_the_program_ends_in_a_decision() -> None:
    answer = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, check=True, timeout=60
    )

    assert answer.stdout.splitlines()[-1] == "Decision: High-risk patient"
    assert answer.stderr == ""


def test_the_program_keeps_the_names_of_the_article_in_their_order() -> None:
    source = PROGRAM.read_text("utf-8")

    places = [source.index(f"def {name}(") for name in ARTICLE_NAMES]

    assert places == sorted(places)


def test_what_is_transmitted_arrives_as_it_was_loaded(
    article: Any, keys: Any, patient: Any
) -> None:
    ledger = article.Ledger(keys)

    received = article.transmit_data(article.encrypt_data(patient, ledger), ledger)

    assert received == patient
    assert ledger.chain.height == 4


def test_nothing_readable_of_the_patient_is_in_what_is_transmitted(
    article: Any, keys: Any, patient: Any
) -> None:
    sent = article.encrypt_data(patient, article.Ledger(keys))

    for planted in (b"Patient", b"hospital", b"treatment", patient[0]["id"].encode()):
        assert planted not in sent.data


def test_a_changed_record_is_refused_at_its_digest(article: Any, keys: Any, patient: Any) -> None:
    ledger = article.Ledger(keys)
    sent = article.encrypt_data(patient, ledger)
    article.transmit_data(sent, ledger)
    start = sent.data.index(b'"ciphertext":"') + len(b'"ciphertext":"')
    changed = b"B" if sent.data[start : start + 1] == b"A" else b"A"

    with pytest.raises(EnvelopeRefused) as refusal:
        article._open(sent.data[:start] + changed + sent.data[start + 1 :], ledger)

    assert refusal.value.why == "digest"


def test_the_same_transfer_cannot_be_played_twice(article: Any, keys: Any, patient: Any) -> None:
    ledger = article.Ledger(keys)
    sent = article.encrypt_data(patient, ledger)
    article.transmit_data(sent, ledger)

    with pytest.raises(EntryRefused):
        article.transmit_data(sent, ledger)
