"""Cards, genesis, entries, headers, blocks, receipts, notes, access records: strict, byte-exact."""

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from concura.canonical import b64encode, decode, encode
from concura.errors import ChainInvalid, EntryRefused, StoreCorrupt
from concura.ledger import (
    Block,
    Genesis,
    Header,
    MemberCard,
    Receipt,
    assemble,
    blinded_root,
    cosignature_line,
    cosignature_message,
    cosigners,
    decode_block,
    decode_entry,
    decode_receipt,
    decode_record,
    encode_record,
    has_quorum,
    how_many_fit,
    is_enough,
    origin_of,
    parse_note,
    receipt_message,
    search,
    sign_line,
    verify_checkpoint,
    verify_cosignature,
    words,
)
from concura.ledger.block import HEADER_BYTES
from concura.ledger.checkpoint import body, key_id
from concura.ledger.work import target
from concura.limits import BLOCK_MAX_BYTES, ENTRY_MAX_BYTES
from concura.sealing.keys import verify_witness
from concura.testing.ledgers import START_MS, Consortium, party

# The example that Go's golang.org/x/mod/sumdb/note documents and is tested with.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
GO_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"


@pytest.fixture(scope="module")
def town():
    return Consortium.found(3, difficulty_bits=0)


def refused(kind, why, action, *arguments, **named):
    with pytest.raises(kind) as caught:
        action(*arguments, **named)
    assert caught.value.why == why
    for lang in ("en", "zh"):
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
    return caught.value


# Words, cards, genesis ------------------------------------------------------------------------


def test_words_are_the_proquints_of_the_paper():
    # Addresses and proquints as the paper lists them: 127.0.0.1, 63.84.220.193, ...
    for number, expected in (
        ("7f000001", "lusab babad"),
        ("3f54dcc1", "gutih tugad"),
        ("3f760723", "gutuk bisog"),
        ("8c62c18d", "mudof sakat"),
        ("40ff06c8", "haguz biram"),
        ("801e342d", "mabiv gibot"),
    ):
        assert words(number + "0" * 56)[:11] == expected
    assert len(words("ab" * 32).split(" ")) == 8


def test_words_look_at_the_first_128_bits():
    assert words("ab" * 16 + "00" * 16) == words("ab" * 16 + "ff" * 16)
    assert words("ab" * 15 + "aa" + "00" * 16) != words("ab" * 16 + "00" * 16)


def test_a_card_reads_back_as_itself():
    card = party("hospital-a").card
    assert MemberCard.from_json(card.to_json()) == card
    assert card.digest == MemberCard.from_json(decode(encode(card.to_json()))).digest


@pytest.mark.parametrize(
    "change",
    [
        {"note": "x"},
        {"member": "Hospital A"},
        {"member": ""},
        {"member": "a" * 64},
        {"name": ""},
        {"name": "two\nlines"},
        {"name": "evil\u202etxt"},
        {"name": " padded"},
        {"name": "x" * 65},
        {"sign": "AA="},
        {"sign": "A" * 9000},
        {"witness": b64encode(b"x" * 31)},
        {"tls": "AB" * 32},
        {"tls": None},
        {"authority": 5},
    ],
)
def test_a_card_with_anything_out_of_form_is_refused(change):
    value = party("hospital-a").card.to_json() | change
    refused(EntryRefused, "card.malformed", MemberCard.from_json, value)


def test_a_card_with_a_weak_or_doubled_key_is_refused():
    card = party("hospital-a").card
    card.check_keys()
    refused(EntryRefused, "card.key", replace(card, wrap=card.sign).check_keys)
    refused(EntryRefused, "card.key", replace(card, wrap=card.wrap[:-1] + b"x").check_keys)


def test_genesis_reads_back_as_itself_in_any_order_of_founders(town):
    genesis = town.chain.genesis
    assert Genesis.decode(genesis.encode()) == genesis
    assert replace(genesis, founders=genesis.founders[::-1]).chain == genesis.chain


@pytest.mark.parametrize(
    "change",
    [
        {"quorum": 0},
        {"quorum": 4},
        {"quorum": True},
        {"difficulty_bits": 29},
        {"difficulty_bits": -1},
        {"created_ms": -1},
        {"name": ""},
        {"hub_name": "the hub"},
        {"hub_name": "a+b"},
        {"hub_witness": b"short"},
        {"hub_authority": b""},
        {"founders": ()},
        {"founders": (party("hospital-a").card,) * 2},
    ],
)
def test_a_genesis_out_of_range_is_refused(town, change):
    genesis = replace(town.chain.genesis, **change)
    refused(ChainInvalid, "genesis", genesis.encode)
    refused(ChainInvalid, "genesis", Genesis.decode, encode(genesis._to_json()))


def test_a_genesis_that_is_not_canonical_is_refused(town):
    data = town.chain.genesis.encode()
    value = decode(data)
    shuffled = encode(value | {"founders": value["founders"][::-1]})
    for bad in (b"", b"[]", data + b" ", data[:-1], shuffled, encode(value | {"v": 2})):
        refused(ChainInvalid, "genesis", Genesis.decode, bad)


# Entries --------------------------------------------------------------------------------------


def test_an_entry_reads_back_as_itself(town):
    data = town.say("hospital-a", "access.anchor", {"root": "00" * 32, "size": 1})
    signed = decode_entry(data)
    assert signed.encode() == data
    assert signed.is_signed_by(party("hospital-a").card.sign)
    assert not signed.is_signed_by(party("hospital-b").card.sign)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"chain": "00"},
        {"type": "x"},
        {"author": "A"},
        {"time_ms": -1},
        {"time_ms": True},
        {"nonce": "00"},
        {"body": []},
        {"extra": 1},
    ],
)
def test_an_entry_out_of_form_is_refused(town, change):
    data = town.say("hospital-a", "access.anchor", {"root": "00" * 32, "size": 1})
    value = decode(data)
    bad = encode(value | {"entry": value["entry"] | change})
    refused(EntryRefused, "entry.malformed", decode_entry, bad)


def test_an_entry_that_is_not_canonical_or_too_large_is_refused(town):
    data = town.say("hospital-a", "access.anchor", {"root": "00" * 32, "size": 1})
    for bad in (b"", b"{}", b"\xff", data + b"\n", data.replace(b'":', b'": ', 1)):
        refused(EntryRefused, "entry.malformed", decode_entry, bad)
    refused(EntryRefused, "entry.size", decode_entry, b" " * (ENTRY_MAX_BYTES + 1))


def test_a_body_with_a_float_is_no_entry(town):
    refused(
        EntryRefused,
        "entry.malformed",
        town.say,
        "hospital-a",
        "access.anchor",
        {"root": "00" * 32, "size": 1.5},
    )


# Work, headers, blocks ------------------------------------------------------------------------


def test_work_is_found_and_recognised():
    header = bytes(164)
    nonce = search(header, 10, start=0, count=1 << 20)
    mined = header[:-8] + nonce.to_bytes(8, "big")
    assert is_enough(mined, 10)
    assert search(header, 10, start=0, count=nonce) is None
    assert search(header, 10, start=nonce, count=1) == nonce
    assert not any(is_enough(header[:-8] + n.to_bytes(8, "big"), 10) for n in range(nonce))


def test_no_difficulty_needs_no_work():
    assert search(bytes(164), 0, start=7, count=1) == 7
    assert search(bytes(164), 0, start=7, count=0) is None
    assert is_enough(b"anything", 0)
    assert target(0) == 1 << 256


def test_a_header_has_164_bytes_and_reads_back_as_itself():
    header = Header(
        chain="11" * 32,
        height=2,
        previous="33" * 32,
        count=4,
        root="55" * 32,
        timestamp_ms=6,
        difficulty=7,
        sealer="88" * 32,
        nonce=9,
    )
    data = header.pack()
    assert len(data) == HEADER_BYTES == 164
    assert Header.unpack(data) == header
    assert data[:4] + data[36:44] + data[-8:] == bytes.fromhex(
        "00000001" + "00" * 7 + "02" + "00" * 7 + "09"
    )
    refused(ChainInvalid, "block.malformed", Header.unpack, data + b"\0")


def test_a_block_reads_back_as_itself_and_nothing_behind_it(town):
    block = decode_block(town.blocks[0])
    data = block.encode()
    assert data == town.blocks[0]
    assert decode_block(data) == block
    for bad in (data + b"\0", data[:-1], data[:200], b""):
        refused(ChainInvalid, "block.malformed", decode_block, bad)


def test_a_block_that_claims_too_much_is_refused_before_it_is_read(town):
    header = decode_block(town.blocks[0]).header
    many = Block(replace(header, height=1, count=1001), bytes(64), (b"",) * 1001)
    refused(ChainInvalid, "block.malformed", decode_block, many.encode())
    long = Block(replace(header, height=1, count=1), bytes(64), (b"x" * (ENTRY_MAX_BYTES + 1),))
    refused(ChainInvalid, "block.malformed", decode_block, long.encode())
    refused(ChainInvalid, "block.malformed", decode_block, bytes(BLOCK_MAX_BYTES + 1))


def test_how_many_fit_counts_bytes_and_entries():
    assert how_many_fit([]) == 0
    assert how_many_fit([10] * 2000) == 1000
    assert how_many_fit([10] * 20, most=5) == 5
    exact = BLOCK_MAX_BYTES - 164 - 64 - 4
    assert how_many_fit([exact]) == 1
    assert how_many_fit([exact + 1]) == 0


# Receipts -------------------------------------------------------------------------------------


def signed_receipt(town):
    receipt = Receipt(town.chain.id, "ab" * 32, 5, START_MS, START_MS + 1, bytes(64))
    return replace(receipt, signature=town.hub.sign(receipt_message(receipt)))


def test_a_receipt_holds_for_its_entry_chain_and_hub_only(town):
    receipt = decode_receipt(signed_receipt(town).encode())
    hub = town.chain.genesis.hub_witness
    good = {"chain": town.chain.id, "entry": "ab" * 32}
    receipt.verify(hub, **good)
    refused(ChainInvalid, "receipt", receipt.verify, hub, **(good | {"entry": "ac" * 32}))
    refused(ChainInvalid, "receipt", receipt.verify, hub, **(good | {"chain": "ac" * 32}))
    refused(ChainInvalid, "receipt", receipt.verify, party("hospital-a").card.witness, **good)
    for change in ({"position": 6}, {"time_ms": 0}, {"deadline_ms": 0}):
        refused(ChainInvalid, "receipt", replace(receipt, **change).verify, hub, **good)


def test_a_receipt_out_of_form_is_refused(town):
    data = signed_receipt(town).encode()
    for bad in (
        b"",
        b"{}",
        b"[]",
        data + b" ",
        b" " * 2000,
        data.replace(b'"position":5', b'"position":-5'),
    ):
        refused(ChainInvalid, "receipt", decode_receipt, bad)


# Notes ----------------------------------------------------------------------------------------


def test_gos_example_note_verifies_with_our_key_id_and_parser():
    name, number, text = GO_KEY.split("+", 2)
    public = base64.b64decode(text)[1:]
    assert key_id(name, 1, public).hex() == number
    note = parse_note(assemble(GO_TEXT, [GO_LINE.encode()]))
    assert note.text == GO_TEXT
    assert sign_line(name, public, note.lines[0].signature) == GO_LINE.encode()
    # It is no checkpoint, so that only the signature is looked at here.
    assert verify_witness(public, note.text, note.lines[0].signature)


def test_the_example_of_the_cosignature_specification_is_taken_apart():
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    lines = [
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n",
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n",
    ]
    note = parse_note(assemble(text, [line.encode() for line in lines]))
    assert [line.name for line in note.lines] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert b"".join(line.encode() for line in note.lines) == "".join(lines).encode()
    assert int.from_bytes(note.lines[1].signature[:8], "big") == 1679315147
    assert (
        body(
            "example.com/behind-the-sofa",
            20852163,
            base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="),
        )
        == text
    )
    assert cosignature_message(text, 1679315147) == b"cosignature/v1\ntime 1679315147\n" + text


def check(town, data):
    genesis = town.chain.genesis
    return verify_checkpoint(
        data, name="hub", public=genesis.hub_witness, origin=origin_of(genesis.chain)
    )


def test_a_checkpoint_needs_the_hub_and_counts_each_witness_once(town):
    data = town.checkpoint(["hospital-a", "hospital-b", "hospital-a"])
    assert check(town, data).size == town.chain.size
    assert check(town, data).root == town.chain.root()
    witnesses = {member: one.card.witness for member, one in town.parties.items()}
    assert cosigners(data, witnesses) == {"hospital-a", "hospital-b"}
    assert has_quorum(data, witnesses, quorum=2)
    assert not has_quorum(data, witnesses, quorum=3)
    assert not has_quorum(data, witnesses, quorum=0)
    assert cosigners(data, {"hospital-a": party("hospital-b").card.witness}) == frozenset()


def test_a_checkpoint_of_another_log_name_or_key_is_refused(town):
    data, genesis = town.checkpoint(), town.chain.genesis
    good = {"name": "hub", "public": genesis.hub_witness, "origin": town.chain.origin}
    for change, why in (
        ({"origin": "concura/0000000000000000"}, "checkpoint.origin"),
        ({"name": "other"}, "checkpoint.signature"),
        ({"public": party("hospital-a").card.witness}, "checkpoint.signature"),
    ):
        refused(ChainInvalid, why, verify_checkpoint, data, **(good | change))
    text = town.chain.checkpoint_body()
    forged = sign_line("hub", genesis.hub_witness, bytes(64))
    refused(
        ChainInvalid, "checkpoint.signature", verify_checkpoint, assemble(text, [forged]), **good
    )
    # A failing line of a known key refuses the note, also beside a good one.
    both = data + forged
    refused(ChainInvalid, "checkpoint.signature", verify_checkpoint, both, **good)


def test_a_cosignature_is_bound_to_text_time_and_member(town):
    who = party("hospital-a")
    text, public = town.chain.checkpoint_body(), who.card.witness
    signature = who.witness(cosignature_message(text, 77))
    line = cosignature_line("hospital-a", public, time_s=77, signature=signature)
    assert verify_cosignature(text, line, name="hospital-a", public=public) == 77
    late = cosignature_line("hospital-a", public, time_s=78, signature=signature)
    other = text.replace(b"\n1\n", b"\n2\n")
    for bad_text, bad_line, name in (
        (text, late, "hospital-a"),
        (other, line, "hospital-a"),
        (text, line, "hospital-b"),
        (text, line + line, "hospital-a"),
        (
            text,
            cosignature_line("hospital-a", public, time_s=1 << 63, signature=signature),
            "hospital-a",
        ),
    ):
        refused(
            ChainInvalid,
            "cosignature",
            verify_cosignature,
            bad_text,
            bad_line,
            name=name,
            public=public,
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b"\n\n", b"\n"),
        lambda data: data + b"\n",
        lambda data: data.replace(b"hub ", b"hub\t"),
        lambda data: data.replace("— ".encode(), b"- "),
        lambda data: data + b"\xff",
        lambda data: data.replace(b"\n1\n", b"\n01\n"),
        lambda data: data.replace(b"\n1\n", b"\n+1\n"),
        lambda data: data.replace(b"\n1\n", b"\n" + "１".encode() + b"\n"),
        lambda data: data.replace(b"\n\n", b"\nextension\n\n"),
        lambda data: data.replace(b"=\n\n", b"\n\n"),
        lambda data: data + "— a AAAA\n".encode(),
        lambda data: data + "— a+b AAAAAAAA\n".encode(),
        lambda data: data + "— a AAAAAB==\n".encode(),
        lambda data: data * 500,
    ],
)
def test_a_checkpoint_out_of_form_is_refused(town, change):
    good = {
        "name": "hub",
        "public": town.chain.genesis.hub_witness,
        "origin": town.chain.origin,
    }
    data = change(town.checkpoint())
    refused(ChainInvalid, "checkpoint.malformed", verify_checkpoint, data, **good)


def test_lines_of_unknown_keys_are_ignored(town):
    stranger = Ed25519PrivateKey.generate()
    public = stranger.public_key().public_bytes_raw()
    data = town.checkpoint() + sign_line("stranger", public, bytes(64))
    assert check(town, data).size == town.chain.size


# Access records -------------------------------------------------------------------------------


def test_an_access_record_reads_back_and_stays_small():
    data = encode_record(5, who="dr", action="read", what="token", why="treatment")
    assert decode_record(data) == (5, "dr", "read", "token", "treatment")
    with pytest.raises(ValueError, match="record"):
        encode_record(5, who="d" * 250, action="read", what="token", why="treatment")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'[1,"a","b","c",2]', b'["1","a","b","c","d"]', b"{}"]
)
def test_damaged_access_records_are_corruption(data):
    with pytest.raises(StoreCorrupt):
        decode_record(data)


def test_a_blinded_root_hides_equal_roots():
    assert blinded_root(b"r" * 32, b"a" * 32) != blinded_root(b"r" * 32, b"b" * 32)
