"""The report's page: complete, in one language, self-contained, and safe against its data."""

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from concura.data.words import report as words
from concura.web.report import render, summary
from concura.web.report.markup import Html, join, tag
from concura.web.report.wording import Reader

VECTORS = Path(__file__).parents[1] / "vectors" / "report"
LANGUAGES = ["en", "zh"]
VOID = {"br", "hr", "meta"}


def _load(name):
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def story():
    return _load("story")


class Page(HTMLParser):
    """An independent reading of the page: balanced tags, their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.style = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(self.text)


@pytest.mark.parametrize("name", ["story", "harsh"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_element_is_closed_and_every_picture_is_described(name, lang):
    page = Page(render(_load(name), lang=lang))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    pictures = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert pictures
    for attrs in pictures:
        assert {attrs["aria-labelledby"], attrs["aria-describedby"]} <= set(ids)


def test_the_full_story_has_every_picture(story):
    page = Page(render(story, lang="en"))
    ids = {attrs.get("id") for _, attrs in page.tags}
    pictures = ("risk", "reasons", "passage", "timeline", "loss", "roc", "calibration", "bars")
    assert {f"{name}-title" for name in (*pictures, "intervals")} <= ids
    assert [tag for tag, attrs in page.tags if attrs.get("class") == "road"] == ["ol"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_names_nothing_outside_itself(story, lang):
    text = render(story, lang=lang)
    page = Page(text)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in page.style
    assert set(re.findall(r"url\((.*?)\)", page.style)) <= {
        f'"#p-{n}"' for n in ("rising", "falling", "level", "dotted")
    }
    for tag_, attrs in page.tags:
        assert tag_ not in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "href", "style", "srcset", "action"} & set(attrs)
        assert not [name for name in attrs if name.startswith("on")]


def test_the_policy_allows_this_style_sheet_alone(story):
    page = Page(render(story, lang="en"))
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_hospital_named_like_a_script_stays_text(story, lang):
    evil = "<script>alert(1)</script>\"'&"
    before = [tag for tag, _ in Page(render(story, lang=lang)).tags]
    for member in story["names"]:
        story["names"][member] = {"en": evil, "zh": evil}
    text = render(story, lang=lang)
    page = Page(text)
    assert evil in page.words
    assert "<script" not in text
    # Long names may take a second line in a picture; no other element appears.
    assert set(before) == {tag for tag, _ in page.tags}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_string_of_the_story_can_become_markup(story, lang):
    evil = "</text></svg></style><img src=x onerror=alert(1)>"

    def poison(value):
        if isinstance(value, dict):
            return {key: poison(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [poison(inner) for inner in value]
        return evil if isinstance(value, str) else value

    poisoned = poison(story)
    for stage, original in zip(poisoned["road"], story["road"], strict=True):
        stage["stage"] = original["stage"]
    for reason, original in zip(
        poisoned["decision"]["reasons"], story["decision"]["reasons"], strict=True
    ):
        reason["direction"] = original["direction"]
    poisoned["decision"]["verdict"] = story["decision"]["verdict"]
    assert "<img" not in render(poisoned, lang=lang)


@pytest.mark.parametrize(
    ("lang", "sentence"), [("en", "not shown: too few cases"), ("zh", "病例过少，不予显示")]
)
def test_what_rests_on_too_few_cases_is_said_not_to_be_shown(lang, sentence):
    page = Page(render(_load("harsh"), lang=lang))
    assert page.words.count(sentence) >= 10
    assert "None" not in page.words
    assert "nan" not in page.words


def test_a_single_hidden_count_cannot_be_read_off_the_sum(story):
    shown = sum(count for count in story["outcomes"].values() if count is not None)
    story["outcomes"] = dict.fromkeys(story["outcomes"], 1000) | {"hospital-d": None}
    page = Page(render(story, lang="en"))
    assert shown
    assert "3,000" not in page.words


@pytest.mark.parametrize(
    ("lang", "notice"),
    [("en", "A demonstration, not for care."), ("zh", "演示用途，不可用于诊疗。")],
)
def test_the_page_says_that_it_is_not_for_care(story, lang, notice):
    assert Page(render(story, lang=lang)).words.count(notice) == 2


@pytest.mark.parametrize(
    ("lang", "line"), [("en", "Decision: High-risk patient"), ("zh", "决策：高风险患者")]
)
def test_the_decision_stands_on_the_page_with_risk_and_threshold(story, lang, line):
    page = Page(render(story, lang=lang))
    assert line in page.words
    assert f"{100 * story['decision']['probability']:.0f}%" in page.words
    assert f"{100 * story['decision']['threshold']:.0f}%" in page.words


def test_a_failed_check_is_shown_as_failed(story):
    good = Page(render(story, lang="en")).words
    story["transfer"]["hub_could_open"] = True
    story["ledger"]["verified"] = False
    bad = Page(render(story, lang="en")).words
    assert "FAILED" not in good
    assert bad.count("FAILED") == 2
    assert "OPENED IT" in bad


@pytest.mark.parametrize("name", ["story", "harsh"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_is_small(name, lang):
    assert len(render(_load(name), lang=lang).encode()) <= 300_000


def test_the_same_story_gives_the_same_page_and_is_left_alone(story):
    before = copy.deepcopy(story)
    assert render(story, lang="zh") == render(story, lang="zh")
    assert story == before


def test_the_chinese_page_has_no_english_and_the_other_way_round(story):
    technical = {
        "AES", "AUC", "Brier", "Concura", "FHIR", "GCM", "ROC", "RSA", "UTC", "mmHg", "SOURCE", "txt", "heart", "disease", "names", "whas",
    }  # fmt: skip
    story["ledger"] |= {"words": "", "checkpoint": "", "head": "", "chain": ""}
    story["transfer"]["digest"] = ""
    story["decision"]["model"] |= {"digest": "", "entry": ""}
    found = set(re.findall(r"[A-Za-z]{3,}", Page(render(story, lang="zh")).words))
    assert found <= technical
    assert set(re.findall(r"[㐀-鿿]+", Page(render(story, lang="en")).words)) == {"康互"}


def test_both_languages_take_the_same_values():
    for key, (english, chinese) in words.WORDS.items():
        if not key.startswith("report.unit."):
            assert sorted(re.findall(r"{(\w+)}", english)) == sorted(
                re.findall(r"{(\w+)}", chinese)
            ), key


@pytest.mark.parametrize(
    ("lang", "expected"), [("zh-CN", "zh-Hans"), ("zh", "zh-Hans"), ("en", "en"), ("fr", "en")]
)
def test_the_page_names_its_language(story, lang, expected):
    assert Page(render(story, lang=lang)).tags[0] == ("html", {"lang": expected})


@pytest.mark.parametrize(
    "rounds", [[], [None], [0.5], [0.5, 0.5], [1e6, 2.0], [0.69315, 0.69314], [5e9, 1.0]]
)
def test_any_loss_curve_can_be_drawn(story, rounds):
    story["learning"]["loss"] = rounds
    Page(render(story, lang="en"))


@pytest.mark.parametrize("contributions", [[], [0.0], [-1.0, -2.0], [3.0], [1e-9, -1e9]])
def test_any_reasons_can_be_drawn(story, contributions):
    reason = story["decision"]["reasons"][0]
    story["decision"]["reasons"] = [{**reason, "contribution": value} for value in contributions]
    text = render(story, lang="en")
    Page(text)
    assert not re.search(r'(width|height)="-', text)


@pytest.mark.parametrize("risk", [None, 0.0, 0.0004, 0.5, 0.9996, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.172, 1.0])
def test_any_risk_can_be_drawn(story, risk, threshold):
    story["decision"] |= {"probability": risk, "threshold": threshold}
    Page(render(story, lang="en"))


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0%"),
        (0.0004, "<0.1%"),
        (0.003, "0.3%"),
        (0.9004, "90%"),
        (0.997, "99.7%"),
        (0.9996, ">99.9%"),
        (1, "100%"),
    ],
)
def test_a_share_near_either_end_claims_no_certainty(share, words):
    assert Reader("en").percent(share) == words


def test_a_ledger_without_blocks_can_be_drawn(story):
    story["ledger"]["blocks"] = []
    assert "There are no blocks." in Page(render(story, lang="en")).words


def test_children_are_escaped_unless_they_are_markup():
    assert tag("p", "<b>", Html("<br>"), None, title='"') == '<p title="&quot;">&lt;b&gt;<br></p>'
    assert join("a & b", 1) == "a &amp; b1"


def test_the_summary_has_what_json_prints(story):
    flat = summary(story, report="report.html")
    assert list(flat) == [
        "decision", "risk", "threshold", "horizon", "reasons", "auc", "brier", "calibration",
        "rounds", "model", "patients", "imputed", "ledger", "tamper", "refused", "hub_could_open",
        "seconds", "report",
    ]  # fmt: skip
    assert flat["decision"] == "Decision: High-risk patient"
    assert flat["reasons"][0]["label"] == "Age"
    assert flat["tamper"] == {"detected": True, "where": "block 7"}
    assert json.loads(json.dumps(flat)) == flat
