"""Masked sums are exact sums, whatever the vectors, members and steps."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from concura.learning import (
    BOUND,
    add_words,
    decode_fixed,
    encode_fixed,
    mask,
    pack_words,
    unpack_words,
)

NAMES = st.sets(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=3, max_size=6)
VALUES = st.lists(st.floats(-BOUND, BOUND), min_size=1, max_size=20)


def seeds_of(me, members):
    return {
        peer: hashlib.sha256("/".join(sorted([me, peer])).encode()).digest()
        for peer in members
        if peer != me
    }


@given(NAMES, VALUES, st.binary(max_size=40))
def test_the_sum_of_masked_vectors_is_the_sum_of_the_vectors(members, values, label):
    vectors = {
        m: np.array(values) * ((i + 1) / len(members)) for i, m in enumerate(sorted(members))
    }
    sent = [
        pack_words(mask(encode_fixed(v), me=m, seeds=seeds_of(m, members), label=label))
        for m, v in vectors.items()
    ]

    total = decode_fixed(unpack_words(add_words(sent), len(values)))

    exact = np.sum(list(vectors.values()), axis=0)
    assert np.abs(total - exact).max() <= len(members) * 2**-32 + 1e-15 * np.abs(exact).max()


@given(VALUES)
def test_fixed_point_is_read_back_within_half_a_step(values):
    vector = np.array(values)

    assert np.abs(decode_fixed(encode_fixed(vector)) - vector).max() <= 2**-33
