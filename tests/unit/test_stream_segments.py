"""One segment by number: layout, nonces, and every way to change a stream."""

import hashlib
import itertools
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from concura.errors import StreamRefused
from concura.sealing import AES, SM
from concura.sealing.stream import (
    HEADER_BYTES,
    LARGE,
    SMALL,
    Layout,
    SegmentCipher,
    make_header,
    segment_digest,
)

KEY, SALT, PREFIX, BOUND = bytes(range(32)), bytes(range(50, 82)), b"prefix!", b"bound"
HEADER = make_header(SALT, PREFIX)
SIZES = [0, 1, 4039, 4040, 4041, 8119, 8120, 8121, 12_200, 12_201]


def cipher_of(header=HEADER, key=KEY, bound=BOUND, suite=AES):
    return SegmentCipher(key, header, associated=bound, layout=SMALL, suite=suite)


def sealed(plain, cipher=None):
    cipher = cipher or cipher_of()
    count, parts = SMALL.count(len(plain)), []
    for number in range(count):
        start = SMALL.plain_start(number)
        piece = plain[start : start + SMALL.capacity(number)]
        room = bytearray(len(piece) + 16)
        cipher.seal(number, piece, room, is_last=number == count - 1)
        parts.append(bytes(room))
    return parts


def opened(parts, header=HEADER, **more):
    """Open segment after segment; return what came out before the first refusal, and its reason."""
    out = b""
    try:
        cipher = cipher_of(header, **more)
        for number, part in enumerate(parts):
            room = bytearray(max(0, len(part) - 16))
            cipher.open(number, part, room, is_last=number == len(parts) - 1)
            out += room
    except StreamRefused as error:
        return out, error.why
    return out, ""


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens_again(size):
    plain = os.urandom(size)

    parts = sealed(plain)

    assert opened(parts) == (plain, "")
    assert HEADER_BYTES + sum(map(len, parts)) == SMALL.sealed_bytes(size)


def test_the_bytes_are_those_that_the_specification_says():
    own = HKDF(SHA256(), 32, salt=SALT, info=BOUND).derive(KEY)
    plain = os.urandom(5_000)

    parts = sealed(plain)

    assert b"\x28" + SALT + PREFIX == HEADER
    assert parts[0] == AESGCM(own).encrypt(PREFIX + b"\0\0\0\0" + b"\0", plain[:4040], None)
    assert parts[1] == AESGCM(own).encrypt(PREFIX + b"\0\0\0\1" + b"\1", plain[4040:], None)


def test_every_length_maps_to_one_stream_and_back():
    layout = Layout(4096)
    lengths = [layout.sealed_bytes(size) for size in range(13_000)]

    assert [layout.plain_bytes(length) for length in lengths] == list(range(13_000))
    for length in set(range(13_000)) - set(lengths):
        with pytest.raises(StreamRefused) as caught:
            layout.plain_bytes(length)
        assert caught.value.why == "size"


@pytest.mark.parametrize("layout", [SMALL, LARGE])
def test_segments_tile_the_object_without_a_gap(layout):
    for size in (0, 1, layout.capacity(0), layout.capacity(0) + 1, 3 * layout.segment_bytes):
        count = layout.count(size)
        lengths = [layout.plain_length(number, size) for number in range(count)]
        starts = [layout.plain_start(number) for number in range(count)]
        assert starts == [0, *itertools.accumulate(lengths)][:-1]
        assert sum(lengths) == size


def test_the_segments_of_a_range_are_exactly_those_that_hold_it():
    size = 13_000
    holder = [n for n in range(SMALL.count(size)) for _ in range(SMALL.plain_length(n, size))]
    for start, end in itertools.combinations(range(0, size, 97), 2):
        assert set(SMALL.numbers(start, end)) == set(holder[start:end])


def test_every_changed_bit_is_refused_before_its_segment_is_released():
    plain = os.urandom(4_100)
    parts = sealed(plain)
    whole = bytearray(HEADER + b"".join(parts))
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8

        found, why = opened([whole[40:4096], whole[4096:]], bytes(whole[:40]))

        assert why in {"header", "segment"}
        assert found == (b"" if bit < 8 * 4096 else plain[:4040])
        whole[bit // 8] ^= 1 << bit % 8


def test_cut_moved_doubled_and_foreign_segments_are_refused():
    plain = os.urandom(12_000)
    one, two, three = sealed(plain)
    other = sealed(plain, cipher_of(make_header(os.urandom(32), PREFIX)))
    tampered = {
        "last left out": [one, two],
        "first left out": [two, three],
        "middle left out": [one, three],
        "swapped": [two, one, three],
        "swapped at the end": [one, three, two],
        "doubled": [one, one, two, three],
        "last doubled": [one, two, three, three],
        "cut inside": [one, two, three[:-1]],
        "cut to the tag": [one, two, three[:16]],
        "cut to nothing": [one, two, b""],
        "shortened in the middle": [one, two[:-1], three],
        "from another stream": [one, other[1], three],
    }

    for how, parts in tampered.items():
        found, why = opened(parts)
        assert why in {"segment", "size"}, how
        assert plain.startswith(found), how


def test_another_key_salt_prefix_or_binding_opens_nothing():
    parts = sealed(b"text")

    assert opened(parts, key=bytes(32)) == (b"", "segment")
    assert opened(parts, bound=b"other") == (b"", "segment")
    assert opened(parts, make_header(bytes(32), PREFIX)) == (b"", "segment")
    assert opened(parts, make_header(SALT, bytes(7))) == (b"", "segment")
    assert opened(parts, HEADER[:-1]) == (b"", "header")
    assert opened(parts, b"\x29" + HEADER[1:]) == (b"", "header")


def test_no_two_segments_of_a_stream_share_a_nonce():
    cipher = cipher_of()
    nonces = [cipher._nonce(n, is_last=last) for n in range(3_000) for last in (False, True)]
    assert len(set(nonces)) == len(nonces)


@pytest.mark.parametrize(
    ("number", "length", "is_last"),
    [(0, 4_039, False), (0, 4_041, True), (1, 0, True), (1, 4_081, True), (-1, 0, True), (2**32, 1, True)],
)  # fmt: skip
def test_segments_that_cannot_be_are_not_sealed(number, length, is_last):
    with pytest.raises(ValueError, match="segment"):
        cipher_of().seal(number, bytes(length), bytearray(length + 16), is_last=is_last)


def test_keys_salts_and_prefixes_of_other_lengths_are_not_taken():
    with pytest.raises(ValueError, match="stream key"):
        SegmentCipher(bytes(16), HEADER, associated=b"")
    with pytest.raises(ValueError, match="salt"):
        make_header(bytes(31), PREFIX)


def test_the_digest_of_a_segment_is_that_of_its_bytes_in_the_stream():
    assert segment_digest(b"tail", header=HEADER) == hashlib.sha256(HEADER + b"tail").digest()
    assert segment_digest(b"abc", suite=SM) == bytes.fromhex(
        "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_sm_suite_seals_and_opens_in_the_same_layout(size):
    plain, key = os.urandom(size), bytes(16)

    parts = sealed(plain, cipher_of(key=key, suite=SM))

    assert opened(parts, key=key, suite=SM) == (plain, "")
    assert opened([*parts[:-1], bytes(len(parts[-1]))], key=key, suite=SM)[1] == "segment"
