"""Invariant: `parse` reads canonical bytes back as themselves or raises EnvelopeRefused, no other.

Feed it files or standard input: `python tests/fuzz/fuzz_sealing_envelope.py FILE...`; with the
package `atheris` installed and no file named, it runs coverage-guided by itself.
"""

import sys
from pathlib import Path

from concura.errors import EnvelopeRefused
from concura.sealing import parse
from concura.sealing.content import read_statement


def one(data: bytes) -> None:
    """Check the invariant for one input, for the outside and for the inside of a record."""
    try:
        sealed = parse(data)
    except EnvelopeRefused:
        pass
    else:
        assert sealed.encoded() == data
    try:
        statement = read_statement(data)
    except EnvelopeRefused:
        return
    assert statement.claimed.context.encoded()


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
