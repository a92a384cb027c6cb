"""Invariant: any bytes are read as a table or a mapping, or refused by an error of the tree.

Run for as long as you like: python tests/fuzz/fuzz_records_tables.py [seconds]
"""

import random
import sys
import time
from contextlib import suppress

from concura.adapters.table_files import shipped_mappings
from concura.errors import ConcuraError
from concura.records import parse_mapping, parse_table, resources_of

MAPPINGS = shipped_mappings()
HEAD = ",".join(column.name for column in MAPPINGS[0].columns)
SEEDS = (
    f"{HEAD}\n1,hospital-a,83,0,89,152,78,25.54051,1,1,0,0,0,1,0,5,2178,0\n".encode(),
    b"63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0\n",
)


def one(data: bytes) -> None:
    with suppress(ConcuraError):
        parse_mapping(data)
    text = data.decode("utf-8", errors="replace")
    for mapping in MAPPINGS:
        with suppress(ConcuraError):
            for row in parse_table(text, mapping, file="fuzz"):
                resources_of(row, mapping, hospital=mapping.hospitals[0])


def main(seconds: float, seed: int = 0) -> int:
    draw = random.Random(seed)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = bytearray(draw.choice(SEEDS))
        for _ in range(draw.randrange(1, 6)):
            place = draw.randrange(len(data))
            data[place : place + draw.randrange(3)] = draw.randbytes(draw.randrange(4))
        one(bytes(data))
        count += 1
    return count


if __name__ == "__main__":
    print(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, seed=random.randrange(2**32)))
