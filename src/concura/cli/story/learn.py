"""Learning: one study over the hub, told round by round.

This module does NOT train: the nodes do, each on its own patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from concura.adapters.table_files import TableFolder
from concura.canonical import b64decode
from concura.cli.story.tell import Teller
from concura.cli.story.town import Town
from concura.errors import StudyAborted, say
from concura.learning import Model, make_study
from concura.types import MemberId

__all__ = ["Learned", "play_learning"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_STUDY_PLACE = "00" * 16  # the node gives the study its own id


@dataclass(frozen=True, slots=True)
class Learned:
    """The model and where it stands on the ledger."""

    model: Model
    origin: dict[str, Any]


def play_learning(
    town: Town, folder: TableFolder, teller: Teller, *, preset: str, seed: int, rounds: int | None
) -> Learned:
    """Play stage 5 and fill `learning` of the story.

    Raises:
        StudyRefused: a setting is out of range.
        StudyAborted: the nodes came to no model.
    """
    features = folder.features
    outcome = features.outcome
    settings = make_study(
        preset,
        study_id=_STUDY_PLACE,
        seed=seed,
        features=features.names,
        features_digest=features.digest,
        outcome=outcome.horizon,
        horizon_days=outcome.within_days or None,
        **({} if rounds is None else {"rounds": rounds}),
    ).to_json()
    opener = town.hospitals[0]
    body: dict[str, object] = {
        "settings": settings,
        "features": features.raw,
        "participants": town.hospitals,
    }
    study = str(town.ask(opener, "POST", "/studies", body)["study"])
    label_rounds = int(settings["rounds"])
    losses, ended = _follow(town, teller, study, label_rounds)
    # The others have the model a moment later: each compares it with the one published.
    everyone = town.each(lambda member: _await(town, member, study))
    for event in (ended, *everyone.values()):
        if event["kind"] != "published":
            raise StudyAborted("told", detail=event["words"][teller.output.lang])
    answer = town.ask(opener, "GET", f"/models/{ended['model']}")
    model = Model.decode(b64decode(answer["model"]))
    _tell(teller, model, losses, town)
    return Learned(model, answer["origin"])


def _await(town: Town, member: MemberId, study: str) -> dict[str, Any]:
    """Wait until a hospital's node has the model, or says why it has none."""
    seen = 0
    while True:
        path = f"/studies/{study}/events?after={seen}&wait=30"
        events: list[dict[str, Any]] = town.ask(member, "GET", path)["events"]
        seen += len(events)
        for event in events:
            if event["kind"] in {"published", "ended"}:
                return event


def _follow(
    town: Town, teller: Teller, study: str, rounds: int
) -> tuple[list[float], dict[str, Any]]:
    """Show the rounds as the first hospital's node reports them."""
    losses: list[float] = []
    seen = 0
    label = say("story.learn.progress", teller.output.lang)
    with teller.output.progress(label, rounds) as advance:
        while True:
            path = f"/studies/{study}/events?after={seen}&wait=30"
            events = town.ask(town.hospitals[0], "GET", path)["events"]
            for event in events:
                seen += 1
                if event["kind"] == "round":
                    losses.append(event["loss"])
                    advance(1, f"{label} {event['round']}  {event['loss']:.4f}")
                elif event["kind"] in {"published", "ended"}:
                    return losses, event


def _tell(teller: Teller, model: Model, losses: list[float], town: Town) -> None:
    study = model.study
    first, last = model.loss_curve[0], model.loss_curve[-1]
    teller.line(
        "story.learn.rounds",
        rounds=study.rounds,
        count=model.hospitals,
        first=f"{first:.4f}",
        last=f"{last:.4f}",
    )
    teller.line("story.learn.curve", curve=_curve(model.loss_curve))
    key = "story.learn.weighted" if study.weighted else "story.learn.unweighted"
    teller.line(key, client=f"{model.client_rate:g}", server=f"{model.server_rate:g}")
    key = "story.learn.converged" if model.converged else "story.learn.moving"
    teller.line(key, share=f"{100 * model.still_moving:.0f}")
    teller.stop("learn", "story.road.learn", rounds=study.rounds, count=model.hospitals)
    teller.story["learning"] = {
        "preset": study.preset,
        "rounds": study.rounds,
        "loss": list(model.loss_curve[1:]) or losses,
        "rates": {"client": model.client_rate, "server": model.server_rate},
        "weighted": study.weighted,
        "converged": model.converged,
        "participants": list(town.hospitals),
        "training": model.patients["train"],
    }


def _curve(losses: Sequence[float]) -> str:
    """Draw a curve on one line, a block of eighths for each value."""
    low, high = min(losses), max(losses)
    step = (high - low) / (len(_BLOCKS) - 1) or 1.0
    return "".join(_BLOCKS[round((loss - low) / step)] for loss in losses)
