"""Tink's own streaming AEAD as the oracle: each side reads what the other wrote, at every border."""

import hashlib
import io
import os

import pytest

pytest.importorskip("tink")

from tink import proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from concura.adapters.segments import (
    FileSink,
    FileSource,
    InTurn,
    PipeSource,
    open_segments,
    read_range,
    seal_segments,
)
from concura.sealing.stream import HEADER_BYTES, LARGE, SMALL, SegmentCipher, make_header

streaming_aead.register()
KEY, BOUND = bytes(range(32)), b"concura stream test"


def tink_of(layout):
    parameters = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=layout.segment_bytes,
        derived_key_size=32,
        hkdf_hash_type=common_pb2.SHA256,
    )
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(params=parameters, key_value=KEY)
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=key.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def text_of(size):
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


def nothing(_count):
    pass


def ours(plain, layout, tmp_path):
    """Seal a file by position, with two threads; return the stream and its root."""
    source, target = tmp_path / "plain", tmp_path / "stream"
    source.write_bytes(plain)
    header = make_header(os.urandom(32), os.urandom(7))
    cipher = SegmentCipher(KEY, header, associated=BOUND, layout=layout)
    with source.open("rb") as one, target.open("wb") as other:
        root, size = seal_segments(
            FileSource(one.fileno(), "plain", layout=layout, sealed=False, base=0, end=len(plain)),
            FileSink(other.fileno()),
            cipher,
            advance=nothing,
            workers=2,
        )
    assert size == len(plain)
    data = bytearray(target.read_bytes())
    data[:HEADER_BYTES] = header
    return bytes(data), root


def piped(data):
    stream = io.BytesIO(data)
    return lambda room, _stop: stream.readinto(room)


def opened(data, layout):
    """Open a stream as it comes from a pipe; return the object and the root."""
    cipher = SegmentCipher(KEY, data[:HEADER_BYTES], associated=BOUND, layout=layout)
    parts = []
    root, size = open_segments(
        PipeSource(piped(data[HEADER_BYTES:]), layout=layout, sealed=True),
        InTurn(lambda part, _stop: parts.append(bytes(part))),
        cipher,
        advance=nothing,
        workers=3,
    )
    assert size == sum(map(len, parts))
    return b"".join(parts), root


def borders(layout):
    first, more = layout.capacity(0), layout.capacity(1)
    edges = [first, first + more, first + 2 * more]
    return [0, 1, *(edge + step for edge in edges for step in (-1, 0, 1))]


CASES = [(layout, size) for layout in (SMALL, LARGE) for size in borders(layout)]
NAMES = [f"{layout.segment_bytes}-{size}" for layout, size in CASES]


@pytest.mark.parametrize(("layout", "size"), CASES, ids=NAMES)
def test_tink_reads_what_we_wrote(layout, size, tmp_path):
    plain = text_of(size)

    data, _ = ours(plain, layout, tmp_path)

    assert len(data) == layout.sealed_bytes(size)
    with tink_of(layout).new_decrypting_stream(io.BytesIO(data), BOUND) as stream:
        assert stream.read() == plain


@pytest.mark.parametrize(("layout", "size"), CASES, ids=NAMES)
def test_we_read_what_tink_wrote(layout, size):
    plain, kept = text_of(size), io.BytesIO()
    kept.close = lambda: None  # tink closes what it wrote to
    with tink_of(layout).new_encrypting_stream(kept, BOUND) as stream:
        stream.write(plain)
    data = kept.getvalue()

    found, _ = opened(data, layout)

    assert found == plain
    assert layout.plain_bytes(len(data)) == size


def test_every_way_of_reading_and_writing_gives_the_same_root(tmp_path):
    plain = text_of(50_000)
    data, root = ours(plain, SMALL, tmp_path)

    found, again = opened(data, SMALL)

    assert found == plain
    assert (
        again == root == root_by_the_book([data[i : i + 4096] for i in range(0, len(data), 4096)])
    )


def root_by_the_book(segments):
    """RFC 6962 §2.1, as it is written there."""

    def tree(leaves):
        if len(leaves) == 1:
            return hashlib.sha256(b"\0" + leaves[0]).digest()
        split = 1
        while split * 2 < len(leaves):
            split *= 2
        return hashlib.sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()

    return tree([hashlib.sha256(segment).digest() for segment in segments]).hex()


def test_any_range_is_that_part_of_the_object(tmp_path):
    # Tink's reader cannot seek: the object itself is the oracle.
    plain = text_of(3 * 4096 + 5)
    data, _ = ours(plain, SMALL, tmp_path)
    path = tmp_path / "with-a-record-before"
    path.write_bytes(b"before" + data)
    cipher = SegmentCipher(KEY, data[:HEADER_BYTES], associated=BOUND, layout=SMALL)
    edges = [0, 1, 4039, 4040, 4041, 8119, 8120, 8121, len(plain) - 1, len(plain), len(plain) + 9]

    with path.open("rb") as file:
        for start in edges:
            for length in (0, 1, 2, 4080, 4081, 9000, 99_999):
                part = read_range(
                    file.fileno(),
                    "f",
                    cipher,
                    base=6,
                    plain_bytes=len(plain),
                    start=start,
                    length=length,
                )
                assert part == plain[start : start + length]
