"""The fuzz entry of the suites runs, and its invariant holds for every stored vector."""

import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VECTORS = [
    path for part in ("sm", "pq") for path in sorted((HERE.parent / "vectors" / part).glob("*.txt"))
]
ONE = runpy.run_path(str(HERE / "fuzz_suite_records.py"))["one"]


@pytest.mark.parametrize("path", VECTORS, ids=[f"{p.parent.name}-{p.stem}" for p in VECTORS])
def test_the_invariant_of_every_suite_holds_for_a_vector(path):
    ONE(path.read_bytes().partition(b"\n\n")[2])
