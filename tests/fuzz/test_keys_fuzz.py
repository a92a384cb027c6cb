"""The fuzz entry of shares and receipts runs, and its invariant holds for changed vectors."""

import random
import runpy
from pathlib import Path

HERE = Path(__file__).parent
KEYS = HERE.parent / "vectors" / "keys"


def test_the_invariant_of_shares_and_receipts_holds_for_changed_vectors():
    one = runpy.run_path(str(HERE / "fuzz_keys_papers.py"))["one"]
    lines = (KEYS / "shares.txt").read_bytes().splitlines()
    seeds = [line.split(b": ", 1)[1] for line in lines if line.startswith(b"share_")]
    seeds += [(KEYS / "receipt.json").read_bytes(), b"", b"[" * 70_000, b"9" * 70_000]
    seed = random.Random(5)
    for data in seeds:
        one(data)
        for _ in range(150):
            changed = bytearray(data[:2_000])
            for _ in range(seed.randint(1, 4)):
                place = seed.randrange(len(changed) + 1)
                changed[place : place + seed.randint(0, 2)] = seed.randbytes(seed.randint(0, 2))
            one(bytes(changed))
