"""The decision as a card: verdict, risk on its scale, reasons, next step, and where it comes from.

This module does NOT advise: the next step is the story's.
"""

from concura.web.report.charts import reasons, risk
from concura.web.report.markup import Html, tag
from concura.web.report.sections.frame import facts
from concura.web.report.story import Decision, Story
from concura.web.report.wording import Reader

__all__ = ["decided"]

_SIGNS = {"high": "▲", "low": "●", "cannot-say": "?"}  # the verdict without its colour
_SHORT = 16  # characters of a digest that a person compares at a glance


def decided(story: Story, reader: Reader) -> Html:
    """Write the card."""
    decision = story["decision"]
    verdict = decision["verdict"]
    left = tag(
        "div",
        tag("p", reader.say("decided.kind"), class_="kind"),
        tag(
            "h2",
            tag("span", _SIGNS[verdict], class_="sign", aria_hidden="true"),
            tag("span", reader.text(decision["line"])),
            id="decided",
            class_="verdict",
        ),
        tag("p", _meaning(decision, reader), class_="meaning"),
        risk(decision, reader),
        _next_step(decision, reader),
    )
    right = tag(
        "div", tag("h3", reader.say("reasons.title")), _reasons(decision, reader),
        _caveats(decision, reader),
    )  # fmt: skip
    return tag(
        "section",
        tag("div", left, right, class_="pair"),
        _provenance(decision, reader),
        class_=f"card {verdict}",
        aria_labelledby="decided",
    )


def _meaning(decision: Decision, reader: Reader) -> Html | str:
    horizon = reader.text(decision["horizon"])
    if decision["probability"] is None:
        return reader.say("decided.unknown", horizon=horizon)
    share = reader.percent(decision["probability"])
    return reader.say("decided.meaning", risk=share, horizon=horizon)


def _next_step(decision: Decision, reader: Reader) -> Html:
    return tag(
        "p",
        tag("strong", reader.say("decided.next")),
        " ",
        reader.text(decision["next_step"]),
        class_="next",
    )


def _reasons(decision: Decision, reader: Reader) -> Html:
    if not decision["reasons"]:
        return tag("p", reader.say("reasons.none"), class_="note")
    return tag(
        "div",
        reasons(decision["reasons"], reader),
        tag("p", reader.say("reasons.note"), class_="note"),
    )


def _caveats(decision: Decision, reader: Reader) -> Html | None:
    named = {
        key: reader.listing([reader.feature(name) for name in decision[key]])
        for key in ("imputed", "out_of_range")
        if decision[key]
    }
    if not named:
        return None
    lines = (tag("li", reader.say(f"decided.{key}", names=names)) for key, names in named.items())
    return tag("ul", *lines, class_="caveats")


def _provenance(decision: Decision, reader: Reader) -> Html:
    model = decision["model"]
    key = "decided.final" if model["final"] else "decided.waiting"
    hospital = reader.hospital(decision["hospital"])
    return facts(
        [
            (reader.say("fact.patient"), f"{decision['patient']} · {hospital}"),
            (reader.say("fact.model"), f"{model['version']} · {model['digest'][:_SHORT]}…"),
            (
                reader.say("fact.proof"),
                reader.say(key, entry=f"{model['entry'][:_SHORT]}…", block=model["block"]),
            ),
        ]
    )
