"""A hospital's node: its use cases around one set of ports, and the loops that keep it going.

It does NOT choose adapters: `profiles` does.
"""

import asyncio

from concura.hospital.anchor import Anchor
from concura.hospital.cohort import Cohorts
from concura.hospital.collect import Collect
from concura.hospital.consents import Consents
from concura.hospital.decide import Decide
from concura.hospital.enter import Enter
from concura.hospital.share import Share
from concura.hospital.train import Train
from concura.hospital.watch import Watch
from concura.ledger import Genesis, MemberCard, members
from concura.ports import NodePorts
from concura.types import JsonObject, MemberId, PatientId

__all__ = ["Node"]


class Node:
    """One hospital in the consortium.

    Args:
        card: this member's public keys.
        genesis: the constitution it joined by.
        ports: the world.
        wait_s: seconds that one long poll may last.
        anchor_s: seconds between two anchors of the access log.
    """

    def __init__(
        self,
        card: MemberCard,
        genesis: Genesis,
        ports: NodePorts,
        *,
        wait_s: float = 25.0,
        anchor_s: float = 10.0,
    ) -> None:
        self.me: MemberId = card.member
        self.ports = ports
        me = self.me
        self.watch = watch = Watch(me, genesis, ports, wait_s=wait_s)
        self.enter = enter = Enter(me, watch, ports)
        self.collect = Collect(ports.records)
        self.cohorts = cohorts = Cohorts(me, watch, enter, ports)
        self.consents = consents = Consents(me, watch, enter, ports)
        self.share = Share(me, watch, enter, consents, ports, wait_s=wait_s)
        self.train = Train(me, watch, enter, cohorts, ports, wait_s=wait_s)
        self.decide = Decide(me, watch, cohorts, ports)
        self.anchor = Anchor(enter, ports, every_s=anchor_s)

    async def run(self) -> None:
        """Watch, share, train and anchor for ever."""
        self.watch.load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch.run())
            await self._until_member()
            await self.enter.flush()
            for use_case in (self.share, self.train, self.anchor):
                group.create_task(use_case.run())

    async def _until_member(self) -> None:
        """Wait until the ledger has this node as an active member."""
        while self.me not in members(self.watch.chain.state):
            await self.watch.bell.wait(3600.0)

    def own_patients(self) -> list[PatientId]:
        """Return the patients of this hospital; not those whose record came from another one."""
        return [
            patient
            for patient in self.ports.records.patients()
            if self.ports.store.fact(f"origin/{patient}") is None
        ]

    def status(self) -> JsonObject:
        """Return what the operator sees: counts and heights, nothing about patients."""
        chain = self.watch.chain
        return {
            "member": self.me,
            "is_member": self.me in members(chain.state),
            "chain": chain.id,
            "height": chain.height,
            "final": self.watch.final_height,
            "entries": chain.entries,
            "members": sorted(members(chain.state)),
            "stale_since": self.watch.stale_since,
            "distrust": self.watch.distrust,
            "resources": dict(self.ports.records.counts()),
            "patients": len(self.ports.records.patients()),
            "accesses": self.ports.access.size(),
            "outbox": len(self.ports.store.facts("outbox/")),
        }
