"""A decision in words, as a card, as a RiskAssessment."""

import json
import re

import pytest

from concura.decisions import (
    Decision,
    Occasion,
    Reason,
    Verdict,
    Wording,
    card,
    explain,
    percent,
    risk_assessment,
)

EN = Wording(
    labels={"age": "Age", "shock": "Cardiogenic shock", "bmi": "Body mass index"},
    units={"age": "years", "bmi": "kg/m²"},
    binary={"shock"},
    meaning="dying within one year of this heart attack",
)
ZH = Wording(
    labels={"age": "年龄", "shock": "心源性休克", "bmi": "体重指数"},
    units={"age": "岁"},
    binary={"shock"},
    meaning="本次心肌梗死后一年内死亡",
    lang="zh",
)


def decision(verdict=Verdict.HIGH, **changes):
    silent = verdict is Verdict.CANNOT_SAY
    given = {
        "verdict": verdict,
        "probability": None if silent else 0.4149,
        "threshold": 0.2,
        "reasons": ()
        if silent
        else (Reason("age", 84.0, "raises", 1.2), Reason("shock", 1.0, "raises", 0.9)),
        "imputed": ("bmi",),
        "out_of_range": ("age",) if silent else (),
        "inputs": 13,
        "outcome": "one-year-death",
        "horizon_days": 365,
        "model": "ab" * 32,
    }
    return Decision(**{**given, **changes})


@pytest.mark.parametrize(
    ("verdict", "english", "chinese"),
    [
        (Verdict.HIGH, "Decision: High-risk patient", "决策：高风险患者"),
        (Verdict.LOW, "Decision: Low-risk patient", "决策：低风险患者"),
        (Verdict.CANNOT_SAY, "Decision: Cannot say", "决策：无法判断"),
    ],
)
def test_the_line_is_the_one_that_was_promised(verdict, english, chinese):
    assert explain(decision(verdict), wording=EN).line == english
    assert explain(decision(verdict), wording=ZH).line == chinese


def test_the_words_give_risk_reasons_doubts_step_version_and_notice():
    found = explain(decision(), wording=EN)

    assert "dying within one year of this heart attack is 41 %" in found.risk
    assert found.reasons == (
        "Age: 84 years (raises the risk)",
        "Cardiogenic shock: yes (raises the risk)",
    )
    assert found.doubts == (
        "1 of 13 inputs are missing and were filled with averages: Body mass index.",
    )
    assert found.step
    assert found.version == "Model abababababab"
    assert found.notice == "A demonstration, not for care."


def test_chinese_is_chinese_throughout():
    found = explain(decision(Verdict.CANNOT_SAY), wording=ZH)
    text = " ".join((found.line, *found.doubts, found.step, found.version, found.notice))

    assert not re.search("[A-Za-z]", text.replace("abababababab", ""))
    assert "年龄" in text


def test_cannot_say_gives_no_risk_and_says_what_to_complete():
    found = explain(decision(Verdict.CANNOT_SAY), wording=EN)

    assert found.risk == ""
    assert found.reasons == ()
    assert "Body mass index, Age" in found.step


def test_a_complete_record_out_of_range_raises_one_doubt_only():
    found = explain(decision(Verdict.CANNOT_SAY, imputed=()), wording=EN)

    assert found.doubts == ("Outside the range that the model was trained on: Age.",)


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "< 0.1"), (0.0123, "1.2"), (0.0996, "10"), (0.4149, "41"), (0.999, "> 99")],
)
def test_percentages_are_short_and_never_certain(probability, text):
    assert percent(probability) == text


@pytest.mark.parametrize(
    ("verdict", "indicator"),
    [(Verdict.HIGH, "critical"), (Verdict.LOW, "info"), (Verdict.CANNOT_SAY, "warning")],
)
def test_the_card_is_what_cds_hooks_asks_for(verdict, indicator):
    d = decision(verdict)

    found = card(d, explain(d, wording=EN), uuid="u", url="https://hub.example/")

    assert found["summary"].startswith("Decision: ")
    assert len(found["summary"]) < 140
    assert found["indicator"] == indicator
    assert found["source"] == {"label": "Concura", "url": "https://hub.example/"}
    assert "A demonstration, not for care." in found["detail"]
    assert "abababababab" in found["detail"]
    assert _no_empty(found)


def test_a_card_without_identity_or_address_has_no_empty_field():
    d = decision()

    assert set(card(d, explain(d, wording=EN))) == {"summary", "indicator", "source", "detail"}


def test_marks_in_a_label_stay_text_in_the_card():
    d = decision()
    wording = Wording(labels={"age": "<b>*Age*</b>"}, units={}, binary=(), meaning="x")

    detail = card(d, explain(d, wording=wording))["detail"]

    assert "\\<b\\>\\*Age\\*" in detail


def occasion(**changes):
    return Occasion(
        **{
            "subject": "Patient/p1",
            "time": "2026-01-02T03:04:05Z",
            "start": "2026-01-01",
            "end": "2027-01-01",
            "outcome": "dying within one year",
            "basis": ("Observation/o1",),
            **changes,
        }
    )


def test_the_risk_assessment_gives_percent_when_and_outcome():
    d = decision()

    found = risk_assessment(d, explain(d, wording=EN), occasion=occasion(), resource_id="r1")

    prediction = found["prediction"][0]
    assert prediction["probabilityDecimal"] == 41.49
    assert prediction["whenPeriod"] == {"start": "2026-01-01", "end": "2027-01-01"}
    assert prediction["outcome"] == {"text": "dying within one year"}
    assert prediction["qualitativeRisk"]["coding"][0]["code"] == "high"
    assert found["status"] == "final"
    assert found["method"]["coding"][0]["code"] == d.model
    assert found["basis"] == [{"reference": "Observation/o1"}]
    assert _no_empty(found)
    json.dumps(found)


def test_a_risk_assessment_that_cannot_say_still_gives_when_and_outcome_but_no_number():
    d = decision(Verdict.CANNOT_SAY)

    found = risk_assessment(d, explain(d, wording=EN), occasion=occasion(basis=()))

    prediction = found["prediction"][0]
    assert {"whenPeriod", "outcome", "rationale"} == set(prediction)
    assert "basis" not in found
    assert "id" not in found


def _no_empty(value):
    if isinstance(value, dict):
        return bool(value) and all(_no_empty(v) for v in value.values())
    if isinstance(value, list):
        return bool(value) and all(_no_empty(v) for v in value)
    return value is not None and value != ""
