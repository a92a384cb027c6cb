"""Whatever bytes come, the parsers of the other suites refuse in their own words or read back."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from concura import sealing
from concura.canonical import encode
from concura.errors import EnvelopeRefused
from concura.sealing import SM, suite_named
from concura.sealing.content import read_statement
from concura.sealing.hpke import hpke_private, unwrap_hpke
from concura.sealing.sm import Sm4Gcm, sm4_key_unwrap, sm4_key_wrap
from concura.sealing.sm2 import is_sm2_ciphertext, is_sm2_signature, verify_sm2

VECTORS = Path(__file__).parents[1] / "vectors"
SUITES = {
    "sm": SM,
    "pq": suite_named("aes", pq="required"),
}
GOOD = {
    part: json.loads((VECTORS / part / "opened.txt").read_bytes().partition(b"\n\n")[2])
    for part in SUITES
}
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def only_refuses(read, data, **more):
    try:
        return read(data, **more)
    except EnvelopeRefused:
        return None


@given(st.sampled_from(sorted(SUITES)), st.binary(max_size=300))
def test_arbitrary_bytes_are_only_ever_refused_in_every_suite(part, data):
    assert only_refuses(sealing.parse, data, suite=SUITES[part]) is None
    assert only_refuses(read_statement, data, suite=SUITES[part]) is None


@given(st.sampled_from(sorted(SUITES)), st.sampled_from(sorted(GOOD["sm"])), values)
def test_any_value_in_any_member_is_refused_or_read_back_in_every_suite(part, member, value):
    data = encode(GOOD[part] | {member: value})

    found = only_refuses(sealing.parse, data, suite=SUITES[part])

    assert found is None or found.encoded() == data


@given(st.sampled_from(sorted(SUITES)), st.sampled_from(["encrypted_key", "header"]), values)
def test_any_value_in_a_wrap_is_refused_in_every_suite(part, member, value):
    good = GOOD[part]
    data = encode(good | {"recipients": [good["recipients"][0] | {member: value}]})

    assert only_refuses(sealing.parse, data, suite=SUITES[part]) is None


@given(st.binary(max_size=130))
def test_arbitrary_bytes_are_no_sm2_key_signature_or_ciphertext(data):
    shaped = b"\x30" + bytes([len(data) % 128]) + data

    for one in (data, shaped):
        assert is_sm2_ciphertext(one) in {True, False}
        assert is_sm2_signature(one) in {True, False}
        assert only_refuses(SM.signing.check, one) is None
        assert not verify_sm2(one, b"m", one)


@given(st.binary(min_size=1168, max_size=1168))
def test_arbitrary_bytes_are_no_post_quantum_wrap(data):
    assert only_refuses(lambda one: unwrap_hpke(hpke_private(bytes(32)), one, b""), data) is None


@given(st.binary(max_size=200), st.binary(max_size=40), st.binary(min_size=16, max_size=16))
def test_what_sm4_seals_it_opens_in_place_and_in_one_piece(data, associated, key):
    cipher, nonce = Sm4Gcm(key), bytes(12)
    sealed = cipher.encrypt(nonce, data, associated)
    into, back = bytearray(len(data) + 16), bytearray(len(data))

    cipher.encrypt_into(nonce, data, associated, into)
    cipher.decrypt_into(nonce, into, associated, back)

    assert into == sealed
    assert back == data == cipher.decrypt(nonce, sealed, associated)


@given(st.binary(min_size=16, max_size=16), st.integers(2, 8), st.randoms(use_true_random=False))
def test_what_sm4_wraps_it_unwraps(kek, halves, random):
    key = random.randbytes(8 * halves)

    assert sm4_key_unwrap(kek, sm4_key_wrap(kek, key)) == key
