"""The town: a hub and one node per hospital as processes in one folder, each with its own keys.

The folder is an ordinary consortium's: kept with `--keep`, it runs on with `concura up`. Every
process holds a lifeline of this one and ends with it, however it ends.

This module does NOT play anything.
"""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from concura.adapters.folders import atomic_write, claim, disk
from concura.adapters.processes import Child, Children, wait_ready
from concura.cli.hub import make_hub
from concura.cli.node import ask, join_node, make_node
from concura.errors import NodeUnreachable
from concura.hospital import Invitation
from concura.ledger import MemberCard
from concura.ports import KeyStore
from concura.profiles import SETTINGS_FILE, load_settings
from concura.types import MemberId

__all__ = ["Town"]

_INTERVAL_MS = 250  # a block follows soon, so that a watching person does not wait
_PATIENCE_S = 60.0
_POLL_S = 0.02

T = TypeVar("T")


class Town:
    """Builds, runs and asks the processes.

    Args:
        place: the consortium's folder, new or empty.
        names: the hospitals, by member id, in order.
        family: the processes; ended by whoever made it.
        lang: language of the nodes' answers.
    """

    def __init__(
        self, place: Path, names: Mapping[MemberId, str], family: Children, *, lang: str
    ) -> None:
        self.place = place
        self.names = dict(names)
        self.invitation: Invitation
        self._family = family
        self._lang = lang
        self._children: dict[str, Child] = {}
        self._made: dict[MemberId, tuple[MemberCard, KeyStore]] = {}

    @property
    def hospitals(self) -> list[MemberId]:
        """The members, in order."""
        return list(self.names)

    @property
    def hub(self) -> Path:
        """The hub's folder."""
        return self.place / "hub"

    @property
    def steps(self) -> int:
        """How often `build` and `start` call `advance`."""
        return 3 * len(self.names) + 2

    def build(
        self,
        *,
        name: str,
        difficulty: int | None,
        environment: Mapping[str, str],
        advance: Callable[..., None],
    ) -> None:
        """Make all folders: keys and certificates of every hospital, then the hub's genesis.

        Raises:
            FolderUnusable: the folder is not empty.
        """
        claim(self.place, "consortium")
        lines = f"block_interval_ms = {_INTERVAL_MS}\n"
        atomic_write(self.place / SETTINGS_FILE, lines.encode())
        plan = {
            "name": name,
            "hospitals": [{"member": m, "name": n} for m, n in self.names.items()],
        }
        text = json.dumps(plan, ensure_ascii=False, indent=2)
        atomic_write(self.place / "consortium.json", text.encode() + b"\n")
        with disk(self.place):
            (self.place / "logs").mkdir(exist_ok=True, mode=0o700)
        made = self.each(lambda m: make_node(self.place / m, m, self.names[m]), advance)
        flags = {"difficulty_bits": difficulty}
        settings = load_settings(self.place, environment=environment, flags=flags).settings
        self._made = made
        self.invitation = make_hub(
            self.hub, settings, tuple(card for card, _ in made.values()), name=name
        )
        advance()

    def start(self, advance: Callable[..., None]) -> None:
        """Start the hub, sign the genesis, start the nodes, and wait for the first block.

        Raises:
            PortInUse: somebody took the hub's port in between.
            InternalFault: a process ended without a word.
        """
        wait_ready(self._serve("hub", "hub"))
        advance()
        data = (self.hub / "invitation.json").read_bytes()
        self.each(lambda m: self._join(m, data), advance)
        self._made.clear()  # the private keys are the nodes' own from here on
        for member in self.hospitals:
            self._serve("node", member)
        for member in self.hospitals:
            wait_ready(self._children[member])
            advance()
        self.until(lambda: all(self.height(m) >= 0 for m in self.hospitals))

    def _join(self, member: MemberId, data: bytes) -> None:
        card, keys = self._made[member]
        join_node(self.place / member, card, data, keys=keys)

    def _serve(self, kind: str, folder: str) -> Child:
        child = self._family.start(
            [kind, "serve", str(self.place / folder)],
            name=folder,
            log=self.place / "logs" / f"{folder}.out",
        )
        self._children[folder] = child
        return child

    def each(
        self, do: Callable[[MemberId], T], advance: Callable[..., None] = lambda: None
    ) -> dict[MemberId, T]:
        """Do something for every hospital, side by side; call `advance` as each is done."""
        with ThreadPoolExecutor(len(self.names)) as pool:
            found: dict[MemberId, T] = {}
            try:
                for member, result in zip(self.names, pool.map(do, self.names), strict=True):
                    found[member] = result
                    advance()
            except BaseException:
                # Who still waits for a node's answer would hold up Ctrl-C; an ended one gives none.
                self._family.stop()
                raise
            return found

    def ask(
        self, member: MemberId, method: str, path: str, body: dict[str, object] | None = None
    ) -> dict[str, Any]:
        """Ask a hospital's node over its own loopback port."""
        return ask(self.place / member, method, path, body, lang=self._lang)

    def height(self, member: MemberId) -> int:
        """Return the height of a node's verified ledger."""
        return int(self.ask(member, "GET", "/status")["height"])

    def pid(self, folder: str) -> int:
        """Return the process that serves a folder."""
        return self._children[folder].pid

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for the processes to come to something.

        Raises:
            NodeUnreachable: it did not come within a minute.
        """
        end = time.monotonic() + _PATIENCE_S
        while not is_so():
            if time.monotonic() > end:
                raise NodeUnreachable(folder=str(self.place), detail="it makes no progress")
            time.sleep(_POLL_S)
