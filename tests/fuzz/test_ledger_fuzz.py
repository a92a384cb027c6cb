"""The fuzz entry runs, and its invariant holds for stored vectors and for what is near them."""

import base64
import json
import random
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VECTORS = sorted((HERE.parent / "vectors" / "ledger").glob("*.json"))


@pytest.mark.parametrize("path", VECTORS, ids=[path.stem for path in VECTORS])
def test_the_invariant_of_the_parsers_holds_near_a_vector(path):
    one = runpy.run_path(str(HERE / "fuzz_ledger_formats.py"))["one"]
    near = random.Random(path.stem)
    data = json.loads(path.read_text(encoding="utf-8"))["data"]

    for text in data if isinstance(data, list) else [data]:
        seed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        one(seed)
        for _ in range(5):
            changed = bytearray(seed)
            changed[near.randrange(len(changed))] = near.randrange(256)
            one(bytes(changed))
            one(seed[: near.randrange(len(seed))])
