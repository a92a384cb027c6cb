"""From a model to a decision that a person can check: verdict, reasons, card, RiskAssessment.

Written to CDS Hooks 2.0 and FHIR R4 (4.0.1). It does NOT train, store or serve anything.
"""

from concura.decisions.card import card
from concura.decisions.decision import Decision, Reason, Verdict, can_say, decide
from concura.decisions.explain import Explanation, Wording, explain, percent
from concura.decisions.risk import Occasion, risk_assessment

__all__ = [
    "Decision",
    "Explanation",
    "Occasion",
    "Reason",
    "Verdict",
    "Wording",
    "can_say",
    "card",
    "decide",
    "explain",
    "percent",
    "risk_assessment",
]
