"""Rounds of learning, as the hub sees them: masked vectors come in, their sum goes out.

The hub adds in Z_2^64 and holds no mask key: one contribution alone looks uniformly random to it
(PROTOCOLS §8). It takes contributions from a study's participants only, one each per step, and
hands out a sum only when all are in. It does NOT know the model.
"""

import hashlib

from concura.errors import NotMember, StudyAborted, StudyRefused
from concura.learning import add_words
from concura.ledger import State, study
from concura.limits import CONTRIBUTION_MAX_VALUES
from concura.ports import Bell, Clock, HubStore
from concura.types import JsonObject, MemberId, StudyId

__all__ = ["Rounds"]

# The step under which mask keys are handed in; no contribution may use the name.
KEYS = "keys"
_STEP_MAX_CHARS = 64
_KEY_MAX_BYTES = 4_096  # a signed mask key has about 600


class Rounds:
    """Collects and adds contributions.

    Args:
        store: where contributions are kept, so that a restart loses none.
        clock: time, for waiting.
    """

    def __init__(self, store: HubStore, clock: Clock) -> None:
        self._store = store
        self.bell = Bell(clock)

    async def put_task(
        self, member: MemberId, *, study_id: StudyId, data: bytes, state: State
    ) -> None:
        """Take a study's task from its author: the bytes whose digest stands on the ledger.

        Raises:
            NotMember: somebody else's study.
            StudyRefused: unknown study, or other bytes.
        """
        entry = self._study(study_id, state)
        if entry["author"] != member:
            raise NotMember(who=member, detail="it did not open this study")
        if hashlib.sha256(data).hexdigest() != entry["task_digest"]:
            raise StudyRefused(detail="the task is not the one of its digest")
        await self._store.put_fact(f"task/{study_id}", data)
        self.bell.ring()

    async def task(
        self, member: MemberId, *, study_id: StudyId, wait_s: float, state: State
    ) -> bytes:
        """Return a study's task, or b"" while its author has not handed it in."""
        self._check_participant(member, self._study(study_id, state))
        await self.bell.until(lambda: self._store.fact(f"task/{study_id}") is not None, wait_s)
        return self._store.fact(f"task/{study_id}") or b""

    async def contribute(
        self, member: MemberId, *, study_id: StudyId, step: str, data: bytes, state: State
    ) -> None:
        """Take a participant's mask key or masked vector.

        Raises:
            NotMember: not a participant.
            StudyRefused: unknown study, or a vector of another shape than the others'.
            StudyAborted: a second, different contribution to the same step.
        """
        entry = self._study(study_id, state)
        self._check_participant(member, entry)
        if not step.isascii() or len(step) > _STEP_MAX_CHARS:
            raise StudyRefused(detail="a step has a short ASCII name")
        have = self._store.contributions(study_id, step)
        if member in have:
            # The same bytes again are a retry. Two masked vectors under one mask would give away
            # their difference, so a second one is never added.
            if have[member] != data:
                raise StudyAborted(detail=f"{member} contributed twice to step {step}")
            return
        if step != KEYS:
            self._check_shape(member, data, have)
        elif len(data) > _KEY_MAX_BYTES:
            raise StudyRefused(detail="a mask key is short")
        await self._store.put_contribution(study_id, step, member, data)
        self.bell.ring()

    async def mask_keys(
        self, member: MemberId, *, study_id: StudyId, wait_s: float, state: State
    ) -> dict[MemberId, bytes]:
        """Return all participants' signed mask keys, or {} while some are missing."""
        return await self._complete(member, study_id, KEYS, wait_s, state)

    async def total(
        self, member: MemberId, *, study_id: StudyId, step: str, wait_s: float, state: State
    ) -> bytes:
        """Return the sum of a step's contributions, or b"" while some are missing.

        Returns:
            little-endian uint64[m], the sum modulo 2^64.
        """
        if step == KEYS:
            raise StudyRefused(detail="mask keys are not added")
        have = await self._complete(member, study_id, step, wait_s, state)
        if not have:
            return b""
        return add_words(list(have.values()))

    async def _complete(
        self, member: MemberId, study_id: StudyId, step: str, wait_s: float, state: State
    ) -> dict[MemberId, bytes]:
        entry = self._study(study_id, state)
        self._check_participant(member, entry)
        count = len(entry["participants"])
        is_complete = await self.bell.until(
            lambda: self._store.count_contributions(study_id, step) == count, wait_s
        )
        return self._store.contributions(study_id, step) if is_complete else {}

    def _study(self, study_id: StudyId, state: State) -> JsonObject:
        entry = study(state, study_id)
        if entry is None:
            raise StudyRefused(detail="no accepted ledger entry opens this study")
        return entry

    def _check_participant(self, member: MemberId, entry: JsonObject) -> None:
        if member not in entry["participants"]:
            raise NotMember(who=member, detail="it does not take part in this study")

    def _check_shape(self, member: MemberId, data: bytes, have: dict[MemberId, bytes]) -> None:
        if not data or len(data) % 8 or len(data) > CONTRIBUTION_MAX_VALUES * 8:
            raise StudyRefused(detail=f"the contribution of {member} has no usable size")
        if any(len(other) != len(data) for other in have.values()):
            raise StudyRefused(detail=f"the contribution of {member} has another shape")
