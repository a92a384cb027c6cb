"""The fuzz entry runs, and its invariant holds for every stored vector."""

import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VECTORS = sorted((HERE.parent / "vectors" / "envelope").glob("*.txt"))


@pytest.mark.parametrize("path", VECTORS, ids=[path.stem for path in VECTORS])
def test_the_invariant_of_the_reader_holds_for_a_vector(path):
    one = runpy.run_path(str(HERE / "fuzz_sealing_envelope.py"))["one"]

    one(path.read_bytes().partition(b"\n\n")[2])
