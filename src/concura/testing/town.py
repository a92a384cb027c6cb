"""A town of hospitals in memory: one hub, its nodes, real keys, simulated time.

Every part is the real use case over in-memory ports; what is simulated is time, and the wire
between a node and the hub, which can be cut, listened to and tampered with. Nodes and hub can be
killed and started again from what their stores hold.

    async with Town.found(4) as town:
        await town.collect("hospital-a", 20)
        ...

Run it inside `run_simulated`. This module does NOT check anything by itself.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from concura.adapters.keys_file import FileKeyStore
from concura.adapters.table_files import TableFolder, shipped_folder
from concura.errors import HubUnreachable
from concura.hospital import Node, found
from concura.hub import Platform
from concura.ledger import Genesis, MemberCard, quorum_of
from concura.ports import Hub, NodePorts
from concura.sharing import RecordRequest
from concura.testing.clock import SimulatedClock
from concura.testing.ledgers import START_MS, party
from concura.testing.records import MemoryAccessLog, MemoryRecords
from concura.testing.stores import InlineMiner, MemoryHubStore, MemoryNodeStore
from concura.types import ConsentId, JsonObject, MemberId, PatientId

__all__ = ["HUB_KEY", "Counted", "Hospital", "Town", "Wire", "key_store", "patients_of", "wish_of"]

_NAMES = ("hospital-a", "hospital-b", "hospital-c", "hospital-d", "hospital-e", "hospital-f")
_HUB_URL = "memory:hub"
HUB_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"hub of the town").digest())

Tamper = Callable[..., Awaitable[Any]]


class Counted:
    """A `ports.Randomness` that repeats itself from run to run, and never within one.

    Args:
        name: whose it is.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def draw(self, count: int) -> bytes:
        """Return `count` bytes that nobody else in the town draws."""
        self._count += 1
        seed = f"{self._name} {self._count}".encode()
        return hashlib.shake_256(seed).digest(count)


@lru_cache(maxsize=64)
def key_store(name: str) -> FileKeyStore:
    """Return the opened keys of a hospital; drawn once per process, never on a disk."""
    one = party(name)
    root = hashlib.sha256(f"root of {name}".encode()).digest()
    return FileKeyStore(sign=one.sign_key, wrap=one.wrap_key, witness=one.witness_key, root=root)


@lru_cache(maxsize=1)
def _folder() -> TableFolder:
    return shipped_folder()


def patients_of(member: str, count: int | None = None) -> list[list[JsonObject]]:
    """Return the resources of a hospital's first patients of the shipped table; all by default."""
    home = MemberId(list(_folder().rows)[_NAMES.index(member) % len(_folder().rows)])
    patients = list(_folder().resources(home))
    return deepcopy(patients[:count])


class Wire:
    """The port `Hub` of one node: the hub's own session, or silence while the hub is down.

    Args:
        town: where the hub is.
        card: who calls; the hub knows it by its TLS key.

    Attributes:
        heard: name and arguments of every call that this node made.
        tampers: by method name, what happens instead: `await f(real, *args, **kwargs)`, where
            `real` is the hub's own method. Put one in to play a hostile hub.
        is_cut: whether nothing comes through.
        elsewhere: another hub that answers this node alone; None: the town's own.
    """

    def __init__(self, town: "Town", card: MemberCard) -> None:
        self._town = town
        self._card = card
        self._open: set[asyncio.Task[Any]] = set()
        self.heard: list[tuple[str, tuple[Any, ...]]] = []
        self.tampers: dict[str, Tamper] = {}
        self.is_cut = False
        self.elsewhere: Platform | None = None

    def __getattr__(self, name: str) -> Tamper:
        """Return a method of the port."""
        if name.startswith("_") or not hasattr(Hub, name):
            raise AttributeError(name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.heard.append((name, (*args, *kwargs.values())))
            tamper = self.tampers.get(name)
            if tamper is None:
                return await self.real(name, *args, **kwargs)

            async def real(*args: Any, **kwargs: Any) -> Any:
                return await self.real(name, *args, **kwargs)

            return await tamper(real, *args, **kwargs)

        return call

    async def real(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Ask the hub itself.

        Raises:
            HubUnreachable: it is down, or was killed before it answered.
        """
        platform = self.elsewhere or self._town.platform
        if platform is None or self.is_cut:
            raise HubUnreachable(url=_HUB_URL, detail="silence")
        method = getattr(platform.session(self._card.tls), name)
        task = asyncio.ensure_future(method(*args, **kwargs))
        self._open.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._open.discard(task)
            task.cancel()
        if task.cancelled():
            raise HubUnreachable(url=_HUB_URL, detail="the connection was closed")
        return task.result()

    def drop(self) -> None:
        """Close what is open, as a killed process does."""
        for task in self._open:
            task.cancel()


@dataclass
class Hospital:
    """One hospital: what survives a kill, and the node that runs now (None: killed).

    Attributes:
        card: its public keys.
        wire: its way to the hub.
        store, records, access: what its disk holds.
        ports: what its node sees; exchange a port to play a fault, then start the node.
        failed: what ended its node, other than a kill.
    """

    card: MemberCard
    wire: Wire
    store: MemoryNodeStore
    records: MemoryRecords
    access: MemoryAccessLog
    ports: NodePorts
    running: Node | None = None
    task: asyncio.Task[None] | None = None

    @property
    def node(self) -> Node:
        """The node that runs."""
        assert self.running is not None
        return self.running


@dataclass
class Town:
    """A hub and its hospitals.

    Attributes:
        genesis: the constitution.
        hub_store: what the hub's disk holds.
        platform: the hub that runs, or None.
        hospitals: by member id.
        interval_ms: least time between two blocks.
        wait_s: seconds that a long poll may last.
        anchor_s: seconds between two anchors of an access log.
    """

    genesis: Genesis
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    hub_store: MemoryHubStore = field(default_factory=MemoryHubStore)
    hospitals: dict[MemberId, Hospital] = field(default_factory=dict)
    platform: Platform | None = None
    interval_ms: int = 250
    wait_s: float = 25.0
    anchor_s: float = 3600.0
    _hub_task: asyncio.Task[None] | None = None

    @classmethod
    def found(cls, count: int = 4, **settings: Any) -> "Town":
        """Return a town of `count` founders (1 to 6); nothing runs before `async with`."""
        # Two threads: drawing RSA keys releases the interpreter lock.
        with ThreadPoolExecutor(2) as pool:
            cards = tuple(one.card for one in pool.map(party, _NAMES[:count]))
        genesis = Genesis(
            name="Test town",
            created_ms=START_MS,
            difficulty_bits=2,
            quorum=quorum_of(count),
            hub_name="hub",
            hub_witness=HUB_KEY.public_key().public_bytes_raw(),
            hub_authority=b"certificate of the hub".ljust(64),
            founders=cards,
        )
        town = cls(genesis, **settings)
        for card in cards:
            town.settle(card)
        return town

    def settle(self, card: MemberCard) -> Hospital:
        """Give a hospital its empty stores and its wire; its node does not run yet."""
        randomness = Counted(card.member)
        store, access, wire = MemoryNodeStore(), MemoryAccessLog(), Wire(self, card)
        records = MemoryRecords(randomness=randomness)
        ports = NodePorts(
            hub=cast("Hub", wire),
            store=store,
            records=records,
            access=access,
            keys=key_store(card.member),
            clock=self.clock,
            randomness=randomness,
        )
        hospital = Hospital(card, wire, store, records, access, ports)
        self.hospitals[card.member] = hospital
        return hospital

    async def __aenter__(self) -> Self:
        """Start the hub, have the founders sign, start all nodes, wait for the first final head."""
        self.start_hub()
        for card in self.genesis.founders:
            wire = cast("Hub", self.hospitals[card.member].wire)
            await found(card, self.genesis, hub=wire, keys=key_store(card.member))
        for member in self.hospitals:
            self.start(member)
        await self.agree()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill everything; then tell what ended a part that should have run on."""
        faults = [await self.kill(member) for member in self.hospitals]
        faults.append(await self.kill_hub())
        found_faults = [fault for fault in faults if fault is not None]
        if kind is None and found_faults:
            raise found_faults[0]

    def copy(self) -> "Town":
        """Return a town that holds what this one holds now; nothing of it runs yet."""
        other = Town(
            self.genesis,
            clock=SimulatedClock(skew_ms=self.clock.now_ms() - START_MS),
            hub_store=deepcopy(self.hub_store),
            interval_ms=self.interval_ms,
            wait_s=self.wait_s,
            anchor_s=self.anchor_s,
        )
        for member, one in self.hospitals.items():
            new = other.settle(one.card)
            randomness = deepcopy(one.ports.randomness)
            new.store, new.access = deepcopy(one.store), deepcopy(one.access)
            new.records = one.records.copy(randomness=randomness)
            new.ports = replace(
                new.ports,
                store=new.store,
                access=new.access,
                records=new.records,
                randomness=randomness,
            )
            assert member == new.card.member
        return other

    def open_hub(self, store: MemoryHubStore) -> Platform:
        """Put a hub with the town's own key around a store; whoever runs it has a second hub."""
        return Platform(
            self.genesis,
            store=store,
            clock=self.clock,
            miner=InlineMiner(),
            signer=HUB_KEY.sign,
            interval_ms=self.interval_ms,
        )

    # --- processes -----------------------------------------------------------------------------

    def start_hub(self) -> Platform:
        """Start the hub from its store."""
        self.platform = self.open_hub(self.hub_store)
        self._hub_task = asyncio.ensure_future(self.platform.run())
        return self.platform

    async def kill_hub(self) -> BaseException | None:
        """End the hub without a word; return the fault that had ended it before, if any."""
        self.platform = None
        for hospital in self.hospitals.values():
            hospital.wire.drop()
        task, self._hub_task = self._hub_task, None
        return await _ended(task)

    def start(self, member: str) -> Node:
        """Start a hospital's node from its stores."""
        hospital = self.hospitals[MemberId(member)]
        node = Node(
            hospital.card,
            self.genesis,
            hospital.ports,
            wait_s=self.wait_s,
            anchor_s=self.anchor_s,
        )
        hospital.running, hospital.task = node, asyncio.ensure_future(node.run())
        return node

    async def kill(self, member: str) -> BaseException | None:
        """End a node without a word; return the fault that had ended it before, if any."""
        hospital = self.hospitals[MemberId(member)]
        hospital.wire.drop()
        task, hospital.task, hospital.running = hospital.task, None, None
        return await _ended(task)

    def node(self, member: str) -> Node:
        """Return a hospital's running node."""
        return self.hospitals[MemberId(member)].node

    def wire(self, member: str) -> Wire:
        """Return a hospital's way to the hub."""
        return self.hospitals[MemberId(member)].wire

    # --- what happens in the town --------------------------------------------------------------

    async def until(self, is_so: Callable[[], bool], seconds: float = 300.0) -> None:
        """Let simulated time pass until something holds.

        Raises:
            TimeoutError: it did not come to that.
        """
        end = self.clock.monotonic_s() + seconds
        while not is_so():
            if self.clock.monotonic_s() > end:
                raise TimeoutError("the town makes no progress")
            await self.clock.sleep(0.05)

    async def agree(self, members: Iterable[str] | None = None) -> None:
        """Wait until all running nodes have the hub's ledger, under a final head."""
        chosen = [MemberId(m) for m in members] if members is not None else list(self.hospitals)
        running = [self.hospitals[m] for m in chosen if self.hospitals[m].running is not None]
        await self.until(lambda: all(self._has_all(one.node) for one in running))

    def _has_all(self, node: Node) -> bool:
        # A hub that has not opened its ledger yet has nothing that a node could have.
        if self.platform is None or not self.platform.status()["ready"]:
            return False
        ordering = self.platform.ordering
        height = node.watch.chain.height
        is_sealed = not ordering.status["waiting"] and height == ordering.stored
        return is_sealed and node.watch.final_height == height

    async def collect(self, member: str, count: int | None = None) -> list[list[JsonObject]]:
        """Have a node take in the first patients of the shipped table; return their resources."""
        patients = patients_of(member, count)
        await self.node(member).collect.take(patients)
        return patients

    async def consent(
        self,
        holder: str,
        reader: str,
        patient: list[JsonObject],
        *,
        purpose: str = "treatment",
        seconds: int = 365 * 24 * 3600,
    ) -> ConsentId:
        """Have the holder enter a patient's consent; return when it is in its verified ledger."""
        node = self.node(holder)
        granted = await node.consents.grant(
            PatientId(patient[0]["id"]),
            reader=MemberId(reader),
            purpose=purpose,
            not_after_ms=self.clock.now_ms() + 1_000 * seconds,
        )
        await self.agree([holder])
        return granted

    async def ask(
        self, reader: str, holder: str, patient: list[JsonObject], *, purpose: str = "treatment"
    ) -> JsonObject:
        """Have the reader ask for a patient's record; return how the transfer ended."""
        node = self.node(reader)
        transfer = await node.share.request(MemberId(holder), wish_of(patient), purpose=purpose)
        return await node.share.until_settled(transfer, 120.0)


def wish_of(patient: list[JsonObject]) -> RecordRequest:
    """Return the request for a patient by the first identifier of its resources."""
    identifier = patient[0]["identifier"][0]
    return RecordRequest(identifier["system"], identifier["value"])


async def _ended(task: asyncio.Task[None] | None) -> BaseException | None:
    if task is None:
        return None
    was_done = task.done()
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
    return task.exception() if was_done and not task.cancelled() else None
