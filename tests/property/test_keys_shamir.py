"""Shares against a second implementation by tables, and what too few or wrong ones give."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concura.errors import ConcuraError, KeyUnavailable
from concura.sealing import Share, combine, read_share, split
from concura.sealing.shamir import _inverse, _times

# A second way: powers of the generator 3, as AES implementations do it.
EXP, LOG = [0] * 510, [0] * 256
_x = 1
for _i in range(255):
    EXP[_i] = EXP[_i + 255] = _x
    LOG[_x] = _i
    _x ^= (_x << 1) ^ (0x11B if _x & 0x80 else 0)


def times(a, b):
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def interpolate(points, at):
    """Return the value at `at` of the polynomial through (x, y)."""
    total = 0
    for j, (xj, yj) in enumerate(points):
        term = yj
        for m, (xm, _) in enumerate(points):
            if m != j:
                term = times(term, times(at ^ xm, EXP[255 - LOG[xj ^ xm]]))
        total ^= term
    return total


def oracle(shares):
    """Return secret and digest, by the second way."""
    size = len(shares[0].value)
    return bytes(
        interpolate([(share.number, share.value[i]) for share in shares], 0) for i in range(size)
    )


@st.composite
def parts(draw):
    count = draw(st.integers(2, 8))
    threshold = draw(st.integers(2, count))
    secret = draw(st.binary(min_size=1, max_size=40))
    size = (threshold - 1) * (len(secret) + 8)
    coefficients = draw(st.binary(min_size=size, max_size=size))
    shares = split(
        secret, threshold=threshold, count=count, set_id=b"abcd", coefficients=coefficients
    )
    return secret, threshold, draw(st.permutations(shares))


@given(parts())
def test_any_threshold_of_shares_gives_the_secret_back_and_so_says_the_oracle(made):
    secret, threshold, shares = made
    assert combine(shares[:threshold]) == secret
    assert combine(shares) == secret
    assert oracle(shares[:threshold])[: len(secret)] == secret


@given(parts())
def test_too_few_shares_are_refused(made):
    _, threshold, shares = made
    with pytest.raises(KeyUnavailable) as caught:
        combine(shares[: threshold - 1])
    assert caught.value.why == "shares_few"
    assert str(threshold) in caught.value.message()


@given(parts())
def test_too_few_shares_fit_every_secret(made):
    # For any other secret there is a polynomial through the same shares: they say nothing.
    secret, threshold, shares = made
    known = [(share.number, share.value[0]) for share in shares[: threshold - 1]]
    for other in (0, secret[0] ^ 1, 255):
        points = [*known, (0, other)]
        assert interpolate(points, 0) == other
        assert [interpolate(points, x) for x, _ in known] == [y for _, y in known]


@given(parts(), st.data())
def test_a_wrong_share_is_noticed(made, data):
    _, threshold, shares = made
    chosen = list(shares[:threshold])
    victim = data.draw(st.integers(0, threshold - 1))
    value = bytearray(chosen[victim].value)
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    one = chosen[victim]
    chosen[victim] = Share(one.set_id, one.threshold, one.number, bytes(value))
    with pytest.raises(KeyUnavailable) as caught:
        combine(chosen)
    assert caught.value.why == "shares_wrong"


@given(parts())
def test_a_share_is_read_back_from_its_line(made):
    for share in made[2]:
        assert read_share(share.to_text()) == share
        assert read_share("  " + share.to_text().replace(" ", "  ") + "\n") == share
        assert share.value.hex() not in repr(share)


@given(parts(), st.data())
def test_a_slip_of_the_pen_is_noticed(made, data):
    text = made[2][0].to_text()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    if letter != text[place]:
        with pytest.raises(KeyUnavailable):
            read_share(text[:place] + letter + text[place + 1 :])


@given(st.text(max_size=200))
def test_whatever_the_text_only_our_error_comes_out(text):
    with pytest.raises(ConcuraError):
        read_share(text)


def test_multiplication_is_that_of_the_oracle():
    for a, b in itertools.product(range(256), repeat=2):
        assert _times(a, b) == times(a, b)
    assert all(_times(a, _inverse(a)) == 1 for a in range(1, 256))


def test_shares_of_two_sets_are_refused_together():
    first, second = (
        split(b"secret", threshold=2, count=2, set_id=name, coefficients=bytes(range(14)))
        for name in (b"aaaa", b"bbbb")
    )
    for mixed in ([first[0], second[1]], [first[0], second[0]]):
        with pytest.raises(KeyUnavailable) as caught:
            combine(mixed)
        assert caught.value.why == "shares_mixed"
    with pytest.raises(KeyUnavailable):
        combine([])


def test_the_same_share_twice_counts_once():
    shares = split(b"s", threshold=2, count=3, set_id=bytes(4), coefficients=bytes(range(9)))

    with pytest.raises(KeyUnavailable) as caught:
        combine([shares[0], shares[0]])

    assert caught.value.why == "shares_few"


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (2, 33), (0, 0)])
def test_impossible_numbers_of_shares_are_refused(threshold, count):
    with pytest.raises(KeyUnavailable) as caught:
        split(b"s", threshold=threshold, count=count, set_id=bytes(4), coefficients=b"")

    assert caught.value.why == "shares_number"


def test_a_reused_or_short_draw_is_refused():
    with pytest.raises(ValueError, match="coefficients"):
        split(b"s", threshold=3, count=3, set_id=bytes(4), coefficients=bytes(9))


def test_a_share_says_which_of_its_numbers_are_impossible():
    good = Share(b"abcd", 2, 1, bytes(40))
    for bad in (
        Share(b"abcd", 1, 1, bytes(40)),
        Share(b"abcd", 2, 0, bytes(40)),
        Share(b"abcd", 2, 33, bytes(40)),
        Share(b"abc", 2, 1, bytes(40)),
        Share(b"abcd", 2, 1, bytes(8)),
    ):
        with pytest.raises(KeyUnavailable):
            read_share(bad.to_text())
    assert read_share(good.to_text()) == good
