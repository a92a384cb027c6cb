"""The story: the one JSON object from which the report is drawn.

`concura demo` fills it while it plays; `summary` is the part of it that `--json` prints. Every
value is plain JSON. Words that depend on the language stand as `{"en": …, "zh": …}`, so that one
story can be read in both. A metric that rests on fewer than 10 events or 10 non-events MUST be
None here already (small cells): the report only says that it is not shown.

This module does NOT draw and does NOT compute: it names the fields.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from concura.types import JsonObject

__all__ = [
    "Auc", "Block", "Calibration", "CalibrationPoint", "Decision", "Interval",
    "Learning", "Ledger", "Metrics", "Model", "Operating", "PerModel", "Points", "Rates",
    "Reason", "Refused", "Roc", "Stage", "Story", "Tamper", "Text", "Transfer", "Within",
    "Words", "summary",
]  # fmt: skip


class Words(TypedDict):
    """A sentence or a name in both languages."""

    en: str
    zh: str


# Where a plain string stands, it is shown as it is in both languages.
Text = Words | str


class Stage(TypedDict):
    """One stop on the road of the record.

    Attributes:
        stage: which stop.
        text: what happened there, one or two sentences.
        seconds: how long it took; None if it was not timed by itself.
    """

    stage: Literal["collect", "seal", "record", "share", "learn", "decide"]
    text: Text
    seconds: float | None


class Refused(TypedDict):
    """The tries that had to fail: True if they were refused.

    Attributes:
        no_consent: a fetch before the patient's consent stood on the ledger.
        revoked: a fetch after the consent was revoked.
        substituted_key: sealing to a key that the hub had put in place of the reader's.
    """

    no_consent: bool
    revoked: bool
    substituted_key: bool


# `from` is a keyword, hence the functional form.
_Sender = TypedDict("_Sender", {"from": str})


class Transfer(_Sender):
    """The patient's record on its way from one hospital to another.

    Attributes:
        from: id of the hospital that held the record.
        to: id of the hospital that opened it.
        digest: ledger digest of the sealed record, SHA-256 hex.
        size_bytes: size of the sealed record as the hub stored it.
        refused: the tries that had to fail.
        hub_could_open: whether any key the hub has opened its copy; from a real attempt.
        tried: how many keys the attempt used.
    """

    to: str
    digest: str
    size_bytes: int
    refused: Refused
    hub_could_open: bool
    tried: int


class Block(TypedDict):
    """One block of the ledger.

    Attributes:
        height: its number; genesis is 0.
        time_ms: its time stamp, milliseconds since 1970-01-01T00:00:00Z.
        entries: how many entries it holds.
        types: entry type -> count, such as {"consent.grant": 3}.
    """

    height: int
    time_ms: int
    entries: int
    types: dict[str, int]


class Ledger(TypedDict):
    """The ledger at the end of the story.

    Attributes:
        chain: chain id (genesis digest), hex.
        words: the genesis digest as words to compare by telephone; may be "".
        height: number of the last block.
        entries: entries in all blocks.
        final: height of the newest block under a quorum-co-signed head.
        verified: whether every node re-verified the whole chain.
        quorum: cosignatures that make a head final.
        members: active members.
        difficulty: bits of work per block.
        blocks: every block, lowest first.
        head: hash of the last block's header, hex.
        checkpoint: the co-signed checkpoint as text.
    """

    chain: str
    words: str
    height: int
    entries: int
    final: int
    verified: bool
    quorum: int
    members: int
    difficulty: int
    blocks: list[Block]
    head: str
    checkpoint: str


class Tamper(TypedDict):
    """The test that changed one stored byte.

    Attributes:
        detected: whether verification noticed.
        where: the place that verification named, such as "block 7"; None if not detected.
        restored: whether the ledger verified again with the byte put back.
    """

    detected: bool
    where: Text | None
    restored: bool


class Rates(TypedDict):
    """Step sizes of the two optimisers."""

    client: float
    server: float


class Learning(TypedDict):
    """How the model was learned.

    Attributes:
        preset: "default" or "mission".
        rounds: rounds run.
        loss: consortium-wide training log loss after each round; None where too few cases.
        rates: the step sizes that were used.
        weighted: whether hospitals count by their patients (else all alike).
        converged: whether the loss had settled at the end.
        participants: ids of the hospitals that took part.
        training: patients trained on, all hospitals together.
    """

    preset: str
    rounds: int
    loss: list[float | None]
    rates: Rates
    weighted: bool
    converged: bool
    participants: list[str]
    training: int


class PerModel(TypedDict):
    """One number per model; None where too few cases.

    Attributes:
        federated: of the model learned together without moving records.
        pooled: of the model on all records in one place, made for comparison only.
        local: hospital id -> of that hospital's own model, on the same held-out patients.
    """

    federated: float | None
    pooled: float | None
    local: dict[str, float | None]


class Within(TypedDict):
    """AUC within each hospital, averaged; None where too few cases."""

    federated: float | None
    pooled: float | None


class Auc(PerModel):
    """Area under the ROC curve on the held-out patients, and within each hospital, averaged."""

    within: Within


# A curve: [x, y] pairs, both in 0..1.
Points = list[list[float]]


class CalibrationPoint(TypedDict):
    """One group of held-out patients with about the same predicted risk.

    Attributes:
        p: mean predicted risk, 0..1.
        observed: share with the outcome, 0..1.
        n: patients in the group.
    """

    p: float
    observed: float
    n: int


class Calibration(TypedDict):
    """How well the predicted risks match what happened.

    Attributes:
        slope: calibration slope per model; 1 is perfect.
        points: "federated" and, if drawn, "pooled" -> groups by rising risk; [] where too few.
    """

    slope: PerModel
    points: dict[str, list[CalibrationPoint]]


class Roc(TypedDict):
    """ROC curves as [false positive rate, true positive rate], rising; [] where too few cases."""

    federated: Points
    pooled: Points
    local: dict[str, Points]


class Interval(TypedDict):
    """A share with its 95 % interval, all in 0..1."""

    value: float
    low: float
    high: float


class Operating(TypedDict):
    """The federated model at its threshold, on held-out patients; None where too few cases."""

    threshold: float
    sensitivity: Interval | None
    specificity: Interval | None
    ppv: Interval | None


class Metrics(TypedDict):
    """What was measured on the held-out patients.

    Attributes:
        held_out: patients held out, all hospitals together.
        events: how many of them had the outcome; None where too few.
        auc: discrimination.
        brier: Brier score per model; lower is better.
        calibration: slope and groups.
        roc: curves.
        operating: sensitivity, specificity and PPV at the threshold.
    """

    held_out: int
    events: int | None
    auc: Auc
    brier: PerModel
    calibration: Calibration
    roc: Roc
    operating: Operating


class Reason(TypedDict):
    """One of the strongest reasons for a decision; never an imputed value.

    Attributes:
        feature: the feature's name.
        label: its name for readers.
        value: the patient's value, as a number, or words such as yes/no.
        unit: UCUM unit, "" if none.
        direction: whether the value raises ("up") or lowers ("down") the risk.
        contribution: its part of the log odds, signed.
    """

    feature: str
    label: Text
    value: float | Text
    unit: str
    direction: Literal["up", "down"]
    contribution: float


class Model(TypedDict):
    """The model behind a decision and where the ledger says so.

    Attributes:
        version: what the model is called.
        digest: SHA-256 of its canonical JSON, hex; names the study and its consent height too.
        parameters: SHA-256 of the parameters after the last round, hex: the same for the same seed.
        entry: id of the ledger entry that published it, hex.
        block: height of the block with that entry.
        final: whether that block is under a quorum-co-signed head.
    """

    version: str
    digest: str
    parameters: str
    entry: str
    block: int
    final: bool


class Decision(TypedDict):
    """The decision for one held-out patient.

    Attributes:
        line: the line as printed, "Decision: High-risk patient".
        verdict: which of the three.
        probability: predicted risk, 0..1; None if there is no saying.
        threshold: risk from which the verdict is "high", 0..1.
        horizon: what is predicted: "dying within one year of this heart attack".
        reasons: strongest first.
        next_step: the suggested next step.
        imputed: features of this patient that were filled in.
        out_of_range: features of this patient outside the training range.
        model: the model and its place on the ledger.
        patient: pseudonymous label of the patient; never a name.
        hospital: id of the patient's hospital.
    """

    line: Text
    verdict: Literal["high", "low", "cannot-say"]
    probability: float | None
    threshold: float
    horizon: Text
    reasons: list[Reason]
    next_step: Text
    imputed: list[str]
    out_of_range: list[str]
    model: Model
    patient: str
    hospital: str


class Story(TypedDict):
    """The whole story.

    Attributes:
        version: version of the program.
        lang: language in which the story was told, "en" or "zh".
        seed: seed of the study.
        created: time of the report, ISO 8601 with zone, "2025-03-04T10:22:31Z".
        source: line that says where the data come from, and that names and hospitals are invented.
        names: hospital id -> its name; the order of hospitals in tables and pictures.
        patients: hospital id -> patients.
        outcomes: hospital id -> patients with the outcome; None where too few.
        labels: feature -> its name for readers; a feature not here is shown by its own name.
        imputed: feature -> values that were filled in, all hospitals together.
        ignored: names of files that were not read.
        road: the six stops in order.
        transfer: the record on its way.
        ledger: who shared what, when.
        tamper: the changed byte.
        learning: how the model was learned.
        metrics: how good it is.
        decision: what it says.
        seconds: part of the story -> how long it took; "total" is the whole.
    """

    version: str
    lang: str
    seed: int
    created: str
    source: Text
    names: dict[str, Words]
    patients: dict[str, int]
    outcomes: dict[str, int | None]
    labels: dict[str, Text]
    imputed: dict[str, int]
    ignored: list[str]
    road: list[Stage]
    transfer: Transfer
    ledger: Ledger
    tamper: Tamper
    learning: Learning
    metrics: Metrics
    decision: Decision
    seconds: dict[str, float]


def summary(story: Mapping[str, Any], *, report: str) -> JsonObject:
    """Take from a story what `--json` prints.

    Args:
        story: the story; its `lang` decides the language of the words.
        report: path of the report.

    Returns:
        One flat object of plain JSON values.

    Raises:
        KeyError: the story lacks a part.

    Example:
        >>> summary(story, report="report.html")["hub_could_open"]  # doctest: +SKIP
        False
    """
    decision, metrics, ledger = story["decision"], story["metrics"], story["ledger"]
    lang = story["lang"]
    reasons = [
        {name: _text(value, lang) for name, value in reason.items()}
        for reason in decision["reasons"]
    ]
    return {
        "decision": _text(decision["line"], lang),
        "risk": decision["probability"],
        "threshold": decision["threshold"],
        "horizon": _text(decision["horizon"], lang),
        "reasons": reasons,
        "auc": metrics["auc"],
        "brier": metrics["brier"],
        "calibration": metrics["calibration"]["slope"],
        "rounds": story["learning"]["rounds"],
        "model": {name: decision["model"][name] for name in ("digest", "parameters")},
        "patients": story["patients"],
        "imputed": story["imputed"],
        "ledger": {key: ledger[key] for key in ("height", "entries", "verified", "final")},
        "tamper": {
            "detected": story["tamper"]["detected"],
            "where": _text(story["tamper"]["where"], lang),
        },
        "refused": story["transfer"]["refused"],
        "hub_could_open": story["transfer"]["hub_could_open"],
        "seconds": story["seconds"],
        "report": report,
    }


def _text(value: Any, lang: str) -> Any:
    return value["zh" if lang == "zh" else "en"] if isinstance(value, dict) else value
