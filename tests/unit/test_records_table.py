"""Tables are read strictly, and every kind of broken file is named by file, line and column."""

import copy
import json
from contextlib import suppress

import pytest

from concura.adapters.table_files import load_mapping, read_folder, shipped_mappings
from concura.errors import ConcuraError, DataFileInvalid, FolderUnusable, MappingInvalid
from concura.records import choose_mapping, count_missing, parse_mapping, parse_table

WHAS, HEART = shipped_mappings()
GOOD = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"


def heart(**changes):
    raw = copy.deepcopy(HEART.raw)
    raw["table"].update(changes)
    return parse_mapping(raw)


def refusal(text, mapping=HEART):
    with pytest.raises(DataFileInvalid) as caught:
        parse_table(text, mapping, file="x.data")
    for lang in ("en", "zh"):
        assert caught.value.message(lang).startswith("x.data")
        assert caught.value.hint(lang)
    return caught.value


def test_a_good_row_becomes_numbers_categories_and_a_sex():
    (row,) = parse_table(GOOD + "\n", HEART, file="x.data")
    assert row.number == 1
    assert row.values["age"] == 63.0
    assert row.values["sex"] == "male"
    assert row.values["cp"] == "1"
    assert row.values["oldpeak"] == 2.3
    assert "slope" not in row.values


def test_question_marks_and_zero_cholesterol_are_missing():
    text = "32,1,1,95,0,?,0,127,0,.7,1,?,?,1\n35,1,4,0,0.0,?,0,130,1,?,?,?,7,3\n"
    rows = parse_table(text, HEART, file="x.data")
    missing = count_missing(rows)
    assert missing["chol"] == 2
    assert missing["trestbps"] == 1
    assert missing["fbs"] == 2
    assert missing["oldpeak"] == 1
    assert missing["age"] == 0


def test_blank_lines_comments_a_byte_order_mark_and_windows_line_ends_do_no_harm():
    text = "\ufeff# note\r\n\r\n" + GOOD + "\r\n"
    assert len(parse_table(text, heart(comment="#"), file="x.data")) == 1


def test_too_few_or_too_many_columns_name_the_line():
    error = refusal(GOOD + "\n" + GOOD + ",1\n")
    assert (error.why, error.values["line"]) == ("columns", ":2")
    assert (error.values["found"], error.values["expected"]) == (15, 14)
    assert refusal("1,2,3\n").why == "columns"


@pytest.mark.parametrize(
    "cell", ["abc", "nan", "inf", "1_000", "٣", "0x10", "1,5", "--1", "1e9999"]
)
def test_text_where_a_number_belongs_is_refused_and_not_repeated(cell):
    error = refusal(GOOD.replace("145.0", f'"{cell}"'))
    assert error.why == "number"
    assert error.values["column"] == "trestbps"
    assert cell not in error.message().replace("x.data:1", "")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_file_without_a_patient_is_refused(text):
    assert refusal(text, heart(comment="#")).why == "empty"


def test_an_unknown_category_or_sex_is_refused():
    assert refusal(GOOD.replace("63.0,1.0,1.0", "63.0,1.0,9")).values["column"] == "cp"
    assert refusal(GOOD.replace("63.0,1.0", "63.0,7")).values["column"] == "sex"
    assert refusal(GOOD.replace("233.0,1.0", "233.0,2")).values["column"] == "fbs"


def test_an_age_in_parts_of_years_is_refused():
    assert refusal(GOOD.replace("63.0", "63.5")).why == "whole_years"


def test_a_million_column_line_is_refused_before_it_is_split():
    assert refusal("1," * 1_000_000).why == "line_length"


def test_quotation_marks_that_do_not_match_are_refused():
    assert refusal('"63.0,1').why == "quotes"


def test_a_number_outside_the_plausible_range_is_missing_and_named():
    (row,) = parse_table(GOOD.replace("145.0", "1450"), HEART, file="x.data")
    assert row.values["trestbps"] is None
    assert row.implausible == ("trestbps",)


def test_a_mapping_may_make_implausible_numbers_an_error():
    error = refusal(GOOD.replace("145.0", "1450"), heart(implausible="error"))
    assert (error.why, error.values["column"]) == ("implausible", "trestbps")


HEAD = ",".join(c.name for c in WHAS.columns)
LINE = "1,hospital-a,83,0,89,152,78,25.54051,1,1,0,0,0,1,0,5,2178,0"


def test_a_header_decides_the_order_of_the_columns():
    names, cells = HEAD.split(","), LINE.split(",")
    text = ",".join(reversed(names)) + "\n" + ",".join(reversed(cells)) + "\n"
    turned = parse_table(text, WHAS, file="x.csv")
    assert turned[0].values == parse_table(f"{HEAD}\n{LINE}\n", WHAS, file="x.csv")[0].values
    assert turned[0].values["bmi"] == 25.54051


def test_a_wrong_header_is_refused():
    assert refusal(HEAD.replace("sysbp", "systolic") + "\n" + LINE, WHAS).why == "header_missing"
    assert refusal(HEAD + ",extra\n" + LINE + ",1", WHAS).why == "header_unknown"
    assert refusal(HEAD + ",age\n" + LINE + ",1", WHAS).why == "header_twice"


def test_unknown_hospitals_and_repeated_or_broken_record_numbers_are_refused():
    assert refusal(f"{HEAD}\n{LINE.replace('-a', '-z')}", WHAS).why == "hospital"
    assert refusal(f"{HEAD}\n{LINE}\n{LINE}", WHAS).why == "record_twice"
    assert refusal(f"{HEAD}\n0{LINE[1:]}", WHAS).why == "record"


def test_the_files_names_choose_the_mapping():
    names = ["heart-disease.names", "processed.va.data"]
    assert choose_mapping(names, (WHAS, HEART)).name == "heart-disease"
    with pytest.raises(MappingInvalid) as caught:
        choose_mapping(["notes.txt"], (WHAS, HEART))
    assert "processed.va.data" in caught.value.message("zh")


def test_a_folder_gives_its_rows_and_names_what_it_ignored(tmp_path):
    (tmp_path / "processed.va.data").write_text(GOOD)
    (tmp_path / "README").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    folder = read_folder(tmp_path)
    assert folder.patients() == {"va": 1}
    assert folder.ignored == ("README",)
    assert folder.names("zh")["va"].startswith("长滩")


def test_folders_that_are_missing_empty_or_of_other_files_are_refused(tmp_path):
    for folder, kind in ((tmp_path / "no", FolderUnusable), (tmp_path, FolderUnusable)):
        with pytest.raises(kind) as caught:
            read_folder(folder)
        assert caught.value.hint("zh")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(MappingInvalid):
        read_folder(tmp_path)
    with pytest.raises(MappingInvalid):
        read_folder(tmp_path, HEART)


def test_a_file_that_is_not_utf8_names_the_line(tmp_path):
    (tmp_path / "processed.va.data").write_bytes(GOOD.encode() + b"\n\xff\xfe1,2")
    with pytest.raises(DataFileInvalid) as caught:
        read_folder(tmp_path)
    assert caught.value.message() == "processed.va.data:2: the text is not UTF-8."


def test_a_file_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("concura.adapters.table_files.TABLE_FILE_MAX_BYTES", 10)
    (tmp_path / "processed.va.data").write_text(GOOD)
    with pytest.raises(DataFileInvalid) as caught:
        read_folder(tmp_path)
    assert caught.value.why == "size"


def test_more_rows_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr("concura.records.table.TABLE_ROWS_MAX", 1)
    assert refusal(f"{GOOD}\n{GOOD}").why == "rows"


def test_a_second_file_for_one_hospital_is_refused(tmp_path):
    raw = copy.deepcopy(HEART.raw)
    raw["hospitals"][0]["files"] = "*.data"
    (tmp_path / "a.data").write_text(GOOD)
    (tmp_path / "b.data").write_text(GOOD)
    with pytest.raises(DataFileInvalid) as caught:
        read_folder(tmp_path, parse_mapping(raw))
    assert caught.value.why == "two_files"


def test_a_mapping_of_ones_own_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(HEART.raw))
    assert load_mapping(path).digest == HEART.digest
    path.write_bytes(b"\xff")
    with pytest.raises(DataFileInvalid):
        load_mapping(path)
    with pytest.raises(DataFileInvalid):
        load_mapping(tmp_path / "no.json")


def paths(value, here=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*here, key)
            yield from paths(item, (*here, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths(item, (*here, number))


@pytest.mark.parametrize("mapping", [WHAS, HEART], ids=["whas500", "heart-disease"])
def test_a_mapping_broken_anywhere_is_refused_or_read_but_never_crashes(mapping):
    for path in paths(mapping.raw):
        for junk in (None, 0, [], {}, "x"):
            raw = copy.deepcopy(mapping.raw)
            place = raw
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = junk
            with suppress(ConcuraError):
                parse_mapping(raw)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"1", b"[" * 100_000])
def test_bytes_that_are_no_mapping_are_refused(data):
    with pytest.raises(MappingInvalid):
        parse_mapping(data)


def test_mappings_whose_parts_do_not_fit_are_refused():
    def broken(change):
        raw = copy.deepcopy(WHAS.raw)
        change(raw)
        with pytest.raises(MappingInvalid) as caught:
            parse_mapping(raw)
        return caught.value.why

    assert broken(lambda r: r["columns"].append(r["columns"][2])) == "twice"
    assert broken(lambda r: r["features"].append(r["features"][2])) == "twice"
    assert broken(lambda r: r["hospitals"].append(r["hospitals"][0])) == "hospitals"
    assert broken(lambda r: r["hospitals"].clear()) == "hospitals"
    assert broken(lambda r: r["features"].clear()) == "no_features"
    assert broken(lambda r: r["outcome"].update(event="age")) == "outcome_column"
    assert broken(lambda r: r["columns"].pop(2)) == "one_column"
    assert broken(lambda r: r["table"].update(delimiter=",,")) == "member_character"
    assert broken(lambda r: r["index"].update(first="soon")) == "member_time"
    assert broken(lambda r: r["columns"][4].update(plausible=[3, 1])) == "member_span"
    assert broken(lambda r: r["columns"][4].update(label={"en": "x"})) == "member_languages"
