"""The mission's main program, with real parts behind its names.

The article that Concura answers to ends in a short program: load medical data, generate a key,
encrypt, transmit, process, decide. Here it is, in one process: a patient of one hospital is sealed
to another (AES-256-GCM, RSA-3072), the transfer stands on a mined and signed ledger, four hospitals
learn one model without moving a record, and the other hospital decides.

It does NOT start a hub or nodes, speak TLS or store anything: `concura demo` does all of that.

Run it: `python examples/article.py`. A demonstration, not for care.
"""

import hashlib
import ssl
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from concura.adapters.certificates import create_authority, issue, tls_fingerprint
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.system import SystemClock, SystemRandomness
from concura.adapters.table_files import TableFolder, shipped_folder
from concura.decisions import Decision, decide
from concura.errors import say
from concura.learning import Cohort, Model, Study, make_study, run, sides
from concura.ledger import (
    Block,
    Chain,
    Entry,
    Genesis,
    MemberCard,
    decode_entry,
    founding_message,
    genesis_entries,
    members,
    message,
    quorum_of,
    sealing_message,
    search,
    sign_entry,
    transfer,
)
from concura.records import extract, record_number
from concura.sealing import (
    Context,
    check_context,
    check_digest,
    check_recipient,
    fingerprint,
    parse,
    pseudonym,
    seal,
    signing_input,
    unseal,
    verify,
)
from concura.sharing import PARCEL_TYPE, open_parcel, pack
from concura.types import Digest, JsonObject, MemberId, StudyId

HOLDER, READER = MemberId("hospital-a"), MemberId("hospital-b")
PURPOSE = "treatment"
HOUR_MS = 3_600_000
DIFFICULTY_BITS = 16
clock, randomness = SystemClock(), SystemRandomness()


@dataclass(frozen=True, slots=True)
class Keys:
    """Each hospital's keys and card, and those of the hub that seals blocks."""

    hospitals: dict[MemberId, FileKeyStore]
    cards: dict[MemberId, MemberCard]
    hub: FileKeyStore
    hub_authority: bytes


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A sealed record on its way, with what the ledger has to say about it."""

    data: bytes
    context: Context


class Ledger:
    """One chain in memory; every party would check each of its blocks again."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        founders = tuple(keys.cards.values())
        genesis = Genesis(
            name="The article's hospitals",
            created_ms=clock.now_ms(),
            difficulty_bits=DIFFICULTY_BITS,
            quorum=quorum_of(len(founders)),
            hub_name="hub",
            hub_witness=keys.hub.public("witness"),
            hub_authority=keys.hub_authority,
            founders=founders,
        )
        self.chain = Chain(genesis)
        founding = founding_message(genesis.chain)
        signatures = {member: store.sign(founding) for member, store in keys.hospitals.items()}
        self._append(genesis_entries(genesis, signatures))

    def enter(self, author: MemberId, kind: str, body: JsonObject) -> None:
        """Sign an entry, mine a block around it, and take it in if every rule allows it."""
        now = clock.now_ms()
        entry = Entry(self.chain.id, kind, author, now, randomness.draw(16).hex(), body)
        store = self.keys.hospitals[author]
        data = sign_entry(entry, fingerprint(store.public("sign")), store.sign(message(entry)))
        self.chain.check_entry(decode_entry(data), now_ms=now)
        self._append((data,))

    def _append(self, entries: tuple[bytes, ...]) -> None:
        header = self.chain.propose(entries, timestamp_ms=clock.now_ms())
        nonce = search(header.pack(), DIFFICULTY_BITS, start=0, count=2**32)
        header = replace(header, nonce=nonce or 0)
        block = Block(header, self.keys.hub.witness(sealing_message(header)), entries)
        self.chain.append(block, now_ms=clock.now_ms())


def load_medical_data() -> TableFolder:
    """Load the Worcester Heart Attack Study: 500 patients, dealt to four hospitals."""
    return shipped_folder()


def generate_key(folder: Path) -> Keys:
    """Make RSA-3072 keys for two hospitals and the hub, each with its own authority."""
    now = datetime.fromtimestamp(clock.now_ms() / 1000, tz=UTC)
    stores, cards, authorities = {}, {}, {}
    for name in (HOLDER, READER, MemberId("hub")):
        pem = create_authority(folder / name / "tls", name, now=now)
        authorities[name] = ssl.PEM_cert_to_DER_cert(pem.decode())
        stores[name] = FileKeyStore.create(folder / name / "keys")
        cards[name] = MemberCard(
            member=name,
            name=name,
            sign=stores[name].public("sign"),
            wrap=stores[name].public("wrap"),
            witness=stores[name].public("witness"),
            tls=tls_fingerprint(issue(folder / name / "tls", names=[name], now=now)),
            authority=authorities[name],
        )
    hub, _ = stores.pop(MemberId("hub")), cards.pop(MemberId("hub"))
    return Keys(stores, cards, hub, authorities[MemberId("hub")])


def encrypt_data(patient: list[JsonObject], ledger: Ledger) -> Encrypted:
    """Sign a patient's record as its holder and seal it to the reader: there is no plain branch."""
    holder, reader = ledger.keys.hospitals[HOLDER], ledger.keys.cards[READER]
    context = Context(
        chain=ledger.chain.id,
        transfer=randomness.draw(16).hex(),
        consent=randomness.draw(16).hex(),
        purpose=PURPOSE,
        sender=HOLDER,
        recipients=(fingerprint(reader.wrap),),
        checkpoint=ledger.chain.checkpoint_body().decode(),
    )
    salt = randomness.draw(32)
    signed = signing_input(context, pack(patient), media_type=PARCEL_TYPE, salt=salt)
    data = seal(
        signed,
        holder.sign(signed),
        context=context,
        salt=salt,
        recipients=[reader.wrap],
        content_key=randomness.draw(32),
        iv=randomness.draw(12),
    )
    return Encrypted(data, context)


def transmit_data(sent: Encrypted, ledger: Ledger) -> list[JsonObject]:
    """Put consent and transfer on the ledger, then let the reader check, open and acknowledge."""
    at, digest = sent.context, parse(sent.data).digest
    subject = pseudonym(
        randomness.draw(32), chain=at.chain, purpose=PURPOSE, holder=HOLDER, reader=READER
    )
    consent = {"id": at.consent, "subject": subject}
    until = clock.now_ms() + HOUR_MS
    asked = hashlib.sha256(randomness.draw(32)).hexdigest()
    step: JsonObject = {"transfer": at.transfer}
    ledger.enter(
        HOLDER,
        "consent.grant",
        {"purpose": PURPOSE, "reader": READER, "not_after_ms": until, "consents": [consent]},
    )
    ledger.enter(
        READER,
        "transfer.request",
        {**step, "holder": HOLDER, "purpose": PURPOSE, "request_digest": asked},
    )
    ledger.enter(HOLDER, "transfer.offer", {**step, "consent": at.consent, "digest": digest})
    patient = _open(sent.data, ledger)
    ledger.enter(READER, "transfer.acknowledge", {**step, "digest": digest})
    return patient


def _open(data: bytes, ledger: Ledger) -> list[JsonObject]:
    """Check a sealed record in the numbered steps of docs/spec/envelope.md, as its reader."""
    reader, mine = ledger.keys.hospitals[READER], fingerprint(ledger.keys.cards[READER].wrap)
    sealed = parse(data)
    offer = transfer(ledger.chain.state, sealed.transfer)
    if offer is None:
        raise SystemExit("no such transfer on the ledger")
    check_digest(sealed, offer["digest"])
    opened = unseal(sealed, reader.unwrap(sealed.encrypted_key(mine)))
    sender = members(ledger.chain.state)[offer["holder"]]
    record = verify(opened, sender_public=sender.sign)
    check_context(
        record,
        chain=ledger.chain.id,
        transfer=sealed.transfer,
        consent=offer["consent"],
        purpose=offer["purpose"],
        sender=offer["holder"],
    )
    check_recipient(record, mine)
    return open_parcel(record.body)


def plan(data: TableFolder) -> Study:
    """Fix everything about the study before any patient is looked at."""
    return make_study(
        "default",
        study_id=StudyId("00" * 16),
        seed=0,
        features=data.features.names,
        features_digest=Digest(data.features.digest),
        outcome=data.features.outcome.horizon,
        horizon_days=365,
    )


def process_data(data: TableFolder, study: Study) -> Model:
    """Learn one model from four hospitals: masked sums travel, records stay."""
    cohorts = {}
    for hospital in data.rows:
        found = [
            (record_number(one), extract(one, data.features)) for one in data.resources(hospital)
        ]
        cohorts[hospital] = Cohort(
            np.stack([known.values for _, known in found]),
            np.array([bool(known.label) for _, known in found]),
            tuple(number for number, _ in found),
        )
    return run(study, cohorts, mask_keys={hospital: randomness.draw(32) for hospital in cohorts})


def support_decision(model: Model, patient: list[JsonObject], data: TableFolder) -> Decision:
    """Decide for one patient, from what stands in the record alone."""
    values = extract(patient, data.features).values
    return decide(model, dict(zip(data.features.names, map(float, values), strict=True)))


def choose_patient(data: TableFolder, study: Study) -> list[JsonObject]:
    """Choose the oldest patient of the holder who takes no part in training."""
    patients = list(data.resources(HOLDER))
    held_out, _ = sides(study, [record_number(one) for one in patients])
    age = data.features.names.index("age")
    candidates = [one for one, is_held in zip(patients, held_out, strict=True) if is_held]
    return max(candidates, key=lambda one: float(extract(one, data.features).values[age]))


def main() -> None:
    """Play the article's program from beginning to end."""
    with tempfile.TemporaryDirectory() as folder:
        medical_data = load_medical_data()
        study = plan(medical_data)
        ledger = Ledger(generate_key(Path(folder)))
        encrypted_data = encrypt_data(choose_patient(medical_data, study), ledger)
        received_data = transmit_data(encrypted_data, ledger)
        model = process_data(medical_data, study)
        decision = support_decision(model, received_data, medical_data)
    print(f"Sealed record: {len(encrypted_data.data)} bytes")
    print(f"Ledger: {ledger.chain.height + 1} blocks, head {ledger.chain.head_hash[:16]}")
    print(f"Model: {len(study.features)} inputs, {study.rounds} rounds, {model.version}")
    print(say("decision.line", "en", verdict=say(f"decision.{decision.verdict}", "en")))


if __name__ == "__main__":
    main()
