"""Whatever is sealed opens, in whole and in parts; whatever else comes is refused in our own words."""

import contextlib
import io
import json
import os

from hypothesis import given
from hypothesis import strategies as st

from concura.adapters.segments import InTurn, PipeSource, open_segments, seal_segments
from concura.errors import StreamRefused
from concura.sealing.package import (
    MAGIC,
    Manifest,
    is_file_name,
    make_prelude,
    read_manifest,
    read_prelude,
)
from concura.sealing.stream import LARGE, SMALL, SegmentCipher, make_header
from concura.types import Digest

sizes = st.integers(0, 2**45)


def nothing(_count):
    pass


def piped(data, step):
    """A pipe that gives at most `step` bytes at a time."""
    stream = io.BytesIO(data)
    return lambda room, _stop: stream.readinto(room[:step])


def gathered(work, source, cipher, workers):
    parts = []
    sink = InTurn(lambda part, _stop: parts.append(bytes(part)))
    root, size = work(source, sink, cipher, advance=nothing, workers=workers)
    return b"".join(parts), root, size


@given(st.binary(max_size=200), st.integers(0, 9_000), st.integers(1, 5_000), st.integers(1, 4))
def test_a_pipe_of_any_rhythm_gives_back_what_was_sealed(seed, size, step, workers):
    plain = (seed * (size // max(1, len(seed)) + 1))[:size]
    cipher = SegmentCipher(
        os.urandom(32),
        make_header(os.urandom(32), os.urandom(7)),
        associated=seed,
        layout=SMALL,
    )

    sealed, root, length = gathered(
        seal_segments,
        PipeSource(piped(plain, step), layout=SMALL, sealed=False),
        cipher,
        workers,
    )
    found, again, _ = gathered(
        open_segments, PipeSource(piped(sealed, step), layout=SMALL, sealed=True), cipher, workers
    )

    assert (found, again, length) == (plain, root, len(plain))
    assert len(sealed) + 40 == SMALL.sealed_bytes(len(plain))


@given(sizes, st.sampled_from([SMALL, LARGE]))
def test_a_length_belongs_to_one_stream(size, layout):
    assert layout.plain_bytes(layout.sealed_bytes(size)) == size
    assert layout.sealed_bytes(size + 1) > layout.sealed_bytes(size)


@given(st.binary(max_size=40))
def test_a_prelude_is_read_or_refused(data):
    for text in (data, MAGIC + data):
        with contextlib.suppress(StreamRefused):
            assert make_prelude(read_prelude(text[:20])) == text[:20]


@given(st.text(max_size=300), sizes, st.integers(0, 2**52), st.binary(min_size=32, max_size=32))
def test_a_manifest_comes_back_or_its_name_is_refused(name, size, time_ms, key):
    manifest = Manifest(
        content="file",
        key=key,
        name=name,
        root=Digest(key.hex()),
        layout=LARGE,
        sender=b"spki",
        size_bytes=size,
        time_ms=time_ms,
    )
    try:
        assert read_manifest(manifest.encoded()) == manifest
    except StreamRefused:
        assert name
        assert not is_file_name(name)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4),
                    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=9)))  # fmt: skip
def test_any_json_is_a_manifest_or_refused(value):
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with contextlib.suppress(StreamRefused):
        assert read_manifest(data).encoded() == data
