"""What holds for every table, date and resource."""

import datetime as dt
import itertools
import json
import string
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from concura.adapters.table_files import shipped_mappings
from concura.errors import ConcuraError, DataFileInvalid, ResourceInvalid
from concura.records import check_resource, extract, parse_table, resources_of
from concura.records.dates import DAY_MS, age_at, birth_date, format_instant, parse_span
from concura.types import TimeMs

WHAS, HEART = shipped_mappings()
MOMENTS = st.integers(-1_000_000_000_000, 4_000_000_000_000).map(TimeMs)
DAY_ONE = dt.datetime(1, 1, 2)
LAST_DAY = dt.datetime(9998, 12, 30)
CELLS = st.text(string.digits + ".,?-e \"'\n\r\t#x", max_size=300)


@given(CELLS)
def test_any_text_is_read_or_refused_as_a_data_file(text):
    for mapping in (WHAS, HEART):
        with suppress(DataFileInvalid):
            assert parse_table(text, mapping, file="x")


@given(MOMENTS)
def test_an_instant_is_read_as_it_was_written(moment):
    start, end = parse_span(format_instant(moment), path="x")
    assert start == end == moment - moment % 1000


@given(
    st.datetimes(DAY_ONE, LAST_DAY),
    st.integers(-14 * 60, 14 * 60),
)
def test_instants_with_an_offset_agree_with_the_standard_library(when, offset):
    zone = dt.timezone(dt.timedelta(minutes=offset))
    text = when.replace(tzinfo=zone, microsecond=0).isoformat()
    expected = dt.datetime.fromisoformat(text) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert parse_span(text, path="x")[0] == expected // dt.timedelta(milliseconds=1)


@given(st.dates())
def test_a_shorter_date_spans_every_longer_one(day):
    spans = [parse_span(day.isoformat()[:n], path="x") for n in (4, 7, 10)]
    assert spans[2][1] - spans[2][0] == DAY_MS - 1
    for (start, end), (inner_start, inner_end) in itertools.pairwise(spans):
        assert start <= inner_start <= inner_end <= end


@given(st.integers(0, 130), MOMENTS, st.integers(0, 364))
def test_a_birth_date_gives_back_the_age_that_it_was_made_for(age, moment, days):
    assert age_at(birth_date(age, moment, days=days), moment) == age


@given(st.text(max_size=40))
def test_a_text_is_a_date_of_the_calendar_or_refused(text):
    try:
        start, end = parse_span(text, path="x")
    except ResourceInvalid:
        return
    assert start <= end


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "coding", "system", "value", "id", "reference", "start"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "status",
            "code",
            "subject",
            "component",
            "identifier",
            "name",
            "birthDate",
            "valueQuantity",
            "valueBoolean",
            "valueCodeableConcept",
            "verificationStatus",
            "issued",
            "effectiveDateTime",
            "effectivePeriod",
            "recordedDate",
            "period",
            "gender",
            "class",
            "deceasedDateTime",
            "onsetDateTime",
        ]
    ),
    JSON,
    max_size=6,
)
GOOD = resources_of(
    parse_table(
        ",".join(c.name for c in WHAS.columns)
        + "\n7,hospital-a,83,1,89,152,78,25.54051,1,1,0,0,0,1,0,5,2178,0\n",
        WHAS,
        file="x",
    )[0],
    WHAS,
    hospital=WHAS.hospitals[0],
)


@given(st.integers(0, len(GOOD) - 1), MEMBERS)
def test_a_resource_that_passes_the_check_never_breaks_the_features(number, change):
    resources = json.loads(json.dumps(GOOD))
    resources[number] |= change
    try:
        checked = [check_resource(r) for r in resources]
    except ResourceInvalid:
        return
    with suppress(ConcuraError):
        assert len(extract(checked, WHAS.features).values) == len(WHAS.features.names)
