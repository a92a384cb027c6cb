"""Invariant: every ledger parser gives its bytes back as they were or raises its one error.

Feed it files or standard input: `python tests/fuzz/fuzz_ledger_formats.py FILE...`; with the
package `atheris` installed and no file named, it runs coverage-guided by itself.
"""

import sys
from pathlib import Path

from concura.errors import ChainInvalid, EntryRefused
from concura.ledger import (
    Genesis,
    decode_block,
    decode_entry,
    decode_receipt,
    parse_note,
    verify_blocks,
    verify_fork,
)
from concura.ledger.checkpoint import assemble

PARSERS = (
    (decode_block, ChainInvalid, lambda value: value.encode()),
    (decode_entry, EntryRefused, lambda value: value.encode()),
    (decode_receipt, ChainInvalid, lambda value: value.encode()),
    (Genesis.decode, ChainInvalid, lambda value: value.encode()),
    (
        parse_note,
        ChainInvalid,
        lambda value: assemble(value.text, [line.encode() for line in value.lines]),
    ),
)


def one(data: bytes) -> None:
    """Check the invariant for one input."""
    for parse, error, write in PARSERS:
        try:
            value = parse(data)
        except error:
            continue
        assert write(value) == data
    for verify in (
        lambda: verify_fork(data, hub_witness=bytes(32)),
        lambda: verify_blocks("00" * 32, [data]),
    ):
        try:
            verify()
        except ChainInvalid:
            continue
        raise AssertionError(data)  # nothing here can be under these keys


def main() -> None:
    """Run over the named files, over standard input, or under atheris."""
    if len(sys.argv) > 1:
        for name in sys.argv[1:]:
            one(Path(name).read_bytes())
        return
    try:
        import atheris  # noqa: PLC0415 - optional
    except ImportError:
        one(sys.stdin.buffer.read())
    else:
        atheris.Setup(sys.argv, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
