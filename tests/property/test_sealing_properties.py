"""Whatever bytes come, the readers refuse in their own words; whatever is sealed, opens."""

import json
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from concura import sealing
from concura.canonical import encode
from concura.errors import EnvelopeRefused, StoreCorrupt
from concura.sealing.content import read_statement

KEYS = Path(__file__).parents[1] / "vectors" / "envelope"
GOOD = (KEYS / "opened.txt").read_bytes().partition(b"\n\n")[2]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@cache
def reader_public():
    key = serialization.load_pem_private_key((KEYS / "reader.pem").read_bytes(), None)
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def only_refuses(read, data):
    try:
        return read(data)
    except EnvelopeRefused:
        return None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_only_ever_refused(data):
    assert only_refuses(sealing.parse, data) is None
    assert only_refuses(read_statement, data) is None


@given(st.sampled_from(sorted(json.loads(GOOD))), values)
def test_any_value_in_any_member_is_only_ever_refused_or_read_back(member, value):
    data = encode(json.loads(GOOD) | {member: value})

    sealed = only_refuses(sealing.parse, data)

    assert sealed is None or sealed.encoded() == data


@given(st.sampled_from(["encrypted_key", "header"]), values)
def test_any_value_in_a_wrap_is_only_ever_refused(member, value):
    good = json.loads(GOOD)
    good["recipients"][0][member] = value

    assert only_refuses(sealing.parse, encode(good)) is None


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=4))
def test_a_spliced_record_reads_back_as_itself_or_is_refused(place, splice):
    data = GOOD[:place] + splice + GOOD[place + len(splice) :]

    sealed = only_refuses(sealing.parse, data)

    assert sealed is None or sealed.encoded() == data


@settings(deadline=None)
@given(
    body=st.binary(max_size=300),
    key=st.binary(min_size=32, max_size=32),
    iv=st.binary(min_size=12, max_size=12),
    salt=st.binary(min_size=32, max_size=32),
    media_type=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    purpose=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_what_is_sealed_is_unsealed(body, key, iv, salt, media_type, purpose):
    public = reader_public()
    context = sealing.Context(
        "chain", "0a" * 16, "", purpose, "a", (sealing.fingerprint(public),), "checkpoint"
    )
    message = sealing.signing_input(context, body, media_type=media_type, salt=salt)

    data = sealing.seal(
        message, bytes(384), context=context, salt=salt, recipients=[public], content_key=key, iv=iv
    )

    opened = sealing.unseal(sealing.parse(data), key)
    assert opened.statement.claimed == sealing.Record(context, media_type, body)
    assert opened.sealed.encoded() == data


@given(st.binary(max_size=100))
def test_arbitrary_rows_are_only_ever_refused(row):
    try:
        sealing.open_row(row, key=bytes(32), store="s", kind="k", id="i", version=1)
    except StoreCorrupt:
        return
    raise AssertionError
