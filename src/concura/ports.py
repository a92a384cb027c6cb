"""The few Protocols between the core and the world, in MUST / MUST NOT / MAY.

Use cases in `hub/` and `hospital/` see the world through these alone; each is written for at least
two adapters, the in-memory one of `concura.testing` counted. Foreign exceptions MUST NOT cross a
port: an adapter raises errors of `concura.errors` only.

`Bell` is the one thing here that does something: waiting, in terms of the Clock port, for both
kinds of use cases.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from concura.types import Digest, EntryId, Height, JsonObject, MemberId, PatientId, StudyId, TimeMs

__all__ = [
    "AccessLog",
    "AccessRecord",
    "Bell",
    "Clock",
    "Hub",
    "HubStore",
    "KeyStore",
    "MailItem",
    "Miner",
    "NodePorts",
    "NodeStore",
    "ObjectStore",
    "PostQuantumKeys",
    "Randomness",
    "RecordStore",
    "StoredResource",
]


class Clock(Protocol):
    """Time. MUST never step back in `monotonic_s`; `now_ms` MAY."""

    def now_ms(self) -> TimeMs:
        """Return milliseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class Randomness(Protocol):
    """Unpredictable bytes. MUST be the operating system's generator outside of tests."""

    def draw(self, count: int) -> bytes:
        """Return `count` fresh bytes."""
        ...


class KeyStore(Protocol):
    """A hospital's private keys. MUST NOT let a private key out unless it declares `export`."""

    def capabilities(self) -> frozenset[str]:
        """Return what it can do, out of {sign, unwrap, wrap_aes, export, destroy}."""
        ...

    def public(self, use: str) -> bytes:
        """Return the public key for `sign`, `wrap` (SPKI in DER) or `witness` (raw)."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign with the signing key: RSA-PSS, SHA-256, salt of 32 bytes."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """Open a content key with the wrap key: RSA-OAEP, SHA-256. Raises EnvelopeRefused."""
        ...

    def witness(self, message: bytes) -> bytes:
        """Sign with the witness key: Ed25519."""
        ...

    def wrap_aes(self, key: bytes) -> bytes:
        """Wrap an AES key under the root (RFC 3394)."""
        ...

    def unwrap_aes(self, wrapped: bytes) -> bytes:
        """Open a key wrapped by `wrap_aes`. Raises KeyUnavailable."""
        ...


class PostQuantumKeys(Protocol):
    """A reader's post-quantum wrap key, beside its key store. MUST NOT let the private key out."""

    def capabilities(self) -> frozenset[str]:
        """Return what it can do, out of {unwrap_pq}."""
        ...

    def public_pq(self) -> bytes:
        """Return the public key: ML-KEM-768, then X25519; 1216 bytes."""
        ...

    def unwrap_pq(self, wrapped: bytes, *, info: bytes) -> bytes:
        """Open a content key sealed with HPKE; `info` names envelope and reader.

        Raises EnvelopeRefused.
        """
        ...


class Miner(Protocol):
    """Work. MUST NOT hold up the caller's event loop: hashing keeps the interpreter lock."""

    async def mine(self, header: bytes, difficulty_bits: int) -> int:
        """Return a nonce that makes SHA-256(header with that nonce) smaller than the target."""
        ...


@dataclass(frozen=True, slots=True)
class MailItem:
    """One sealed object in a mailbox: who it is for, what it is, and its number there."""

    number: int
    recipient: MemberId
    sender: MemberId
    kind: str  # request | record
    transfer: str
    data: bytes


class HubStore(Protocol):
    """What the hub keeps. Every `async` write MUST be durable when it returns (group commit)."""

    async def append(self, entries: Sequence[tuple[EntryId, bytes]]) -> list[int]:
        """Put signed entries into the journal; return their positions, counted from 0."""
        ...

    def journal(self, start: int, limit: int) -> list[bytes]:
        """Return up to `limit` signed entries from position `start`."""
        ...

    def position(self, entry: EntryId) -> int | None:
        """Return where an entry stands in the journal, or None."""
        ...

    async def put_block(self, height: Height, block: bytes, checkpoint: bytes) -> None:
        """Store a sealed block with the checkpoint over the log that ends in it."""
        ...

    def blocks(self, start: Height, limit: int) -> list[bytes]:
        """Return up to `limit` blocks from height `start`."""
        ...

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, or b"" before genesis."""
        ...

    async def put_cosignature(self, size: int, member: MemberId, line: bytes) -> None:
        """Keep a witness's signature line over the checkpoint of log size `size`."""
        ...

    def cosignatures(self, size: int) -> dict[MemberId, bytes]:
        """Return the signature lines over the checkpoint of log size `size`."""
        ...

    async def put_mail(self, item: MailItem) -> int:
        """Put an object into a mailbox; return its number. Idempotent per transfer and kind."""
        ...

    def mail(self, recipient: MemberId, after: int) -> list[MailItem]:
        """Return the items for `recipient` with a number greater than `after`."""
        ...

    async def delete_mail(self, number: int) -> None:
        """Remove an item that was delivered."""
        ...

    async def put_contribution(
        self, study: StudyId, step: str, member: MemberId, data: bytes
    ) -> None:
        """Keep a contribution or a mask key. A second one for the same step MUST NOT replace it."""
        ...

    def contributions(self, study: StudyId, step: str) -> dict[MemberId, bytes]:
        """Return what has come in for one step."""
        ...

    def count_contributions(self, study: StudyId, step: str) -> int:
        """Return how many have come in for one step, without reading them."""
        ...

    async def put_fact(self, name: str, value: bytes) -> None:
        """Keep a named value: genesis, its signatures, directory cards."""
        ...

    def fact(self, name: str) -> bytes | None:
        """Return a named value."""
        ...

    def facts(self, prefix: str) -> dict[str, bytes]:
        """Return all named values whose name starts with `prefix`."""
        ...


class NodeStore(Protocol):
    """What a node keeps besides health records: replica of the ledger, receipts, outbox, jobs."""

    async def put_blocks(self, blocks: Sequence[tuple[Height, bytes]]) -> None:
        """Keep verified blocks. Durable when it returns."""
        ...

    def blocks(self, start: Height, limit: int) -> list[bytes]:
        """Return up to `limit` blocks from height `start`."""
        ...

    async def put_fact(self, name: str, value: bytes) -> None:
        """Keep a named value: checkpoints, receipts, outbox entries, models. Durable."""
        ...

    async def delete_fact(self, name: str) -> None:
        """Forget a named value."""
        ...

    def fact(self, name: str) -> bytes | None:
        """Return a named value."""
        ...

    def facts(self, prefix: str) -> dict[str, bytes]:
        """Return all named values whose name starts with `prefix`, ordered by name."""
        ...


class ObjectStore(Protocol):
    """Segments of sealed large objects between members, by the object's root. It sees ciphertext.

    A segment MUST be kept whole or not at all. What it returns MUST be taken as bytes from a
    stranger: the caller checks each segment against the list that the root vouches for.
    """

    async def put_segment(self, root: Digest, number: int, data: bytes) -> None:
        """Keep one segment; the same one again changes nothing. Durable when it returns."""
        ...

    async def segment(self, root: Digest, number: int) -> bytes:
        """Return one segment. Raises NotFound."""
        ...

    async def segments(self, root: Digest) -> frozenset[int]:
        """Return the numbers of the segments that are there."""
        ...

    async def delete_object(self, root: Digest) -> None:
        """Remove all segments of an object that was delivered."""
        ...


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One version of one FHIR resource as it was read back."""

    type: str
    id: str
    version: int
    patient: PatientId | None
    body: JsonObject


class RecordStore(Protocol):
    """A hospital's health records, encrypted at rest. Reads are synchronous and called inline."""

    async def put(self, resources: Sequence[JsonObject]) -> list[tuple[str, str, int]]:
        """Store checked resources, all or none; return (type, id, version) of each. Durable."""
        ...

    def get(self, resource_type: str, resource_id: str) -> StoredResource | None:
        """Return the newest version, or None."""
        ...

    def of_patient(self, patient: PatientId) -> list[StoredResource]:
        """Return every resource of one patient, newest versions."""
        ...

    def patients(self) -> list[PatientId]:
        """Return all patients, ordered by id."""
        ...

    def by_identifier(self, system: str, value: str) -> PatientId | None:
        """Find a patient by business identifier, over a keyed token."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return the number of resources by type."""
        ...

    def pseudonym_key(self, patient: PatientId) -> bytes:
        """Return the patient's pseudonym key, 32 bytes. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One read, search or export inside a hospital (PROTOCOLS §6)."""

    time_ms: TimeMs
    who: str  # user or part of the node
    action: str  # read | search | export | decide | train
    what: str  # token of the patient or the study, never a name
    why: str  # purpose


class AccessLog(Protocol):
    """The node's own log of reads. "No log, no data": callers MUST append before they show."""

    async def append(self, records: Sequence[AccessRecord]) -> int:
        """Add records; return the size of the log. Durable when it returns. Raises StoreFull."""
        ...

    def size(self) -> int:
        """Return the number of records."""
        ...

    def root(self) -> Digest:
        """Return the RFC 6962 root over all records."""
        ...

    def records(self, start: int, limit: int) -> list[AccessRecord]:
        """Return up to `limit` records from number `start`."""
        ...


class Hub(Protocol):
    """The hub as a node sees it, over the one outward connection.

    Raises HubUnreachable when it does not answer, EntryRefused or NotMember when it says no. What
    it returns MUST be taken as bytes from a stranger: the caller verifies.
    """

    async def genesis(self) -> bytes:
        """Return the genesis document with the founders' signatures so far."""
        ...

    async def found(self, member: MemberId, signature: bytes) -> None:
        """Hand in a founder's signature over genesis."""
        ...

    async def submit(self, entries: Sequence[bytes]) -> list[bytes]:
        """Hand in signed entries; return one receipt each. Idempotent by entry id."""
        ...

    async def blocks(self, start: Height, *, wait_s: float) -> list[bytes]:
        """Return blocks from height `start`, waiting up to `wait_s` for the first."""
        ...

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint with the cosignatures that the hub has."""
        ...

    async def cosign(self, size: int, line: bytes) -> None:
        """Hand in this node's signature line over the checkpoint of log size `size`."""
        ...

    async def card(self, member: MemberId) -> bytes:
        """Return a member's card from the hub's directory. A cache: check it against the ledger."""
        ...

    async def send(self, recipient: MemberId, kind: str, transfer: str, data: bytes) -> None:
        """Put a sealed object into a member's mailbox."""
        ...

    async def mail(self, after: int, *, wait_s: float) -> list[MailItem]:
        """Return this node's mail with a number above `after`, waiting up to `wait_s`."""
        ...

    async def delete_mail(self, number: int) -> None:
        """Say that an item arrived and may be removed."""
        ...

    async def contribute(self, study: StudyId, step: str, data: bytes) -> None:
        """Hand in a mask key (step `keys`) or a masked contribution."""
        ...

    async def put_task(self, study: StudyId, data: bytes) -> None:
        """Hand in the task of a study that this member opened."""
        ...

    async def task(self, study: StudyId, *, wait_s: float) -> bytes:
        """Return a study's task, or b"" while it is missing."""
        ...

    async def mask_keys(self, study: StudyId, *, wait_s: float) -> dict[MemberId, bytes]:
        """Return all participants' signed mask keys, or {} while some are missing."""
        ...

    async def total(self, study: StudyId, step: str, *, wait_s: float) -> bytes:
        """Return the sum of all participants' contributions, or b"" while some are missing."""
        ...


class Bell:
    """Wakes all waiters at once; a waiter also wakes when its time is up.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: set[asyncio.Queue[None]] = set()
        self._is_closed = False

    def close(self) -> None:
        """Wake everyone, and let nobody wait any more: the process is about to end."""
        self._is_closed = True
        self.ring()

    def ring(self) -> None:
        """Wake everyone who waits now."""
        for queue in self._waiting:
            if queue.empty():
                queue.put_nowait(None)

    async def until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Wait until `ready` says yes, looking again at every ring; at most `seconds`."""
        end = self._clock.monotonic_s() + seconds
        while not ready():
            left = end - self._clock.monotonic_s()
            if left <= 0 or self._is_closed:
                return False
            await self.wait(left)
        return True

    async def wait(self, seconds: float) -> None:
        """Return when the bell rings, or after `seconds`."""
        if seconds <= 0:
            return
        queue: asyncio.Queue[None] = asyncio.Queue(1)
        self._waiting.add(queue)
        try:
            async with asyncio.TaskGroup() as group:
                alarm = group.create_task(self._alarm(queue, seconds))
                await queue.get()
                alarm.cancel()
        finally:
            self._waiting.discard(queue)

    async def _alarm(self, queue: "asyncio.Queue[None]", seconds: float) -> None:
        await self._clock.sleep(seconds)
        if queue.empty():
            queue.put_nowait(None)


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Everything through which a node meets the world."""

    hub: Hub
    store: NodeStore
    records: RecordStore
    access: AccessLog
    keys: KeyStore
    clock: Clock
    randomness: Randomness
