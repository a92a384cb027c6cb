"""A hub that cheats: it is found out, evidence is kept, and nothing more is entered with it."""

import asyncio
from copy import deepcopy
from dataclasses import replace

import pytest

from concura.canonical import b64decode, decode
from concura.errors import ChainInvalid, HubDishonest, HubUnreachable, ReplyInvalid
from concura.ledger import (
    Block,
    Chain,
    Entry,
    Receipt,
    assemble,
    decode_block,
    decode_entry,
    decode_receipt,
    message,
    parse_note,
    receipt_message,
    sealing_message,
    search,
    sign_entry,
    sign_line,
    verify_checkpoint,
    verify_fork,
)
from concura.sealing import fingerprint
from concura.testing.clock import SimulatedClock, simulated
from concura.testing.town import HUB_KEY, Town, key_store, wish_of

A, B, C, D = "hospital-a", "hospital-b", "hospital-c", "hospital-d"
ANCHOR = {"root": "0" * 64, "size": 1}


async def enter(town, member, size=1):
    await town.node(member).enter.enter("access.anchor", {**ANCHOR, "size": size})


def promise(town, data, **changes):
    """A receipt with the hub's own signature."""
    now, entry = town.clock.now_ms(), decode_entry(data).entry.id
    receipt = Receipt(town.genesis.chain, entry, 0, now, now + 60_000, b"")
    receipt = replace(receipt, **changes)
    return replace(receipt, signature=HUB_KEY.sign(receipt_message(receipt))).encode()


def evidence(town, member):
    return {
        name.split("/")[1].split("-")[0]: decode(value)
        for name, value in town.hospitals[member].store.facts("evidence/").items()
    }


def next_block(town, entries, **changes):
    """A block on the hub's own chain, mined and signed as the hub would, with a lie in it."""
    chain = Chain(town.genesis)
    for data in town.hub_store.blocks(0, 1_000):
        chain.append(decode_block(data), now_ms=None)
    header = chain.propose(entries, timestamp_ms=town.clock.now_ms())
    header = replace(header, **changes)
    nonce = search(header.pack(), header.difficulty, start=0, count=1 << 32)
    header = replace(header, nonce=nonce)
    return Block(header, HUB_KEY.sign(sealing_message(header)), tuple(entries)).encode()


def an_entry(town, member=B, *, size=1, signer=None, **changes):
    entry = Entry(
        chain=town.genesis.chain,
        type="access.anchor",
        author=member,
        time_ms=town.clock.now_ms(),
        nonce=f"{size:032x}",
        body={**ANCHOR, "size": size},
    )
    keys = key_store(signer or member)
    signature = keys.sign(message(entry))
    return sign_entry(entry, fingerprint(key_store(member).public("sign")), signature)


def serves(*blocks):
    """Answer the next question for blocks with these; then nothing, as a silent hub."""
    waiting = list(blocks)

    async def answer(real, start, *, wait_s):
        if waiting:
            found = list(waiting)
            waiting.clear()
            return found
        await SimulatedClock().sleep(wait_s)
        return []

    return answer


async def caught(town, member, seconds=300.0):
    await town.until(lambda: town.node(member).watch.distrust is not None, seconds)


async def enters_nothing_more(town, member):
    before = len(town.hub_store.journal(0, 1_000))
    with pytest.raises(HubDishonest):
        await enter(town, member, 99)
    # Not after a restart either, nor what lies in the outbox.
    await town.hospitals[member].store.put_fact("outbox/" + "0" * 64, b"{}")
    await town.kill(member)
    town.start(member)
    await town.clock.sleep(30.0)
    assert town.node(member).watch.distrust is not None
    assert town.node(member).status()["distrust"] is not None
    with pytest.raises(HubDishonest):
        await enter(town, member, 99)
    assert len(town.hub_store.journal(0, 1_000)) == before


@simulated
async def test_a_dropped_entry_becomes_evidence_when_its_receipt_is_past():
    async with Town.found() as town:
        lost = []

        async def drop(real, entries):
            lost.extend(entries)
            return [promise(town, data) for data in entries]

        town.wire(A).tampers["submit"] = drop
        await enter(town, A)
        await town.clock.sleep(59.0)
        await enter(town, B)
        await town.agree()
        assert town.node(A).watch.distrust is None
        await town.clock.sleep(2.0)
        await enter(town, B, 2)
        await caught(town, A)
        found = evidence(town, A)["receipt"]
        receipt = decode_receipt(b64decode(found["receipt"]))
        receipt.verify(
            town.genesis.hub_witness, chain=found["chain"], entry=decode_entry(lost[0]).entry.id
        )
        del town.wire(A).tampers["submit"]
        await enters_nothing_more(town, A)


@simulated
async def test_a_hub_that_is_silent_is_only_stale():
    async with Town.found() as town:

        async def drop(real, entries):
            return [promise(town, data) for data in entries]

        town.wire(A).tampers["submit"] = drop
        await enter(town, A)
        await town.kill_hub()
        await town.clock.sleep(3600.0)
        for hospital in town.hospitals.values():
            status = hospital.node.status()
            assert status["distrust"] is None
            assert status["stale_since"] is not None
            assert not hospital.store.facts("evidence/")
        town.start_hub()
        await town.clock.sleep(60.0)
        assert {h.node.watch.stale_since for h in town.hospitals.values()} == {None}


@simulated
async def test_a_cut_wire_makes_one_node_stale_and_the_others_go_on():
    async with Town.found() as town:
        town.wire(A).is_cut = True
        town.wire(A).drop()
        await town.clock.sleep(30.0)
        with pytest.raises(HubUnreachable):
            await enter(town, A)
        await enter(town, B)
        await town.agree([B, C, D])
        assert town.node(A).watch.stale_since is not None
        assert town.node(B).watch.stale_since is None
        town.wire(A).is_cut = False
        await town.agree()
        assert town.node(A).watch.stale_since is None


# --- blocks ---------------------------------------------------------------------------------------


@simulated
async def test_every_changed_byte_of_a_block_is_refused_and_never_stored():
    async with Town.found() as town:
        town.wire(A).tampers["blocks"] = serves()
        await town.clock.sleep(60.0)
        await enter(town, B)
        await town.agree([B, C, D])
        (block,) = town.hub_store.blocks(1, 9)
        node = town.node(A)
        for place in range(0, len(block), 17):
            changed = bytearray(block)
            changed[place] ^= 1
            with pytest.raises(ChainInvalid):
                await node.watch._take(bytes(changed))
        assert node.watch.chain.height == 0
        # Nobody signed what was changed: it proves nothing against the hub.
        assert node.watch.distrust is None
        assert evidence(town, A) == {}
        del town.wire(A).tampers["blocks"]
        await town.agree()


@simulated
async def test_a_hub_whose_blocks_are_refused_is_stale_until_it_mends_itself():
    async with Town.found() as town:

        async def spoil(real, start, *, wait_s):
            blocks = await real(start, wait_s=wait_s)
            return [block[:-1] + bytes([block[-1] ^ 1]) for block in blocks]

        town.wire(A).tampers["blocks"] = spoil
        town.wire(A).drop()
        await enter(town, B)
        await town.clock.sleep(60.0)
        watch = town.node(A).watch
        assert (watch.chain.height, watch.distrust) == (0, None)
        assert watch.stale_since is not None
        town.wire(A).tampers.clear()
        await town.agree()
        assert watch.stale_since is None


def test_a_signed_block_that_breaks_a_rule_is_evidence():
    @simulated
    async def scene(name, make):
        async with Town.found() as town:
            await enter(town, B)
            await town.agree()
            await town.clock.sleep(30.0)
            block = make(town)
            town.wire(A).tampers["blocks"] = serves(block)
            town.wire(A).drop()
            await caught(town, A)
            found = evidence(town, A)["block"]
            assert b64decode(found["block"]) == block, name
            await enters_nothing_more(town, A)

    for name, make in {
        "forged": lambda t: next_block(t, [an_entry(t, B, size=9, signer=C)]),
        "replayed": lambda t: next_block(t, [t.hub_store.journal(0, 1)[0]]),
        "back in time": lambda t: next_block(
            t, [an_entry(t, size=9)], timestamp_ms=t.clock.now_ms() - 86_400_000
        ),
        "cheap": lambda t: next_block(t, [an_entry(t, size=9)], difficulty=0),
        "elsewhere": lambda t: next_block(t, [an_entry(t, size=9)], previous="7" * 64),
    }.items():
        scene(name, make)


@simulated
async def test_a_node_whose_clock_is_wrong_does_not_accuse_an_honest_hub():
    async with Town.found() as town:
        slow = town.hospitals[A]
        await town.kill(A)
        slow.ports = replace(slow.ports, clock=type(town.clock)(skew_ms=-120_000))
        node = town.start(A)
        await enter(town, B)
        await town.clock.sleep(30.0)
        assert (node.watch.distrust, node.watch.chain.height) == (None, 0)
        assert node.watch.stale_since is not None
        slow.ports.clock.skew_ms = 0
        await town.agree()


@simulated
async def test_an_old_block_served_again_is_refused_and_proves_nothing():
    async with Town.found() as town:
        await enter(town, B)
        await town.agree()
        town.wire(A).tampers["blocks"] = serves(town.hub_store.blocks(0, 1)[0])
        town.wire(A).drop()
        await town.clock.sleep(30.0)
        assert town.node(A).watch.distrust is None
        assert town.node(A).watch.chain.height == 1


@simulated
async def test_a_hub_set_back_to_an_old_backup_is_found_out():
    async with Town.found() as town:
        await enter(town, B)
        await town.agree()
        backup = deepcopy(town.hub_store)
        await enter(town, B, 2)
        await town.agree()
        await town.kill_hub()
        town.hub_store = backup
        town.start_hub()
        await town.clock.sleep(30.0)
        # Fewer blocks than before: a hub that lost some may still find them.
        assert town.node(A).watch.distrust is None
        assert town.node(A).watch.stale_since is not None
        await enter(town, C, 3)
        for member in (A, B, C, D):
            await caught(town, member)
        assert evidence(town, A).keys() <= {"fork", "block"}


@simulated
async def test_two_blocks_at_one_height_are_a_proof_for_anybody():
    async with Town.found() as town:
        one = next_block(town, [an_entry(town, size=9)])
        await enter(town, B)
        await town.agree()
        town.wire(A).tampers["blocks"] = serves(one)
        town.wire(A).drop()
        await caught(town, A)
        fork = b64decode(evidence(town, A)["fork"]["fork"])
        assert verify_fork(fork, hub_witness=town.genesis.hub_witness) == 1


# --- two histories --------------------------------------------------------------------------------


async def split(town, members):
    """Show some nodes another history from here on, by a second hub with the same key."""
    await town.agree()
    second = town.open_hub(deepcopy(town.hub_store))
    for member in members:
        town.wire(member).elsewhere = second
        town.wire(member).drop()
    running = asyncio.ensure_future(second.run())
    await town.until(lambda: second.status()["ready"])
    return second, running


def in_both_worlds(town, second, member):
    """Have the hub put this node's entries and mail into its other world too."""
    card = town.hospitals[member].card

    def also(name):
        async def call(real, *args, **kwargs):
            here = await real(*args, **kwargs)
            await getattr(second.session(card.tls), name)(*args, **kwargs)
            return here

        return call

    for name in ("submit", "send"):
        town.wire(member).tampers[name] = also(name)


@pytest.mark.parametrize("longer", [A, D])
def test_two_histories_are_found_out_by_the_first_message_between_them(longer):
    @simulated
    async def scene():
        async with Town.found() as town:
            patient, *_ = await town.collect(D, 1)
            second, running = await split(town, [C, D])
            shorter = D if longer == A else A
            await enter(town, shorter, 1)
            for number in range(1, 5):
                await enter(town, longer, number)
                await town.clock.sleep(2.0)
            in_both_worlds(town, second, A)
            await town.node(A).share.request(D, wish_of(patient), purpose="treatment")
            await town.clock.sleep(2.0)
            for number in range(5, 10):
                if town.node(D).watch.distrust is None:
                    await enter(town, D, number)
                    await town.clock.sleep(2.0)
            await caught(town, D, 5.0)
            found = evidence(town, D)["fork"]
            carried = b64decode(found["checkpoint"])
            checkpoint = verify_checkpoint(
                carried,
                name="hub",
                public=town.genesis.hub_witness,
                origin=town.node(D).watch.chain.origin,
            )
            assert checkpoint.root != town.node(D).watch.chain.root(checkpoint.size)
            await enters_nothing_more(town, D)
            running.cancel()

    scene()


@simulated
async def test_with_two_histories_neither_becomes_final():
    async with Town.found() as town:
        second, running = await split(town, [C, D])
        for member in (A, D):
            await enter(town, member)
        await town.clock.sleep(60.0)
        for member in (A, B, C, D):
            watch = town.node(member).watch
            assert (watch.chain.height, watch.final_height) == (1, 0)
        assert town.node(A).watch.chain.head_hash != town.node(D).watch.chain.head_hash
        running.cancel()
        assert second.status()["height"] == 1


@simulated
async def test_a_checkpoint_over_blocks_not_yet_seen_waits_until_they_are_here():
    async with Town.found() as town:
        await enter(town, B)
        await town.agree()
        watch, store = town.node(A).watch, town.hospitals[A].store
        head = watch.carried_checkpoint()
        await watch.hear(head)
        assert not store.facts("heard/")
        ahead = Chain(town.genesis)
        for data in [*town.hub_store.blocks(0, 9), next_block(town, [an_entry(town, size=7)])]:
            ahead.append(decode_block(data), now_ms=None)
        body = ahead.checkpoint_body()
        note = assemble(body, [sign_line("hub", town.genesis.hub_witness, HUB_KEY.sign(body))])
        await watch.hear(note)
        assert len(store.facts("heard/")) == 1
        assert watch.distrust is None
        await enter(town, B, 8)
        await caught(town, A)
        assert b64decode(evidence(town, A)["fork"]["checkpoint"]) == note


@simulated
async def test_a_checkpoint_that_the_hub_did_not_sign_is_no_evidence():
    async with Town.found() as town:
        watch = town.node(A).watch
        note = parse_note(watch.newest_checkpoint())
        body = note.text.replace(b"\n1\n", b"\n2\n")
        forged = assemble(body, [sign_line("hub", town.genesis.hub_witness, bytes(64))])
        with pytest.raises(ChainInvalid):
            await watch.hear(forged)
        assert not town.hospitals[A].store.facts("heard/")
        assert watch.distrust is None


@simulated
async def test_a_checkpoint_of_another_history_is_evidence_at_once():
    async with Town.found() as town:
        body = parse_note(town.node(A).watch.newest_checkpoint()).text
        origin, size, _ = body.decode().split("\n", 2)
        other = f"{origin}\n{size}\n{'A' * 43}=\n".encode()

        async def lie(real):
            line = sign_line("hub", town.genesis.hub_witness, HUB_KEY.sign(other))
            return assemble(other, [line])

        town.wire(A).tampers["checkpoint"] = lie
        await enter(town, B)
        await caught(town, A)
        assert "fork" in evidence(town, A)


# --- receipts -------------------------------------------------------------------------------------


def test_a_receipt_that_promises_nothing_is_refused_and_the_entry_handed_in_again():
    @simulated
    async def scene(name, forge):
        async with Town.found() as town:

            async def lie(real, entries):
                return [forge(town, data) for data in entries]

            town.wire(A).tampers["submit"] = lie
            with pytest.raises((ChainInvalid, ReplyInvalid)):
                await enter(town, A)
            store = town.hospitals[A].store
            assert not store.facts("receipt/"), name
            assert len(store.facts("outbox/")) == 1, name
            town.wire(A).tampers.clear()
            await town.kill(A)
            town.start(A)
            await town.agree()
            await town.until(lambda: len(town.hub_store.journal(0, 9)) == 1)
            assert not store.facts("outbox/"), name

    later = 366 * 86_400_000
    for name, forge in {
        "unsigned": lambda t, d: replace(
            decode_receipt(promise(t, d)), signature=bytes(64)
        ).encode(),
        "another entry": lambda t, d: promise(t, d, entry="0" * 64),
        "another chain": lambda t, d: promise(t, d, chain="0" * 64),
        "some day": lambda t, d: promise(t, d, deadline_ms=t.clock.now_ms() + later),
        "no receipt": lambda t, d: b"yes",
    }.items():
        scene(name, forge)
