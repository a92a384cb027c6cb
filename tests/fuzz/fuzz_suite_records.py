"""Invariant: in every suite `parse` reads bytes back as themselves or raises EnvelopeRefused only.

Feed it files or standard input: `python tests/fuzz/fuzz_suite_records.py FILE...`; with the package
`atheris` installed and no file named, it runs coverage-guided by itself.
"""

import sys
from contextlib import suppress
from pathlib import Path

from concura.errors import EnvelopeRefused
from concura.sealing import AES, SM, parse, suite_named
from concura.sealing.content import read_statement
from concura.sealing.sm2 import check_sm2_public, is_sm2_ciphertext, is_sm2_signature


def one(data: bytes) -> None:
    """Check the invariant for one input, outside and inside of a record, keys and signatures."""
    for suite in (AES, SM, suite_named("aes", pq="required")):
        try:
            sealed = parse(data, suite=suite)
        except EnvelopeRefused:
            pass
        else:
            assert sealed.encoded() == data
        try:
            statement = read_statement(data, suite=suite)
        except EnvelopeRefused:
            continue
        assert statement.claimed.context.encoded()
    with suppress(EnvelopeRefused):
        check_sm2_public(data)
    assert not (is_sm2_ciphertext(data) and is_sm2_signature(data))


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
