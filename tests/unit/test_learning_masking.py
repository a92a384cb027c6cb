"""Fixed point and pairwise masks: exact sums, refused misuse, independent oracles."""

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from concura.errors import ReplyInvalid, StudyAborted
from concura.learning import (
    BOUND,
    add_words,
    decode_fixed,
    encode_fixed,
    mask,
    mask_key_message,
    pack_words,
    public_of,
    shared_seed,
    unpack_words,
)
from concura.limits import MEMBERS_MAX

MEMBERS = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")
# RFC 7748 §6.1
RFC_ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
RFC_BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
RFC_SECRET = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
RFC_ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
KEYS = {member: bytes([i + 1]) * 32 for i, member in enumerate(MEMBERS)}


def seeds_of(me, members=MEMBERS, study="55" * 16):
    return {
        peer: shared_seed(KEYS[me], public_of(KEYS[peer]), study=study, me=me, peer=peer)
        for peer in members
        if peer != me
    }


def test_fixed_point_keeps_ten_digits():
    values = np.array([0.0, -1.5, 1e6 + 0.1, -BOUND, BOUND])

    assert np.abs(decode_fixed(encode_fixed(values)) - values).max() <= 2**-33


def test_the_largest_contributions_of_the_most_members_do_not_wrap():
    for value in (BOUND, -BOUND):
        sent = [pack_words(encode_fixed(np.array([value])))] * (MEMBERS_MAX - 1)

        total = decode_fixed(unpack_words(add_words(sent), 1))

        assert total[0] == value * (MEMBERS_MAX - 1)


@pytest.mark.parametrize("bad", [BOUND * 1.001, -np.inf, np.nan])
def test_a_value_beyond_the_bound_never_reaches_the_mask(bad):
    with pytest.raises(StudyAborted) as caught:
        encode_fixed(np.array([0.0, bad]))

    assert caught.value.why == "bound"


def test_all_masks_vanish_in_the_sum():
    rng = np.random.default_rng(1)
    vectors = {member: rng.normal(size=1_000) * 1e3 for member in MEMBERS}
    sent = [
        pack_words(mask(encode_fixed(vectors[m]), me=m, seeds=seeds_of(m), label=b"s/round-1"))
        for m in MEMBERS
    ]
    plain = [pack_words(encode_fixed(vectors[m])) for m in MEMBERS]

    assert add_words(sent) == add_words(plain)


def test_a_masked_contribution_looks_like_chance():
    words = mask(
        np.zeros(20_000, dtype=np.uint64), me=MEMBERS[0], seeds=seeds_of(MEMBERS[0]), label=b"x"
    )

    ones = np.unpackbits(words.view(np.uint8)).mean()

    assert abs(ones - 0.5) < 0.005
    assert len(np.unique(words)) == 20_000


def test_the_sum_of_all_but_one_is_still_masked():
    values = np.arange(50, dtype=np.uint64)
    sent = [pack_words(mask(values, me=m, seeds=seeds_of(m), label=b"x")) for m in MEMBERS[:-1]]

    found = unpack_words(add_words(sent), 50)

    assert not (found == 3 * values).any()


def test_both_ends_agree_one_seed_and_others_do_not():
    a, b, c = MEMBERS[:3]
    ours = seeds_of(a)[b]

    assert ours == seeds_of(b)[a]
    assert len({ours, seeds_of(a)[c], seeds_of(b)[c], seeds_of(a, study="66" * 16)[b]}) == 4


def test_every_step_has_masks_of_its_own():
    zero = np.zeros(8, dtype=np.uint64)
    first = mask(zero, me=MEMBERS[0], seeds=seeds_of(MEMBERS[0]), label=b"s/round-1")
    second = mask(zero, me=MEMBERS[0], seeds=seeds_of(MEMBERS[0]), label=b"s/round-2")

    assert not (first == second).any()


def test_fewer_than_three_contributors_are_refused():
    with pytest.raises(StudyAborted, match="3"):
        mask(
            np.zeros(1, dtype=np.uint64),
            me=MEMBERS[0],
            seeds=seeds_of(MEMBERS[0], MEMBERS[:2]),
            label=b"x",
        )


@pytest.mark.parametrize("public", [bytes(32), bytes(31), b"\x01" + bytes(31)])
def test_a_mask_key_that_gives_no_secret_is_refused(public):
    with pytest.raises(ReplyInvalid, match="hospital-b"):
        shared_seed(KEYS[MEMBERS[0]], public, study="55", me=MEMBERS[0], peer=MEMBERS[1])


def test_the_seed_is_hkdf_of_the_secret_of_rfc_7748():
    alice = bytes.fromhex(RFC_ALICE)
    own, peer = bytes.fromhex(RFC_ALICE_PUBLIC), bytes.fromhex(RFC_BOB_PUBLIC)
    info = joined(b"concura mask seed v1", b"77", b"alice", own, b"bob", peer)

    seed = shared_seed(alice, peer, study="77", me="alice", peer="bob")

    assert public_of(alice) == own
    assert seed == hkdf(bytes.fromhex(RFC_SECRET), info)


def hkdf(secret, info, salt=bytes(32)):
    key = hmac.digest(salt, secret, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")


def joined(*items):
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def test_the_mask_is_the_key_stream_that_the_specification_says():
    me, peers = MEMBERS[1], (MEMBERS[0], MEMBERS[2])
    seeds = {peer: hashlib.sha256(peer.encode()).digest() for peer in peers}
    expected = np.zeros(5, dtype=np.uint64)
    for peer, sign in zip(peers, (-1, 1), strict=True):
        key = hkdf(seeds[peer], joined(b"concura mask v1", b"study/step"))
        block = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # counter mode by hand
        stream = b"".join(block(i.to_bytes(16, "big")) for i in range(3))[:40]
        words = np.frombuffer(stream, dtype="<u8")
        expected = expected + words if sign > 0 else expected - words

    found = mask(np.zeros(5, dtype=np.uint64), me=me, seeds=seeds, label=b"study/step")

    assert (found == expected).all()


def test_the_message_that_certifies_a_mask_key_names_study_member_and_key():
    messages = {
        mask_key_message(study, member, public)
        for study in ("aa", "ab")
        for member in ("m", "n")
        for public in (b"1" * 32, b"2" * 32)
    }

    assert len(messages) == 8
    assert mask_key_message("aab", "m", b"") != mask_key_message("aa", "bm", b"")


def test_contributions_of_different_lengths_are_not_added():
    for sent in ([], [b"1" * 8, b"1" * 16], [b"123"]):
        with pytest.raises(ReplyInvalid):
            add_words(sent)


def test_a_total_of_another_length_is_refused():
    with pytest.raises(ReplyInvalid):
        unpack_words(bytes(16), 3)
