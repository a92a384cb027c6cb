"""The fuzz entry runs, and its invariant holds for every stored vector and for spoiled archives."""

import base64
import random
import runpy
from pathlib import Path

import pytest

from concura.adapters.archives import tar_chunks

HERE = Path(__file__).parent
VECTORS = sorted((HERE.parent / "vectors" / "stream").glob("*.txt"))


@pytest.fixture(scope="module")
def one():
    return runpy.run_path(str(HERE / "fuzz_stream_package.py"))["one"]


@pytest.mark.parametrize("path", VECTORS, ids=[path.stem for path in VECTORS])
def test_the_invariant_of_the_package_holds_for_a_vector(path, one):
    one(base64.b64decode(path.read_text("utf-8").partition("\n\n")[2]))


def test_a_spoiled_archive_is_unpacked_or_refused(one, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ("long" * 40)).write_bytes(b"text")
    good = b"".join(tar_chunks(tmp_path))
    dice = random.Random(3)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        one(bytes(data[: dice.randrange(len(data))] if dice.random() < 0.3 else data))
