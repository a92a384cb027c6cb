"""A decision in words, English or Chinese: what a clinician reads.

Every sentence comes from the catalogue; labels, units and the meaning of the outcome come with the
feature definitions. This module does NOT decide.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from concura.decisions.decision import Decision, Reason, Verdict
from concura.errors import say

__all__ = ["Explanation", "Wording", "explain", "percent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How the study's features and outcome are called in one language.

    Args:
        labels: label of each column by name; the name itself where none is given.
        units: unit that people read, by name; empty or absent for none.
        binary: names of the columns that are yes or no.
        meaning: completes "the risk of ...": "dying within one year of this heart attack".
        lang: `en` or `zh`.
    """

    labels: Mapping[str, str]
    units: Mapping[str, str]
    binary: Collection[str]
    meaning: str
    lang: str = "en"

    def name(self, feature: str) -> str:
        """Call a feature, or a category by its name before `=`."""
        return self.labels.get(feature, feature)

    def value(self, feature: str, value: float) -> str:
        """Write a value as people read it: yes or no, or a number with its unit."""
        if feature in self.binary:
            return say("decision.value.yes" if value else "decision.value.no", self.lang)
        unit = self.units.get(feature, "")
        return f"{round(value, 1):g}{' ' + unit if unit else ''}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision in words.

    Args:
        line: "Decision: High-risk patient".
        risk: the probability, what it is of, and the threshold; "" where the model cannot say.
        reasons: one sentence each.
        doubts: what is missing or out of range; may be empty.
        action: the suggested next step.
        step: the same as a sentence: "Next step: ...".
        version: the model's version.
        notice: "A demonstration, not for care."
    """

    line: str
    risk: str
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]
    action: str
    step: str
    version: str
    notice: str


def explain(decision: Decision, *, wording: Wording) -> Explanation:
    """Put a decision into words.

    Args:
        decision: from `decide`.
        wording: how features and outcome are called.

    Returns:
        The sentences.

    Example:
        >>> explain(decision, wording=wording).line
        'Decision: High-risk patient'
    """
    lang = wording.lang
    verdict = say(f"decision.{decision.verdict.value}", lang)
    action = _action(decision, wording)
    return Explanation(
        line=say("decision.line", lang, verdict=verdict),
        risk=_risk(decision, wording),
        reasons=tuple(_reason(reason, wording) for reason in decision.reasons),
        doubts=_doubts(decision, wording),
        action=action,
        step=say("decision.step", lang, action=action),
        version=say("decision.version", lang, version=decision.model[:12]),
        notice=say("decision.notice", lang),
    )


def percent(probability: float) -> str:
    """Write a probability in percent, with a decimal below ten, never as nought or hundred."""
    value = 100 * probability
    if value < 0.1:
        return "< 0.1"
    if value > 99:
        return "> 99"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _risk(decision: Decision, wording: Wording) -> str:
    if decision.probability is None:
        return ""
    return say(
        "decision.risk",
        wording.lang,
        meaning=wording.meaning,
        percent=percent(decision.probability),
        threshold=percent(decision.threshold),
    )


def _reason(reason: Reason, wording: Wording) -> str:
    return say(
        f"decision.reason.{reason.direction}",
        wording.lang,
        label=wording.name(reason.feature),
        value=wording.value(reason.feature, reason.value),
    )


def _doubts(decision: Decision, wording: Wording) -> tuple[str, ...]:
    lang = wording.lang
    found: list[str] = []
    if decision.imputed:
        found.append(
            say(
                "decision.doubt.imputed",
                lang,
                count=len(decision.imputed),
                inputs=decision.inputs,
                labels=_listing(decision.imputed, wording),
            )
        )
    if decision.out_of_range:
        found.append(
            say("decision.doubt.range", lang, labels=_listing(decision.out_of_range, wording))
        )
    return tuple(found)


def _action(decision: Decision, wording: Wording) -> str:
    if decision.verdict is not Verdict.CANNOT_SAY:
        return say(f"decision.step.{decision.verdict.value}", wording.lang)
    names = dict.fromkeys((*decision.imputed, *decision.out_of_range))
    return say("decision.step.cannot-say", wording.lang, labels=_listing(tuple(names), wording))


def _listing(names: tuple[str, ...], wording: Wording) -> str:
    return say("decision.and", wording.lang).join(wording.name(name) for name in names)
