"""Invariant: a share, or a receipt, is read back as its own text or raises our error, no other.

Feed it files or standard input: `python tests/fuzz/fuzz_keys_papers.py FILE...`; with the package
`atheris` installed and no file named, it runs coverage-guided by itself.
"""

import sys
from pathlib import Path

from concura.errors import KeyUnavailable, StoreCorrupt
from concura.sealing import read_receipt, read_share

PUBLIC = b"no key: whatever was signed, it was not signed by this one"


def one(data: bytes) -> None:
    """Check the invariant for one input."""
    text = data.decode("ascii", "replace")
    try:
        share = read_share(text)
    except KeyUnavailable:
        pass
    else:
        assert share.to_text() == " ".join(text.split())
    try:
        read_receipt(data, public=PUBLIC)
    except StoreCorrupt:
        return
    raise AssertionError("a receipt that nobody signed")


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
