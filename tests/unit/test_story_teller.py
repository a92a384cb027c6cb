"""How the story is told: headings, indented lines, both languages kept, seconds on the road."""

import io

import pytest

from concura.cli.output import Output
from concura.cli.story.tell import Teller, both


def teller(lang="en", *, json=False):
    sink = io.StringIO()
    return Teller(Output(lang, json=json, color=False, stdout=sink)), sink


def test_a_sentence_is_kept_in_both_languages_with_values_in_each():
    found = both("story.check.share", name=both("story.metric.ppv"), value=1, low=0, high=2)
    assert found["en"].startswith("Positive predictive value")
    assert found["zh"].startswith("阳性预测值")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_line_takes_the_words_of_the_readers_language(lang):
    told, sink = teller(lang)
    told.line("story.check.tampered", where=both("story.where.block", height=3))
    assert ("block 3" in sink.getvalue()) == (lang == "en")
    assert ("第 3 个区块" in sink.getvalue()) == (lang == "zh")
    assert sink.getvalue().startswith("   ")


def test_a_stage_is_timed_and_its_stop_on_the_road_with_it():
    told, sink = teller()
    with told.stage("learn", 3):
        told.stop("learn", "story.road.learn", rounds=1, count=3)
    assert sink.getvalue().startswith("3  Learn")
    assert told.story["road"][0]["seconds"] == told.story["seconds"]["learn"] >= 0


def test_a_stage_that_fails_is_not_timed():
    told, _ = teller()
    with pytest.raises(KeyError), told.stage("learn", 3):
        raise KeyError
    assert told.story["seconds"] == {}


def test_with_json_nothing_is_told():
    told, sink = teller(json=True)
    with told.stage("learn", 3):
        told.line("story.collect.complete")
    assert sink.getvalue() == ""
