import pytest

from concura.cli.main import parser_of
from concura.cli.plan import Plan, read_plan, settle, wish
from concura.errors import ConfigInvalid, StoreCorrupt


def options(*words, lang="en"):
    return parser_of("up", lang).parse_args(["x", *words])


def fix(folder, *words, lang="en"):
    said = options(*words, lang=lang)
    return settle(folder, wish(said), said)


def test_four_hospitals_in_the_readers_language_are_the_default():
    assert wish(options()).hospitals[0] == ("hospital-a", "Hospital A")
    assert wish(options(lang="zh")) == Plan(
        "联盟", tuple((f"hospital-{m}", f"医院 {m.upper()}") for m in "abcd")
    )


def test_names_are_taken_as_they_are_and_members_stay_plain():
    plan = wish(options("--names", "St. Mary, 北京协和医院", "--name", "Heart"))
    assert plan == Plan("Heart", (("hospital-a", "St. Mary"), ("hospital-b", "北京协和医院")))


def test_members_beyond_the_alphabet_have_numbers():
    assert wish(options("--hospitals", "28")).hospitals[25:][1] == ("hospital-27", "Hospital 27")


@pytest.mark.parametrize(
    "words",
    [
        ["--hospitals", "0"],
        ["--hospitals", "-1"],
        ["--hospitals", "257"],
        ["--names", ""],
        ["--names", "A,,B"],
        ["--names", "A,A"],
        ["--names", "A,B", "--hospitals", "3"],
        ["--names", "A\x07"],
        ["--names", "A" * 65],
        ["--name", "N" * 65],
        ["--name", "\x1b[2J"],
    ],
)
def test_impossible_wishes_are_refused(words):
    with pytest.raises(ConfigInvalid) as caught:
        wish(options(*words))
    assert caught.value.why == "hospitals"


def test_a_plan_is_kept_whatever_the_language_of_the_next_command(tmp_path):
    first = fix(tmp_path, "--hospitals", "2")
    assert fix(tmp_path, lang="zh") == first
    assert fix(tmp_path, "--hospitals", "2", lang="zh") == first
    assert read_plan(tmp_path) == first


@pytest.mark.parametrize("words", [["--hospitals", "3"], ["--names", "A,B"], ["--name", "Other"]])
def test_a_plan_cannot_be_changed(tmp_path, words):
    fix(tmp_path, "--hospitals", "2")
    with pytest.raises(ConfigInvalid) as caught:
        fix(tmp_path, *words)
    assert (caught.value.why, caught.value.values["name"]) == ("fixed", words[0])


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"name": "N"}', '{"name": "N", "hospitals": [1]}']
)
def test_a_damaged_plan_is_reported(tmp_path, text):
    (tmp_path / "consortium.json").write_text(text)
    with pytest.raises(StoreCorrupt):
        read_plan(tmp_path)
    assert read_plan(tmp_path / "none") is None
