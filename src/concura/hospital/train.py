"""Taking part in studies: the node's side of the rounds, and opening a study of one's own.

The participant itself is `learning.participant`, a plain generator; here its contributions are put
into fixed point, masked, handed to the hub, and the sums brought back. What leaves the node in a
study is a signed mask key and masked vectors, nothing else.

The mask key lives in memory only: a node that is restarted in the middle of a study cannot go on
with it, and says so. It does NOT choose the patients: their consents on the ledger do.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import (
    LANGUAGES,
    ConcuraError,
    HubDishonest,
    NetworkError,
    ReplyInvalid,
    StudyAborted,
    StudyRefused,
)
from concura.hospital.cohort import Cohorts
from concura.hospital.enter import Enter
from concura.hospital.watch import Watch
from concura.learning import (
    Contribution,
    Model,
    RoundClosed,
    Study,
    Words,
    decode_fixed,
    encode_fixed,
    mask,
    mask_key_message,
    pack_words,
    participant,
    public_of,
    shared_seed,
    unpack_words,
)
from concura.ledger import members, studies, study
from concura.ports import Bell, NodePorts
from concura.records import parse_features
from concura.sealing.keys import verify_signature
from concura.types import JsonObject, MemberId, ModelId, StudyId

__all__ = ["Train"]

_log = logging.getLogger(__name__)

# Seconds that a participant may be silent before the study is given up.
PATIENCE_S = 120.0
_RETRY_S = 0.5
_HOSPITALS_MIN = 3
_JOINED = b"joined"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Task:
    """A study as this node takes part in it."""

    study_id: StudyId
    study: Study
    entry: JsonObject


class Train:
    """Opens studies and takes part in them.

    Args:
        me: this member.
        watch: the verified ledger.
        enter: enters this member's entries.
        cohorts: the consenting patients as arrays.
        ports: the world; of it hub, store, signing key, clock and randomness.
        wait_s: seconds that one long poll may last.
    """

    def __init__(
        self,
        me: MemberId,
        watch: Watch,
        enter: Enter,
        cohorts: Cohorts,
        ports: NodePorts,
        *,
        wait_s: float = 25.0,
    ) -> None:
        self._me = me
        self._watch = watch
        self._enter = enter
        self._cohorts = cohorts
        self._hub = ports.hub
        self._store = ports.store
        self._keys = ports.keys
        self._clock = ports.clock
        self._randomness = ports.randomness
        self._wait_s = wait_s
        self._bell = Bell(ports.clock)
        self._events: dict[StudyId, list[JsonObject]] = {}

    async def open(
        self, settings: JsonObject, features: JsonObject, participants: Sequence[MemberId]
    ) -> StudyId:
        """Open a study: the digest of its whole task stands on the ledger, the task at the hub.

        Args:
            settings: fields of `Study` but for study_id, features and consent_height.
            features: the feature definitions.
            participants: the members that shall take part.

        Returns:
            The study's id.

        Raises:
            StudyRefused: settings out of range, or fewer than three participants.
            EntryRefused: the contract says no.
        """
        study_id = StudyId(self._randomness.draw(16).hex())
        feature_set = parse_features(features)
        height = max(self._watch.chain.height, 0)
        plan = Study.from_json(
            {
                **settings,
                "study_id": study_id,
                "features": list(feature_set.names),
                "features_digest": feature_set.digest,
                "consent_height": height,
            }
        )
        task = encode({"study": plan.to_json(), "features": features}, floats=True)
        await self._enter.enter(
            "study.open",
            {
                "study": study_id,
                "task_digest": hashlib.sha256(task).hexdigest(),
                "purpose": "research",
                "participants": sorted(participants),
                "consent_height": height,
                "minimum": max(_HOSPITALS_MIN, plan.minimum_hospitals),
            },
        )
        await self._hub.put_task(study_id, task)
        return study_id

    async def run(self) -> None:
        """Take part in every study that names this member, one after the other."""
        while True:
            for study_id, entry in studies(self._watch.chain.state).items():
                if self._me in entry["participants"] and entry["status"] == "open":
                    await self._once(study_id, entry)
            await self._watch.bell.wait(3600.0)

    async def _once(self, study_id: StudyId, entry: JsonObject) -> None:
        fact = f"study/{study_id}"
        known = self._store.fact(fact)
        if known == _JOINED:
            # An earlier life of this node joined; its mask key went with it.
            await self._end(study_id, StudyAborted(detail="this node was restarted meanwhile"))
        if known is not None:
            return
        # Written before the first contribution: two runs of one study would use one mask twice.
        await self._store.put_fact(fact, _JOINED)
        try:
            model = await self._take_part(study_id, entry)
            await self._store.put_fact(fact, f"model {model}".encode())
            self._tell(study_id, {"kind": "published", "model": model})
        except ConcuraError as error:
            await self._end(study_id, error)

    async def _end(self, study_id: StudyId, error: ConcuraError) -> None:
        _log.warning("study ended study=%s error=%s why=%s", study_id, error.slug, error.why)
        await self._store.put_fact(f"study/{study_id}", b"ended")
        self._tell(
            study_id,
            {
                "kind": "ended",
                "message": str(error),
                "slug": error.slug,
                "words": {lang: error.message(lang) for lang in LANGUAGES},
            },
        )

    async def _take_part(self, study_id: StudyId, entry: JsonObject) -> ModelId:
        text = await self._patiently(lambda: self._hub.task(study_id, wait_s=self._wait_s))
        task, features = self._accept(study_id, entry, text)
        self._tell(study_id, {"kind": "joined"})
        seeds = await self._agree(task)
        cohort = await self._cohorts.build(study_id, features)
        steps = participant(task.study, cohort)
        try:
            word = next(steps)
            while True:
                if isinstance(word, RoundClosed):
                    await self._close(task, word)
                    word = steps.send(None)
                else:
                    word = steps.send(decode_fixed(await self._add(task, word, seeds)))
        except StopIteration as end:
            model: Model = end.value
        return await self._finish(task, model, features)

    def _accept(
        self, study_id: StudyId, entry: JsonObject, text: bytes
    ) -> tuple[_Task, JsonObject]:
        """Read the task and apply this node's policy.

        Raises:
            StudyRefused: the task is not what its digest says, or policy says no.
        """
        if hashlib.sha256(text).hexdigest() != entry["task_digest"]:
            raise StudyRefused(detail="the task is not the one of its digest")
        try:
            document = decode(text, floats=True)
            plan = Study.from_json(document["study"])
            features: JsonObject = document["features"]
        except (ConcuraError, KeyError, TypeError) as error:
            raise StudyRefused(detail="the task has an unknown shape") from error
        feature_set = parse_features(features)
        fits = plan.features == feature_set.names and plan.features_digest == feature_set.digest
        if not fits or plan.study_id != study_id:
            raise StudyRefused(detail="study and feature definitions do not belong together")
        if entry["purpose"] != "research" or len(entry["participants"]) < _HOSPITALS_MIN:
            raise StudyRefused(detail="this node takes part in research of at least 3 hospitals")
        return _Task(study_id, plan, entry), features

    async def _agree(self, task: _Task) -> dict[MemberId, bytes]:
        """Agree mask seeds with every other participant.

        Raises:
            StudyAborted: a mask key is not signed by its member, or somebody is missing.
        """
        private = self._randomness.draw(32)
        public = public_of(private)
        message = mask_key_message(task.study_id, self._me, public)
        signed = {"public": b64encode(public), "signature": b64encode(self._keys.sign(message))}
        await self._hand_in(task.study_id, "keys", encode(signed))
        keys = await self._patiently(
            lambda: self._hub.mask_keys(task.study_id, wait_s=self._wait_s)
        )
        cards = members(self._watch.chain.state)
        if sorted(keys) != sorted(task.entry["participants"]):
            raise StudyAborted(detail="the hub names other participants than the ledger")
        seeds: dict[MemberId, bytes] = {}
        for peer, data in keys.items():
            theirs, signature = self._read_key(data)
            message = mask_key_message(task.study_id, peer, theirs)
            suite = self._watch.chain.genesis.suite
            if peer not in cards or not verify_signature(
                cards[peer].sign, message, signature, suite=suite
            ):
                raise StudyAborted(detail=f"the mask key of {peer} is not signed by it")
            if peer != self._me:
                seeds[peer] = shared_seed(
                    private, theirs, study=task.study_id, me=self._me, peer=peer
                )
            elif theirs != public:
                raise StudyAborted(detail="the hub shows another mask key for this node")
        return seeds

    def _read_key(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            found = decode(data)
            return b64decode(found["public"]), b64decode(found["signature"])
        except (ConcuraError, KeyError, TypeError, ValueError) as error:
            raise ReplyInvalid(who="hub", detail="a mask key in an unknown shape") from error

    async def _add(self, task: _Task, word: Contribution, seeds: dict[MemberId, bytes]) -> Words:
        """Hand in one masked contribution and bring the sum back."""
        words = encode_fixed(word.vector)
        label = f"{task.study_id}/{word.step}".encode()
        masked = mask(words, me=self._me, seeds=seeds, label=label)
        await self._hand_in(task.study_id, word.step, pack_words(masked))
        total = await self._patiently(
            lambda: self._hub.total(task.study_id, word.step, wait_s=self._wait_s)
        )
        return unpack_words(total, words.size)

    async def _hand_in(self, study_id: StudyId, step: str, data: bytes) -> None:
        """Hand in a contribution; the same bytes again do no harm, so that a retry may follow."""
        if self._watch.distrust is not None:
            raise HubDishonest(detail="it was caught before", evidence=self._watch.distrust)

        async def ask() -> bool:
            await self._hub.contribute(study_id, step, data)
            return True

        await self._patiently(ask)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; give up when somebody is silent for too long."""
        end = self._clock.monotonic_s() + PATIENCE_S
        while True:
            try:
                answer = await ask()
                if answer:
                    return answer
            except NetworkError:
                # The hub keeps what it was given: when it is back, the study goes on.
                await self._clock.sleep(_RETRY_S)
            if self._clock.monotonic_s() > end:
                raise StudyAborted(detail=f"a participant was silent for {PATIENCE_S:.0f} seconds")

    async def _close(self, task: _Task, word: RoundClosed) -> None:
        self._tell(
            task.study_id,
            {"kind": "round", "round": word.number, "digest": word.digest, **word.metrics},
        )
        if task.entry["author"] == self._me:
            body = {
                "study": task.study_id,
                "round": word.number,
                "participants": task.entry["participants"],
                "model_digest": word.digest,
                "metrics": word.millionths,
            }
            await self._enter.enter_patiently("round.close", body, patience_s=PATIENCE_S)

    async def _finish(self, task: _Task, model: Model, features: JsonObject) -> ModelId:
        """Publish the model, or check that the one published is ours."""
        if task.entry["author"] == self._me:
            metrics = {
                name: None if metric.value is None else round(metric.value * 1e6)
                for name, metric in model.metrics.items()
            }
            body = {"study": task.study_id, "model": model.id, "metrics": metrics}
            await self._enter.enter_patiently("model.publish", body, patience_s=PATIENCE_S)
        await self._watch.bell.until(
            lambda: (study(self._watch.chain.state, task.study_id) or {})["status"] == "published",
            PATIENCE_S,
        )
        entry = study(self._watch.chain.state, task.study_id)
        if entry is None or entry["model"] is None:
            raise StudyAborted(detail=f"no model was published for {PATIENCE_S:.0f} seconds")
        if entry["model"] != model.id:
            # Different sums were shown to different hospitals, or the author published another.
            raise StudyAborted(detail="the published model is not the one that this node computed")
        kept = encode({"features": features, "model": b64encode(model.encode())}, floats=True)
        await self._store.put_fact(f"model/{model.id}", kept)
        return model.id

    # --- progress ------------------------------------------------------------------------------

    def _tell(self, study_id: StudyId, event: JsonObject) -> None:
        self._events.setdefault(study_id, []).append(event)
        self._bell.ring()

    async def events(self, study_id: StudyId, after: int, wait_s: float) -> list[JsonObject]:
        """Return a study's events from number `after` on, waiting for the first."""
        await self._bell.until(lambda: len(self._events.get(study_id, [])) > after, wait_s)
        return self._events.get(study_id, [])[after:]
