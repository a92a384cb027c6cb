"""Writes the vectors of the ledger anew: `PYTHONPATH=src python tests/vectors/make_ledger_vectors.py`.

Keys are fresh each time and thrown away; a vector holds public keys and signed bytes only. Each is
one JSON file: what it shows, how to read it, the data in base64url, and what must come out.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from concura.canonical import b64encode, decode, encode
from concura.ledger import (
    Block,
    Receipt,
    decode_block,
    entries_root,
    entry_bundle,
    fork_evidence,
    founding_message,
    receipt_message,
    sealing_message,
    search,
    words,
)
from concura.testing.ledgers import START_MS, Consortium, party

FOLDER = Path(__file__).parent / "ledger"
CONSENT, TRANSFER = "01" * 16, "02" * 16


def story() -> Consortium:
    town = Consortium.found(3, difficulty_bits=4)
    consents = [{"id": CONSENT, "subject": "ab" * 32}]
    town.seal(
        [
            town.say(
                "hospital-a",
                "consent.grant",
                {
                    "purpose": "treatment",
                    "reader": "hospital-b",
                    "not_after_ms": START_MS + 10**9,
                    "consents": consents,
                },
            ),
            town.say(
                "hospital-b",
                "transfer.request",
                {
                    "transfer": TRANSFER,
                    "holder": "hospital-a",
                    "purpose": "treatment",
                    "request_digest": "cd" * 32,
                },
            ),
        ]
    )
    offer = {"transfer": TRANSFER, "consent": CONSENT, "digest": "ef" * 32}
    town.seal([town.say("hospital-a", "transfer.offer", offer)])
    return town


def remade(
    town: Consortium, data: bytes, *, entries: tuple[bytes, ...] | None = None, **changes: object
) -> bytes:
    """Change a block and mine and sign it again, as a dishonest hub could."""
    block = decode_block(data)
    kept = block.entries if entries is None else entries
    if entries is not None:
        changes = {"count": len(kept), "root": entries_root(kept), **changes}
    header = replace(block.header, nonce=0, **changes)
    nonce = search(header.pack(), header.difficulty, start=0, count=1 << 32)
    header = replace(header, nonce=nonce)
    return Block(header, town.hub.sign(sealing_message(header)), kept).encode()


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def write(name: str, what: str, read: str, data: object, expect: object, **given: object) -> None:
    coded = [b64encode(one) for one in data] if isinstance(data, list) else b64encode(data)
    vector = {"what": what, "read": read, "given": given, "data": coded, "expect": expect}
    text = json.dumps(vector, indent=1, ensure_ascii=False, sort_keys=True)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def refuse(why: str, where: str = "", detail: str = "") -> dict[str, str]:
    return {
        "error": why,
        **({"where": where} if where else {}),
        **({"detail": detail} if detail else {}),
    }


def chains(town: Consortium) -> None:
    chain, (zero, one, two) = town.chain.id, town.blocks
    write(
        "chain",
        "A chain of three blocks",
        "chain",
        [zero, one, two],
        {"height": 2, "entries": 3, "root": town.chain.root().hex(), "head": town.chain.head_hash},
        chain=chain,
    )
    bad = {
        "chain-digest": (
            "Another founding digest",
            [zero],
            refuse("founding", "block 0, entry 0", "digest"),
            "00" * 32,
        ),
        "chain-empty": ("No block at all", [], refuse("founding", "block 0"), chain),
        "chain-height": ("A block is missing", [zero, two], refuse("height", "block 1"), chain),
        "chain-founder": (
            "A founder's signature is another's",
            [
                remade(
                    town,
                    zero,
                    entries=(
                        decode_block(zero).entries[0],
                        *decode_block(zero).entries[2:],
                        decode_block(zero).entries[1],
                    ),
                )
            ],
            refuse("founding", "block 0, entry 1"),
            chain,
        ),
        "chain-cut": (
            "The last byte of a block is gone",
            [zero, one[:-1]],
            refuse("block.malformed", "block 1"),
            chain,
        ),
        "chain-longer": (
            "A byte stands behind a block",
            [zero, one + b"\0"],
            refuse("block.malformed", "block 1"),
            chain,
        ),
        "chain-other": (
            "The block names another chain",
            [zero, remade(town, one, chain="00" * 32)],
            refuse("chain", "block 1"),
            chain,
        ),
        "chain-previous": (
            "The block stands on another one",
            [zero, remade(town, one, previous="00" * 32)],
            refuse("previous", "block 1"),
            chain,
        ),
        "chain-time": (
            "Time falls",
            [zero, remade(town, one, timestamp_ms=START_MS - 1)],
            refuse("timestamp", "block 1"),
            chain,
        ),
        "chain-count": (
            "More entries than the header counts",
            [zero, remade(town, one, count=1)],
            refuse("block.malformed", "block 1"),
            chain,
        ),
        "chain-root": (
            "The root is over other entries",
            [zero, remade(town, one, root="00" * 32)],
            refuse("root", "block 1"),
            chain,
        ),
        "chain-entry": (
            "A byte of an entry was changed",
            [zero, flipped(one, 600)],
            refuse("root", "block 1"),
            chain,
        ),
        "chain-difficulty": (
            "Less work than founded",
            [zero, remade(town, one, difficulty=3)],
            refuse("work", "block 1"),
            chain,
        ),
        "chain-sealer": (
            "Another sealer",
            [zero, remade(town, one, sealer="00" * 32)],
            refuse("sealer", "block 1"),
            chain,
        ),
        "chain-signature": (
            "The sealer's signature was changed",
            [zero, flipped(one, 170)],
            refuse("signature", "block 1"),
            chain,
        ),
        "chain-rule": (
            "An offer without request or consent",
            [zero, remade(town, one, entries=(decode_block(two).entries[0],))],
            refuse("entry", "block 1, entry 0", "transfer.unknown"),
            chain,
        ),
        "chain-repeated": (
            "An entry stands twice",
            [zero, remade(town, one, entries=decode_block(one).entries[:1] * 2)],
            refuse("entry", "block 1, entry 1", "entry.duplicate"),
            chain,
        ),
    }
    for name, (what, data, expect, given) in bad.items():
        write(name, what, "chain", data, expect, chain=given)


def entries(town: Consortium) -> None:
    good = decode_block(town.blocks[1]).entries[0]
    value = decode(good)
    unsigned = encode(value["entry"])
    sign = b64encode(party("hospital-a").card.sign)
    write(
        "entry",
        "A signed entry; its id is the SHA-256 of its unsigned part",
        "entry",
        good,
        {"id": hashlib.sha256(unsigned).hexdigest(), "signed": True},
        sign=sign,
    )
    write(
        "entry-stranger",
        "The same under another's key",
        "entry",
        good,
        {"id": hashlib.sha256(unsigned).hexdigest(), "signed": False},
        sign=b64encode(party("hospital-b").card.sign),
    )
    for name, what, data in (
        ("entry-space", "White space", good.replace(b'":', b'": ', 1)),
        (
            "entry-order",
            "Members out of order",
            json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode(),
        ),
        ("entry-more", "An unknown member", encode(value | {"note": "x"})),
        ("entry-less", "A missing member", encode({"entry": value["entry"], "key": value["key"]})),
        (
            "entry-float",
            "A number that is no integer",
            good.replace(str(START_MS + 1000).encode(), b"1.5", 1),
        ),
        (
            "entry-large-integer",
            "An integer above 2^53 - 1",
            good.replace(str(START_MS + 1000).encode(), b"9007199254740993", 1),
        ),
        ("entry-twice", "A member twice", good.replace(b'{"entry"', b'{"entry":1,"entry"', 1)),
    ):
        write(name, what, "entry", data, refuse("entry.malformed"), sign=sign)


def others(town: Consortium) -> None:
    genesis, hub = town.chain.genesis, b64encode(town.chain.genesis.hub_witness)
    write(
        "genesis",
        "A founding document, its digest, words and what founders sign",
        "genesis",
        genesis.encode(),
        {
            "chain": genesis.chain,
            "words": words(genesis.chain),
            "message": founding_message(genesis.chain).hex(),
        },
    )
    write(
        "genesis-quorum",
        "A quorum greater than the founders",
        "genesis",
        encode(decode(genesis.encode()) | {"quorum": 4}),
        refuse("genesis"),
    )
    write(
        "genesis-order",
        "Founders out of order",
        "genesis",
        encode(decode(genesis.encode()) | {"founders": decode(genesis.encode())["founders"][::-1]}),
        refuse("genesis"),
    )
    receipt = Receipt(genesis.chain, "ab" * 32, 7, START_MS, START_MS + 5_000, bytes(64))
    receipt = replace(receipt, signature=town.hub.sign(receipt_message(receipt)))
    given = {"hub": hub, "chain": genesis.chain, "entry": "ab" * 32}
    write(
        "receipt",
        "A receipt",
        "receipt",
        receipt.encode(),
        {"position": 7, "deadline_ms": START_MS + 5_000},
        **given,
    )
    write(
        "receipt-position",
        "Another position",
        "receipt",
        replace(receipt, position=8).encode(),
        refuse("receipt"),
        **given,
    )
    write(
        "receipt-entry",
        "A receipt for another entry",
        "receipt",
        receipt.encode(),
        refuse("receipt"),
        **(given | {"entry": "ac" * 32}),
    )
    write(
        "receipt-cut",
        "A receipt without its last byte",
        "receipt",
        receipt.encode()[:-1],
        refuse("receipt"),
        **given,
    )
    fork = fork_evidence(
        town.make([]), town.make([], timestamp_ms=town.now_ms + 5), hub_witness=genesis.hub_witness
    )
    write("fork", "Two signed headers at one height", "fork", fork, {"height": 3}, hub=hub)
    twice = json.loads(fork)["fork"][0]
    write(
        "fork-same",
        "One header twice",
        "fork",
        encode({"fork": [twice, twice]}),
        refuse("fork"),
        hub=hub,
    )


def notes(town: Consortium) -> None:
    genesis = town.chain.genesis
    witnesses = {name: b64encode(party(name).card.witness) for name in town.parties}
    given = {
        "hub": b64encode(genesis.hub_witness),
        "hub_name": "hub",
        "origin": town.chain.origin,
        "witnesses": witnesses,
    }
    good = town.checkpoint(["hospital-a", "hospital-c"])
    expect = {"size": 3, "root": town.chain.root().hex(), "cosigners": ["hospital-a", "hospital-c"]}
    write("checkpoint", "A checkpoint with two co-signatures", "checkpoint", good, expect, **given)
    lines = good.split(b"\n")
    write(
        "checkpoint-foreign-line",
        "A co-signature under another's name counts for nothing",
        "checkpoint",
        good.replace(b" hospital-c ", b" hospital-b "),
        expect | {"cosigners": ["hospital-a"]},
        **given,
    )
    for name, what, data, why, change in (
        (
            "checkpoint-size",
            "Another size",
            good.replace(b"\n3\n", b"\n4\n"),
            "checkpoint.signature",
            {},
        ),
        (
            "checkpoint-zeros",
            "A size with a leading zero",
            good.replace(b"\n3\n", b"\n03\n"),
            "checkpoint.malformed",
            {},
        ),
        (
            "checkpoint-extension",
            "An extension line",
            good.replace(b"\n\n", b"\nmore\n\n"),
            "checkpoint.malformed",
            {},
        ),
        (
            "checkpoint-dash",
            "A hyphen for the dash",
            good.replace("— ".encode(), b"- "),
            "checkpoint.malformed",
            {},
        ),
        (
            "checkpoint-unsigned",
            "Without the hub's line",
            b"\n".join([*lines[:4], *lines[5:]]),
            "checkpoint.signature",
            {},
        ),
        (
            "checkpoint-origin",
            "Another log",
            good,
            "checkpoint.origin",
            {"origin": "concura/0000000000000000"},
        ),
        (
            "checkpoint-carriage",
            "Lines that end as on Windows",
            good.replace(b"\n", b"\r\n"),
            "checkpoint.malformed",
            {},
        ),
    ):
        write(name, what, "checkpoint", data, refuse(why), **(given | change))
    block = decode_block(town.blocks[1])
    bundle = entry_bundle(
        block, 1, size=3, log_path=town.chain.inclusion(1), checkpoint=town.checkpoint(town.parties)
    )
    trust = {"genesis": b64encode(genesis.encode())}
    write(
        "bundle", "An entry proved offline", "bundle", bundle, {"height": 1, "final": True}, **trust
    )
    write(
        "bundle-few",
        "The same without a quorum",
        "bundle",
        entry_bundle(block, 1, size=3, log_path=town.chain.inclusion(1), checkpoint=good),
        {"height": 1, "final": False},
        **trust,
    )
    value = decode(bundle)
    for name, what, change in (
        ("bundle-index", "Another place in the block", {"index": 0}),
        ("bundle-entry", "Another entry", {"entry": b64encode(block.entries[0])}),
        ("bundle-path", "A path without its last node", {"log_path": value["log_path"][:-1]}),
        ("bundle-chain", "Another chain", {"chain": "00" * 32}),
        (
            "bundle-block",
            "The header's signature is another's",
            {"signature": b64encode(decode_block(town.blocks[2]).signature)},
        ),
    ):
        write(name, what, "bundle", encode(value | change), refuse("bundle"), **trust)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    town = story()
    for part in (chains, entries, others, notes):
        part(town)
    print(f"{len(list(FOLDER.glob('*.json')))} vectors in {FOLDER}")


if __name__ == "__main__":
    main()
