"""Founding a consortium, joining it later, and who may call what: in the in-memory town."""

from dataclasses import replace

import pytest

from concura.canonical import decode
from concura.errors import (
    ChainInvalid,
    EntryRefused,
    HubUnreachable,
    InvitationInvalid,
    NotFound,
    NotMember,
    UsageInvalid,
)
from concura.hospital import apply, found
from concura.ledger import (
    Entry,
    blinded_root,
    decode_receipt,
    founding_message,
    members,
    message,
    sign_entry,
)
from concura.limits import MEMBERS_MAX
from concura.ports import Hub
from concura.sealing import fingerprint
from concura.testing.clock import simulated
from concura.testing.ledgers import party
from concura.testing.town import Counted, Town, key_store

A, B, C, D, E = (f"hospital-{letter}" for letter in "abcde")
FOUR = (A, B, C, D)
DAYS = 24 * 3600.0


def signature(town, member):
    return key_store(member).sign(founding_message(town.genesis.chain))


def outsider(town):
    """A hospital with an invitation that is no member yet."""
    return town.settle(party(E).card)


def application(town, card, *, signer=E, time_ms=None, nonce=1):
    entry = Entry(
        chain=town.genesis.chain,
        type="member.apply",
        author=card.member,
        time_ms=town.clock.now_ms() if time_ms is None else time_ms,
        nonce=f"{nonce:032x}",
        body={"card": card.to_json()},
    )
    keys = key_store(signer)
    return sign_entry(entry, fingerprint(keys.public("sign")), keys.sign(message(entry)))


async def asked_to_join(town):
    late = outsider(town)
    keys, hub = key_store(E), late.ports.hub
    await apply(
        late.card, town.genesis, hub=hub, keys=keys, clock=town.clock, randomness=Counted(E)
    )
    return late


async def vote(town, member, card):
    body = {"member": card.member, "card_digest": card.digest}
    await town.node(member).enter.enter("member.admit", body)


@simulated
async def test_the_chain_begins_when_every_founder_has_signed():
    town = Town.found(4)
    platform = town.start_hub()
    hub = platform.session(None)
    for member in FOUR[:3]:
        await hub.found(member, signature(town, member))
    await town.clock.sleep(DAYS)
    assert platform.status() == {"ready": False, "height": -1, "founders_missing": 1}
    with pytest.raises(NotFound):
        await platform.session(party(A).card.tls).blocks(0, wait_s=0.0)
    await hub.found(D, signature(town, D))
    await town.until(lambda: platform.status()["ready"])
    assert platform.status()["height"] == 0
    assert await town.kill_hub() is None


@simulated
async def test_a_signature_that_is_not_the_founders_is_refused():
    town = Town.found(4)
    hub = town.start_hub().session(None)
    for member, wrong in [
        (A, signature(town, B)),
        (A, key_store(A).sign(b"something else")),
        (A, b""),
        ("hospital-z", signature(town, A)),
    ]:
        with pytest.raises(NotMember):
            await hub.found(member, wrong)
    assert decode(await hub.genesis())["signatures"] == {}
    await town.kill_hub()


@simulated
async def test_founding_goes_on_after_the_hub_was_killed():
    town = Town.found(4)
    for member in FOUR:
        await town.start_hub().session(None).found(member, signature(town, member))
        await town.kill_hub()
    platform = town.start_hub()
    await town.until(lambda: platform.status()["ready"])
    await town.kill_hub()
    assert len(town.hub_store.blocks(0, 9)) == 1


@simulated
async def test_a_founder_signs_only_a_genesis_with_its_own_card():
    async with Town.found() as town:
        hub, keys = town.node(A).ports.hub, key_store(A)
        other = replace(party(A).card, name="Another name")
        with pytest.raises(InvitationInvalid):
            await found(other, town.genesis, hub=hub, keys=keys)
        with pytest.raises(InvitationInvalid):
            await found(party(E).card, town.genesis, hub=hub, keys=key_store(E))


@simulated
async def test_a_later_hospital_is_admitted_by_a_quorum_then_shares():
    async with Town.found() as town:
        late = await asked_to_join(town)
        town.start(E)
        patient, *_ = await town.collect(A, 1)
        for voter in (A, B):
            await vote(town, voter, late.card)
        await town.clock.sleep(5.0)
        assert E not in members(town.platform.ordering.state)
        with pytest.raises(NotMember):
            await late.ports.hub.mail(0, wait_s=0.0)
        await vote(town, C, late.card)
        await town.agree()
        assert E in members(late.node.watch.chain.state)
        assert late.node.status()["is_member"]
        await town.consent(A, E, patient)
        assert (await town.ask(E, A, patient))["status"] == "acknowledged"


@simulated
async def test_an_applicant_reads_the_ledger_and_enters_nothing():
    async with Town.found() as town:
        late = await asked_to_join(town)
        node = town.start(E)
        await town.agree([A])
        await town.until(lambda: node.watch.chain.height == town.platform.ordering.stored)
        with pytest.raises(NotMember):
            await node.enter.enter("access.anchor", {"root": "0" * 64, "size": 1})
        with pytest.raises(NotMember):
            await node.enter.enter("member.admit", {"member": E, "card_digest": late.card.digest})
        assert not late.store.facts("outbox/")
        with pytest.raises(NotMember):
            await late.ports.hub.cosign(1, b"")


@simulated
async def test_an_application_proves_that_its_author_has_the_key():
    async with Town.found() as town:
        hub = outsider(town).ports.hub
        card = party(E).card
        with pytest.raises(EntryRefused) as caught:
            await hub.submit([application(town, card, signer=D)])
        assert caught.value.why == "entry.key"
        twice = replace(card, wrap=card.sign)
        with pytest.raises(EntryRefused):
            await hub.submit([application(town, twice)])
        taken = replace(card, wrap=party(A).card.wrap)
        with pytest.raises(EntryRefused) as caught:
            await hub.submit([application(town, taken)])
        assert caught.value.why == "member.key-taken"


@simulated
async def test_the_list_of_those_who_wait_is_bounded(monkeypatch):
    async with Town.found() as town:
        hub, card = outsider(town).ports.hub, party(E).card
        monkeypatch.setattr("concura.hub.platform.MEMBERS_MAX", 3)
        for number in range(3):
            one = replace(card, name=f"Hospital {number}")
            await hub.submit([application(town, one, nonce=number)])
        with pytest.raises(NotMember):
            await hub.submit([application(town, card, nonce=9)])
        assert MEMBERS_MAX > 3


@simulated
async def test_an_authority_that_is_none_stops_neither_the_hub_nor_the_others():
    refused = []

    def strict(der):
        if der == party(E).card.authority:
            refused.append(der)
            raise UsageInvalid(detail="no certificate")

    async with Town.found() as town:
        town.platform._on_authority = strict
        await asked_to_join(town)
        await town.agree()
        await town.kill_hub()
        town.start_hub()._on_authority = strict
        await town.agree()
        assert len(refused) == 2
        assert town.platform.status()["entries"] == 1


@simulated
async def test_a_hub_that_answers_an_application_with_a_wrong_receipt_is_not_believed():
    async with Town.found() as town:
        late = outsider(town)

        async def other(real, entries):
            (data,) = await real(entries)
            receipt = decode_receipt(data)
            return [replace(receipt, position=receipt.position + 1).encode()]

        late.wire.tampers["submit"] = other
        with pytest.raises(ChainInvalid):
            await apply(
                late.card,
                town.genesis,
                hub=late.ports.hub,
                keys=key_store(E),
                clock=town.clock,
                randomness=Counted(E),
            )


# --- who calls ------------------------------------------------------------------------------------


def calls(hub: Hub):
    """Every call of the port that is not open to all, by name."""
    return {
        "blocks": lambda: hub.blocks(0, wait_s=0.0),
        "checkpoint": hub.checkpoint,
        "cosign": lambda: hub.cosign(1, b""),
        "card": lambda: hub.card(A),
        "send": lambda: hub.send(A, "request", "0" * 32, b""),
        "mail": lambda: hub.mail(0, wait_s=0.0),
        "delete_mail": lambda: hub.delete_mail(1),
        "contribute": lambda: hub.contribute("0" * 32, "keys", b""),
        "put_task": lambda: hub.put_task("0" * 32, b""),
        "task": lambda: hub.task("0" * 32, wait_s=0.0),
        "mask_keys": lambda: hub.mask_keys("0" * 32, wait_s=0.0),
        "total": lambda: hub.total("0" * 32, "counts", wait_s=0.0),
    }


OPEN = {"genesis", "found", "submit"}


def test_the_list_of_guarded_calls_is_the_whole_port():
    port = {name for name in vars(Hub) if not name.startswith("_")}
    assert set(calls(Town.found(1).hospitals[A].ports.hub)) | OPEN == port


@pytest.mark.parametrize("tls", [None, fingerprint(b"a stranger's key")])
def test_a_stranger_is_refused_at_every_call(tls):
    @simulated
    async def scene():
        async with Town.found() as town:
            for name, call in calls(town.platform.session(tls)).items():
                with pytest.raises(NotMember):
                    await call()
                assert name

    scene()


@simulated
async def test_the_caller_is_known_by_its_tls_key_at_every_request():
    async with Town.found() as town:
        session = town.platform.session(party(E).card.tls)
        with pytest.raises(NotMember):
            await session.checkpoint()
        await asked_to_join(town)
        assert await session.checkpoint()
        with pytest.raises(NotMember):
            await session.card(A)
        for voter in (A, B, C):
            await vote(town, voter, party(E).card)
        assert decode(await session.card(E)) == party(E).card.to_json()


@simulated
async def test_entries_of_another_author_are_refused():
    async with Town.found() as town:
        taken = []

        async def keep(real, entries):
            taken.extend(entries)
            raise HubUnreachable(url="x", detail="x")

        town.wire(A).tampers["submit"] = keep
        with pytest.raises(HubUnreachable):
            await town.node(A).enter.enter("access.anchor", {"root": "0" * 64, "size": 1})
        with pytest.raises(NotMember):
            await town.node(B).ports.hub.submit(taken)
        with pytest.raises(EntryRefused):
            await town.node(B).ports.hub.submit([b"{}"])
        with pytest.raises(EntryRefused) as caught:
            await town.platform.session(party(A).card.tls).submit(
                [taken[0].replace(b'"size":1', b'"size":2')]
            )
        assert caught.value.why == "entry.signature"
        assert town.hub_store.journal(0, 9) == []


@simulated
async def test_the_same_entry_handed_in_twice_stands_once():
    async with Town.found() as town:
        await town.node(A).enter.enter("access.anchor", {"root": "0" * 64, "size": 1})
        (data,) = town.hub_store.journal(0, 9)
        receipts = await town.node(A).ports.hub.submit([data, data])
        assert [decode_receipt(one).position for one in receipts] == [0, 0]
        assert town.hub_store.journal(0, 9) == [data]


@simulated
async def test_a_line_that_is_no_cosignature_of_the_caller_is_refused():
    async with Town.found() as town:
        note = await town.node(A).ports.hub.checkpoint()
        line = next(
            one.encode() + b"\n" for one in note.decode().split("\n") if one.startswith(f"— {B} ")
        )
        for wrong in (line, b"", b"\xff", line[:-10] + b"\n"):
            with pytest.raises(ChainInvalid):
                await town.node(A).ports.hub.cosign(1, wrong)
        # Over another head it counts for nothing, and is no fault: heads overtake each other.
        await town.node(A).ports.hub.cosign(7, line)
        assert town.hub_store.cosignatures(7) == {}


@simulated
async def test_a_week_passes_in_a_moment_and_leaves_the_town_as_it_was():
    async with Town.found(wait_s=3600.0) as town:
        await town.clock.sleep(7 * DAYS)
        assert town.clock.monotonic_s() > 7 * DAYS
        for hospital in town.hospitals.values():
            status = hospital.node.status()
            assert (status["stale_since"], status["distrust"]) == (None, None)
            assert status["final"] == status["height"] == 0


@simulated
async def test_the_access_log_is_anchored_when_it_grew_and_only_its_blinded_root():
    async with Town.found(anchor_s=10.0) as town:
        patient, *_ = await town.collect(A, 1)
        await town.consent(A, B, patient)
        await town.ask(B, A, patient)
        await town.clock.sleep(60.0)
        await town.agree()
        anchors = town.platform.ordering.state.get(f"anchor/{A}")
        log = town.hospitals[A].access
        assert anchors["size"] == log.size() == 1
        assert anchors["root"] != log.root()
        (blinding,) = town.hospitals[A].store.facts("anchor/").values()
        assert anchors["root"] == blinded_root(bytes.fromhex(log.root()), blinding)
        journal = b"".join(town.hub_store.journal(0, 99))
        assert journal.count(b'"access.anchor"') == 2
        assert await town.node(C).anchor.anchor() == 0
