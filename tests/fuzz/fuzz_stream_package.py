"""Invariant: prelude, manifest, stream and archive are read or refused, never anything else.

Feed it files or standard input: `python tests/fuzz/fuzz_stream_package.py FILE...`; with the
package `atheris` installed and no file named, it runs coverage-guided by itself.
"""

import contextlib
import io
import sys
import tempfile
import threading
from pathlib import Path

from concura.adapters.archives import Unpacker
from concura.adapters.segments import InTurn, PipeSource, open_segments
from concura.errors import ConcuraError, StreamRefused
from concura.sealing.package import PRELUDE_BYTES, read_manifest, read_prelude
from concura.sealing.stream import HEADER_BYTES, LAYOUTS, SMALL, SegmentCipher


def one(data: bytes) -> None:
    """Check the invariant for one input, taken as each of the four."""
    for read in (lambda: read_prelude(data[:PRELUDE_BYTES]), lambda: _manifest(data)):
        with contextlib.suppress(StreamRefused):
            read()
    for layout in LAYOUTS:
        with contextlib.suppress(StreamRefused):
            assert layout.sealed_bytes(layout.plain_bytes(len(data))) == len(data)
    _stream(data)
    _archive(data)


def _manifest(data: bytes) -> None:
    assert read_manifest(data).encoded() == data


def _stream(data: bytes) -> None:
    kept: list[bytes] = []
    rest = io.BytesIO(data[HEADER_BYTES:])
    try:
        cipher = SegmentCipher(bytes(32), data[:HEADER_BYTES], associated=b"", layout=SMALL)
        source = PipeSource(lambda room, _: rest.readinto(room), layout=SMALL, sealed=True)
        sink = InTurn(lambda part, _: kept.append(bytes(part)))
        open_segments(source, sink, cipher, advance=lambda _: None, workers=1)
    except StreamRefused:
        assert kept == []  # nobody who does not know the key can make a segment


def _archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place) / "in"
        inside.mkdir()
        unpacker = Unpacker(inside)
        try:
            unpacker.write(memoryview(data), threading.Event())
            unpacker.close()
        except ConcuraError:
            unpacker.abandon()
        except OSError:  # a name that the system does not take
            unpacker.abandon()
        assert [path.name for path in Path(place).iterdir()] == ["in"]
        assert not any(path.is_symlink() for path in inside.rglob("*"))


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
