"""A decision as a FHIR R4 RiskAssessment (4.0.1).

R4 gives `probabilityDecimal` as a percentage (invariant ras-2: at most 100) and reads a missing
`when` as lifelong: so 100 p is written, and `whenPeriod` and `outcome` always stand.

This module does NOT store it, and draws no id or time: they are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from concura.decisions.decision import Decision, Verdict
from concura.decisions.explain import Explanation
from concura.types import JsonObject

__all__ = ["MODEL_SYSTEM", "Occasion", "risk_assessment"]

MODEL_SYSTEM = "https://concura.example/fhir/model"  # the code is the model's id on the ledger
_RISK_SYSTEM = "http://terminology.hl7.org/CodeSystem/risk-probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Whom and when a decision is about; times as FHIR dateTime.

    Args:
        subject: reference to the patient, `Patient/...`.
        time: when it was decided.
        start: the index time, from which the horizon runs.
        end: the end of the horizon; the index time itself for a state found then.
        outcome: what is predicted, in words.
        basis: references to what the values were read from.
    """

    subject: str
    time: str
    start: str
    end: str
    outcome: str
    basis: Sequence[str] = field(default_factory=tuple)


def risk_assessment(
    decision: Decision, explanation: Explanation, *, occasion: Occasion, resource_id: str = ""
) -> JsonObject:
    """Write the RiskAssessment.

    Args:
        decision: the decision.
        explanation: the decision in words.
        occasion: whom and when it is about.
        resource_id: logical id; left out if empty.

    Returns:
        The resource.
    """
    basis = [{"reference": reference} for reference in occasion.basis]
    return {
        "resourceType": "RiskAssessment",
        **({"id": resource_id} if resource_id else {}),
        "status": "final",
        "method": {
            "coding": [{"system": MODEL_SYSTEM, "code": decision.model}],
            "text": explanation.version,
        },
        "subject": {"reference": occasion.subject},
        "occurrenceDateTime": occasion.time,
        **({"basis": basis} if basis else {}),
        "prediction": [_prediction(decision, explanation, occasion)],
        "mitigation": explanation.step,
        "note": [{"text": explanation.notice}],
    }


def _prediction(decision: Decision, explanation: Explanation, occasion: Occasion) -> JsonObject:
    prediction: JsonObject = {
        "outcome": {"text": occasion.outcome},
        "whenPeriod": {"start": occasion.start, "end": occasion.end},
        "rationale": " ".join((explanation.line, *explanation.reasons, *explanation.doubts)),
    }
    if decision.verdict is not Verdict.CANNOT_SAY and decision.probability is not None:
        # Two decimals of a percent are more than any such model knows.
        prediction["probabilityDecimal"] = round(100 * decision.probability, 2)
        prediction["qualitativeRisk"] = {
            "coding": [{"system": _RISK_SYSTEM, "code": decision.verdict.value}]
        }
    return prediction
