"""Invariant: `Model.decode` and `Study.decode` read canonical bytes back as themselves or raise one error.

Feed it files or standard input: `python tests/fuzz/fuzz_learning_model.py FILE...`.
"""

import sys
from pathlib import Path

from concura.errors import ModelUnusable, StudyRefused
from concura.learning import Model, Study


def one(data: bytes) -> None:
    """Check the invariant for one input."""
    for kind, refusal in ((Model, ModelUnusable), (Study, StudyRefused)):
        try:
            found = kind.decode(data)
        except refusal:
            continue
        assert found.encode() == data


def main() -> None:
    """Run over the named files, or standard input."""
    inputs = [Path(name).read_bytes() for name in sys.argv[1:]] or [sys.stdin.buffer.read()]
    for data in inputs:
        one(data)


if __name__ == "__main__":
    main()
