"""One patient's record between two hospitals, in the in-memory town: every use case is real."""

import pytest

from concura.errors import (
    AccessRefused,
    EntryRefused,
    EnvelopeRefused,
    HubDishonest,
    NotFound,
    NotMember,
    UsageInvalid,
)
from concura.ledger import decode_entry
from concura.ports import MailItem
from concura.sealing import parse
from concura.sharing import PARCEL_TYPE, RecordRequest, pack
from concura.testing.clock import simulated
from concura.testing.town import Town, patients_of, wish_of

A, B, C, D = "hospital-a", "hospital-b", "hospital-c", "hospital-d"


def entries(town):
    return [decode_entry(data).entry for data in town.hub_store.journal(0, 1_000)]


def types(town):
    return [entry.type for entry in entries(town)]


@simulated
async def test_a_record_goes_to_its_reader_and_leaves_no_copy_on_the_way():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 2)
        await town.consent(A, B, patient)
        found = await town.ask(B, A, patient)
        await town.agree()
        arrived = town.hospitals[B].records.of_patient(patient[0]["id"])
        stored = town.hospitals[A].records.of_patient(patient[0]["id"])
        assert found["status"] == "acknowledged"
        assert [one.body for one in arrived] == [one.body for one in stored]
        assert found["arrived"]["resources"] == len(stored) == len(patient)
        assert town.hospitals[B].records.patients() == [patient[0]["id"]]
        assert town.hub_store.mail(B, 0) == town.hub_store.mail(A, 0) == []
        assert not town.hospitals[A].store.facts("parcel/")
        assert not town.hospitals[B].store.facts("wish/")


@simulated
async def test_both_sides_log_the_passage_and_the_record_stays_the_others():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        await town.consent(A, B, patient)
        found = await town.ask(B, A, patient)
        exported, *_ = town.hospitals[A].access.records(0, 9)
        imported, *_ = town.hospitals[B].access.records(0, 9)
        assert (exported.action, exported.who) == ("export", f"member:{B}")
        assert (imported.action, imported.who) == ("import", f"member:{A}")
        assert exported.what == imported.what == found["transfer"]
        assert town.node(B).own_patients() == []
        assert town.node(A).own_patients() == [patient[0]["id"]]


@simulated
async def test_without_a_consent_nothing_is_offered():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        found = await town.ask(B, A, patient)
        assert (found["status"], found["reason"]) == ("refused", "consent.none")
        assert "transfer.offer" not in types(town)
        assert town.hospitals[A].access.size() == 0


@simulated
async def test_an_unknown_patient_gets_the_same_answer_as_one_without_consent():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        known = await town.ask(B, A, patient)
        stranger = [{"identifier": [{"system": "urn:nobody", "value": "0"}]}]
        unknown = await town.ask(B, A, stranger)
        differing = ("transfer",)
        assert {k: v for k, v in known.items() if k not in differing} == {
            k: v for k, v in unknown.items() if k not in differing
        }


@pytest.mark.parametrize(("reader", "purpose"), [(B, "research"), (C, "treatment")])
def test_a_consent_covers_its_reader_and_purpose_only(reader, purpose):
    @simulated
    async def scene():
        async with Town.found() as town:
            patient, *_ = await town.collect(A, 1)
            await town.consent(A, B, patient, purpose="treatment")
            found = await town.ask(reader, A, patient, purpose=purpose)
            assert (found["status"], found["reason"]) == ("refused", "consent.none")

    scene()


@simulated
async def test_after_its_revocation_a_consent_covers_nothing():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        consent = await town.consent(A, B, patient)
        assert (await town.ask(B, A, patient))["status"] == "acknowledged"
        await town.node(A).consents.revoke([consent])
        # Not yet in a block: the ledger's order counts, not what the holder has seen.
        found = await town.ask(B, A, patient)
        assert (found["status"], found["reason"]) == ("refused", "consent.not-active")


@simulated
async def test_an_expired_consent_covers_nothing_and_hides_no_newer_one():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        await town.consent(A, B, patient, seconds=60)
        await town.clock.sleep(61.0)
        found = await town.ask(B, A, patient)
        assert (found["status"], found["reason"]) == ("refused", "consent.expired")
        for _ in range(3):
            await town.consent(A, B, patient, seconds=60)
            await town.clock.sleep(61.0)
        await town.consent(A, B, patient)
        assert (await town.ask(B, A, patient))["status"] == "acknowledged"


@simulated
async def test_a_consent_is_entered_for_patients_of_this_hospital_only():
    async with Town.found() as town:
        with pytest.raises(NotFound):
            await town.consent(A, B, patients_of(A, 1)[0])
        patient, *_ = await town.collect(A, 1)
        consent = await town.consent(A, B, patient)
        with pytest.raises(EntryRefused) as caught:
            await town.node(C).consents.revoke([consent])
        assert caught.value.why == "consent.not-holder"


@simulated
async def test_several_consents_are_ended_in_one_entry():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        granted = [await town.consent(A, one, patient) for one in (B, C, D)]
        await town.node(A).consents.revoke(sorted(granted, reverse=True))
        assert (await town.ask(D, A, patient))["reason"] == "consent.not-active"


@simulated
async def test_a_key_that_the_hub_put_in_place_of_the_readers_is_refused():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        await town.consent(A, B, patient)

        async def swap(real, member):
            return (await real(member)).replace(b'"name":"', b'"name":"X')

        town.wire(A).tampers["card"] = swap
        found = await town.ask(B, A, patient)
        assert (found["status"], found["reason"]) == ("refused", "key.mismatch")
        assert town.hospitals[A].store.facts("evidence/card")
        assert "transfer.offer" not in types(town)
        # Without a signature of the hub it proves nothing: the next, honest card is used.
        assert town.node(A).watch.distrust is None
        del town.wire(A).tampers["card"]
        assert (await town.ask(B, A, patient))["status"] == "acknowledged"


@simulated
async def test_a_reader_does_not_seal_its_request_to_a_substituted_key():
    async with Town.found() as town:

        async def swap(real, member):
            return await real(C)

        town.wire(B).tampers["card"] = swap
        with pytest.raises(HubDishonest):
            await town.node(B).share.request(A, RecordRequest("urn:x", "1"), purpose="treatment")
        with pytest.raises(NotMember):
            await town.node(B).share.request(
                "hospital-z", RecordRequest("urn:x", "1"), purpose="treatment"
            )
        assert types(town) == []


# --- what a member may not do ---------------------------------------------------------------------


async def sealed_parcel(town, resources, *, transfer, consent, holder=A, reader=B):
    """Seal any resources as the holder's own node would, for a transfer that was requested."""
    node = town.node(holder)
    card = await node.share.card(reader)
    return node.share._seal(
        pack(resources),
        to=card,
        media_type=PARCEL_TYPE,
        transfer_id=transfer,
        consent_id=consent,
        purpose="treatment",
    )


async def deliver(town, resources, patient):
    """Have a holder offer and send a parcel of its own choice under a consent; await its end."""
    consent = await town.consent(A, B, patient)
    await town.kill(A)
    transfer = await town.node(B).share.request(A, wish_of(patient), purpose="treatment")
    node = town.start(A)
    town.hospitals[A].task.cancel()  # its loops rest: the test plays them
    await town.until(lambda: town.platform.ordering.status["waiting"] == 0)
    node.watch.load()
    await node.watch.step()
    data = await sealed_parcel(town, resources, transfer=transfer, consent=consent)
    digest = parse(data).digest
    await node.enter.enter(
        "transfer.offer", {"transfer": transfer, "consent": consent, "digest": digest}
    )
    await town.node(A).ports.hub.send(B, "record", transfer, data)
    await town.until(lambda: not town.hub_store.mail(B, 0))
    return town.node(B).share.status(transfer)


@simulated
async def test_a_sender_cannot_write_over_a_record_of_the_receiver():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        own, *_ = await town.collect(B, 1)
        changed = [{**own[0], "gender": "other"}]
        found = await deliver(town, changed, patient)
        assert found["arrived"] is None
        assert town.hospitals[B].records.get("Patient", own[0]["id"]).body == own[0]


@simulated
async def test_a_sender_cannot_add_to_a_record_of_the_receiver():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        own, *_ = await town.collect(B, 1)
        observation = next(r for r in own if r["resourceType"] == "Observation")
        before = town.hospitals[B].records.of_patient(own[0]["id"])
        found = await deliver(town, [{**observation, "id": "new-one"}], patient)
        assert found["arrived"] is None
        assert town.hospitals[B].records.of_patient(own[0]["id"]) == before


@simulated
async def test_a_sender_cannot_slip_a_second_patient_in():
    async with Town.found() as town:
        patient, other = await town.collect(A, 2)
        found = await deliver(town, [*patient, *other], patient)
        assert found["arrived"] is None
        assert town.hospitals[B].records.patients() == []


@simulated
async def test_a_sender_cannot_send_another_patient_than_the_one_asked_for():
    async with Town.found() as town:
        patient, other = await town.collect(A, 2)
        found = await deliver(town, other, patient)
        assert found["arrived"] is None
        assert town.hospitals[B].records.patients() == []


@simulated
async def test_a_sender_cannot_take_a_resource_id_of_another_patient():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        own, *_ = await town.collect(B, 1)
        taken = next(r for r in own if r["resourceType"] == "Observation")["id"]
        mixed = [
            patient[0],
            *({**r, "id": taken} for r in patient if r["resourceType"] == "Observation"),
        ]
        found = await deliver(town, mixed[:2], patient)
        assert found["arrived"] is None
        assert town.hospitals[B].records.patients() == [own[0]["id"]]


@simulated
async def test_the_parcel_that_is_played_by_hand_arrives_when_it_is_honest():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        found = await deliver(town, patient, patient)
        assert found["arrived"]["patient"] == patient[0]["id"]


@simulated
async def test_a_record_is_refused_under_another_transfer():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        await town.consent(A, B, patient)
        copies = []

        async def copy(real, recipient, kind, transfer, data):
            copies.append(data)
            await real(recipient, kind, transfer, data)

        town.wire(A).tampers["send"] = copy
        await town.ask(B, A, patient)
        second = await town.node(B).share.request(A, wish_of(patient), purpose="treatment")
        with pytest.raises(AccessRefused):
            await town.node(A).ports.hub.send(B, "record", second, copies[0])
        # Also where the hub plays along and puts it into the mailbox.
        await town.agree()
        item = MailItem(99, B, A, "record", second, copies[0])
        with pytest.raises(EnvelopeRefused):
            await town.node(B).share._receive(item)


@simulated
async def test_nobody_reads_or_deletes_the_mail_of_others():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        await town.consent(A, B, patient)
        await town.kill(B)
        node = town.start(B)
        await town.until(lambda: node.watch.chain.height >= 1)
        transfer = await node.share.request(A, wish_of(patient), purpose="treatment")
        await town.kill(B)
        await town.until(lambda: bool(town.hub_store.mail(B, 0)))
        (waiting,) = town.hub_store.mail(B, 0)
        assert (waiting.transfer, waiting.sender) == (transfer, A)
        for stranger in (C, D):
            hub = town.node(stranger).ports.hub
            assert await hub.mail(0, wait_s=0.0) == []
            with pytest.raises(NotFound):
                await hub.delete_mail(waiting.number)
        assert town.hub_store.mail(B, 0) == [waiting]


@simulated
async def test_the_mailbox_takes_only_what_an_accepted_entry_names():
    async with Town.found() as town:
        patient, *_ = await town.collect(A, 1)
        requests = []

        async def keep(real, recipient, kind, transfer, data):
            requests.append((transfer, data))
            await real(recipient, kind, transfer, data)

        town.wire(B).tampers["send"] = keep
        await town.ask(B, A, patient)
        (transfer, data) = requests[0]
        hub_b, hub_c = town.node(B).ports.hub, town.node(C).ports.hub
        with pytest.raises(AccessRefused):
            await hub_c.send(A, "request", transfer, data)
        with pytest.raises(AccessRefused):
            await hub_b.send(D, "request", transfer, data)
        with pytest.raises(AccessRefused):
            await hub_b.send(A, "record", transfer, data)
        with pytest.raises(AccessRefused):
            await hub_b.send(A, "request", "0" * 32, data)
        with pytest.raises(UsageInvalid):
            await hub_b.send(A, "letter", transfer, data)
        with pytest.raises(EnvelopeRefused):
            await hub_b.send(A, "request", transfer, b"no envelope")
