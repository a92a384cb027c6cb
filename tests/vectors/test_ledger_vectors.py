"""Every stored vector of the ledger gives what it says, also in the independent verifier."""

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from concura.errors import ConcuraError
from concura.ledger import (
    Chain,
    Genesis,
    Trust,
    cosigners,
    decode_entry,
    decode_receipt,
    founding_message,
    verify_blocks,
    verify_bundle,
    verify_checkpoint,
    verify_fork,
    words,
)
from concura.ledger.block import decode_block
from concura.testing.ledgers import Consortium

FILES = sorted((Path(__file__).parent / "ledger").glob("*.json"))
VECTORS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}


def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_chain(data, given):
    report = verify_blocks(given["chain"], data)
    last = decode_block(data[-1]).header
    return {"height": report.height, "entries": report.entries, "head": last.hash}


def read_entry(data, given):
    signed = decode_entry(data)
    return {"id": signed.entry.id, "signed": signed.is_signed_by(raw(given["sign"]))}


def read_genesis(data, given):
    genesis = Genesis.decode(data)
    message = founding_message(genesis.chain).hex()
    return {"chain": genesis.chain, "words": words(genesis.chain), "message": message}


def read_receipt(data, given):
    receipt = decode_receipt(data)
    receipt.verify(raw(given["hub"]), chain=given["chain"], entry=given["entry"])
    return {"position": receipt.position, "deadline_ms": receipt.deadline_ms}


def read_fork(data, given):
    return {"height": verify_fork(data, hub_witness=raw(given["hub"]))}


def read_checkpoint(data, given):
    found = verify_checkpoint(
        data, name=given["hub_name"], public=raw(given["hub"]), origin=given["origin"]
    )
    witnesses = {name: raw(key) for name, key in given["witnesses"].items()}
    return {
        "size": found.size,
        "root": found.root.hex(),
        "cosigners": sorted(cosigners(data, witnesses)),
    }


def read_bundle(data, given):
    proven = verify_bundle(data, trust=Trust.of(Genesis.decode(raw(given["genesis"]))))
    return {"height": proven.header.height, "final": proven.is_final}


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_a_vector_gives_what_it_says(name):
    vector = VECTORS[name]
    data, expect = vector["data"], vector["expect"]
    data = [raw(one) for one in data] if isinstance(data, list) else raw(data)
    read = globals()[f"read_{vector['read']}"]
    if "error" not in expect:
        assert {"root": expect.get("root"), **read(data, vector["given"])} == {
            "root": None,
            **expect,
        }
        return
    with pytest.raises(ConcuraError) as caught:
        read(data, vector["given"])
    assert caught.value.why == expect["error"]
    for part in ("where", "detail"):
        assert part not in expect or caught.value.values[part] == expect[part]


def test_there_is_a_vector_for_every_format():
    assert {vector["read"] for vector in VECTORS.values()} == {
        "chain",
        "entry",
        "genesis",
        "receipt",
        "fork",
        "checkpoint",
        "bundle",
    }


# A second verifier, written from docs/spec/ledger.md alone: standard library and signatures -----


def tree(leaves):
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    cut = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree(leaves[:cut]) + tree(leaves[cut:])).digest()


def rsa_verifies(public, message, signature):
    key = serialization.load_der_public_key(public)
    try:
        key.verify(
            signature, message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
        )
    except InvalidSignature:
        return False
    return True


def independent(chain, blocks):
    """Return the root of the log, or None at the first thing that is wrong."""
    leaves, previous, cards = [], bytes(32), {}
    for height, data in enumerate(blocks):
        header, signature, rest, entries = data[:164], data[164:228], data[228:], []
        while rest:
            (length,) = struct.unpack(">I", rest[:4])
            entries.append(rest[4 : 4 + length])
            rest = rest[4 + length :]
        fields = struct.unpack(">I32sQ32sI32sQI32sQ", header)
        if height == 0:
            genesis = json.loads(entries[0])
            hub = raw(genesis["hub"]["witness"])
            cards = {card["member"]: raw(card["sign"]) for card in genesis["founders"]}
            label = b"concura founding v1\n" + bytes.fromhex(chain)
            if hashlib.sha256(entries[0]).hexdigest() != chain:
                return None
            statements = [json.loads(entry) for entry in entries[1:]]
            if [one["member"] for one in statements] != sorted(cards):
                return None
            if not all(
                rsa_verifies(cards[one["member"]], label, raw(one["signature"]))
                for one in statements
            ):
                return None
        else:
            for entry in map(json.loads, entries):
                unsigned = json.dumps(
                    entry["entry"], separators=(",", ":"), sort_keys=True, ensure_ascii=False
                )
                label = b"concura entry v1\n" + hashlib.sha256(unsigned.encode()).digest()
                if not rsa_verifies(
                    cards[entry["entry"]["author"]], label, raw(entry["signature"])
                ):
                    return None
        digest = hashlib.sha256(header).digest()
        wanted = (1, bytes.fromhex(chain), height, previous, len(entries), tree(entries))
        if fields[:6] != wanted or fields[7] != genesis["difficulty_bits"]:
            return None
        if (
            int.from_bytes(digest, "big") >> 256 - fields[7]
            or fields[8] != hashlib.sha256(hub).digest()
        ):
            return None
        try:
            Ed25519PublicKey.from_public_bytes(hub).verify(
                signature, b"concura block v1\n" + digest
            )
        except InvalidSignature:
            return None
        leaves.append(header + signature)
        previous = digest
    return tree(leaves).hex()


def test_a_verifier_written_from_the_specification_agrees():
    vector = VECTORS["chain"]
    blocks = [raw(one) for one in vector["data"]]
    assert independent(vector["given"]["chain"], blocks) == vector["expect"]["root"]


@pytest.mark.parametrize(
    "name",
    [
        "chain-digest",
        "chain-founder",
        "chain-previous",
        "chain-root",
        "chain-entry",
        "chain-difficulty",
        "chain-sealer",
        "chain-signature",
    ],
)
def test_the_second_verifier_refuses_too(name):
    vector = VECTORS[name]
    assert independent(vector["given"]["chain"], [raw(one) for one in vector["data"]]) is None


def test_every_single_bit_of_a_stored_chain_is_guarded():
    town = Consortium.found(1, difficulty_bits=0)
    town.seal([town.say("hospital-a", "access.anchor", {"root": "00" * 32, "size": 1})])
    town.seal([])
    assert verify_blocks(town.chain.id, town.blocks).height == 2
    survivors, chain = [], Chain(town.chain.genesis)
    for height, data in enumerate(town.blocks):
        # Block 0 is long: its founding document is one digest, so that one bit per byte is enough.
        bits = range(0, 8 * len(data), 9) if height == 0 else range(8 * len(data))
        for bit in bits:
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                chain.append(decode_block(bytes(changed)), now_ms=None)
            except ConcuraError:
                continue
            survivors.append((height, bit))
        chain.append(decode_block(data), now_ms=None)
    assert survivors == []


@pytest.mark.parametrize("height", [0, 1, 2])
def test_the_refusal_names_the_block_that_was_changed(height):
    vector = VECTORS["chain"]
    blocks = [raw(one) for one in vector["data"]]
    for place in range(0, len(blocks[height]), 97):
        changed = bytearray(blocks[height])
        changed[place] ^= 0x40
        with pytest.raises(ConcuraError) as caught:
            verify_blocks(
                vector["given"]["chain"], [*blocks[:height], bytes(changed), *blocks[height + 1 :]]
            )
        assert f"block {height}" in caught.value.values["where"]
