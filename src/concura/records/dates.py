"""FHIR dates and instants as spans of milliseconds (FHIR R4 §2.24.0.1, date and dateTime).

A partial date is a span: `1999-05` begins with the first and ends with the last millisecond of May.
What must not lie after a moment is judged by the end of its span, so that doubt keeps data out.

This module does NOT read a clock and does NOT know time zones by name: an instant carries its
offset.
"""

import calendar
import re
from datetime import UTC, date, datetime, timedelta

from concura.errors import ResourceInvalid
from concura.types import TimeMs

__all__ = ["DAY_MS", "age_at", "birth_date", "format_instant", "parse_span"]

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2}))?)?)?"
)


def parse_span(text: object, *, path: str) -> tuple[TimeMs, TimeMs]:
    """Read a FHIR date, dateTime or instant.

    Args:
        text: such as `1999`, `1999-05`, `1999-05-03` or `1999-05-03T08:00:00Z`.
        path: where it stands, for the error.

    Returns:
        The first and the last millisecond that it may mean.

    Raises:
        ResourceInvalid: no date of the calendar, or a time without its offset.

    Example:
        >>> parse_span("1970-01-01T00:00:01Z", path="x")
        (1000, 1000)
    """
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ResourceInvalid("date", path=path)
    year, month, day, hour = match.groups()[:4]
    try:
        if hour is not None:
            moment = _instant(match)
            return moment, moment
        first = date(int(year), int(month or 1), int(day or 1))
        last_month = int(month or 12)
        last = date(
            int(year), last_month, int(day or calendar.monthrange(int(year), last_month)[1])
        )
    except (ValueError, OverflowError) as error:
        raise ResourceInvalid("date", path=path) from error
    return _midnight(first), TimeMs(_midnight(last) + DAY_MS - 1)


def format_instant(moment: TimeMs) -> str:
    """Write a moment as an instant in UTC, to the second.

    Example:
        >>> format_instant(1000)
        '1970-01-01T00:00:01Z'
    """
    return (_EPOCH + timedelta(milliseconds=moment)).strftime("%Y-%m-%dT%H:%M:%SZ")


def age_at(born: object, moment: TimeMs) -> float | None:
    """Count the whole years from a birth date to a moment, in UTC.

    Args:
        born: FHIR date; None when a record has none.
        moment: the time at which the age is asked for.

    Returns:
        Years, or None when the date is missing, only a year or month, or after the moment.

    Example:
        >>> age_at("1969-12-31", 0)
        0.0
    """
    if not isinstance(born, str) or len(born) != len("1969-12-31"):
        return None
    first, _ = parse_span(born, path="Patient.birthDate")
    start, now = _day(first), _day(moment)
    years = now.year - start.year - ((now.month, now.day) < (start.month, start.day))
    return float(years) if years >= 0 else None


def birth_date(age_years: int, moment: TimeMs, *, days: int) -> str:
    """Return a birth date that makes someone `age_years` old at a moment.

    Args:
        age_years: whole years, 0 or more.
        moment: the time at which the age holds.
        days: how long before that day the last birthday was, 0 to 364.

    Example:
        >>> birth_date(1, 0, days=0)
        '1969-01-01'
    """
    birthday = _day(moment) - timedelta(days=days)
    # 29 February has no anniversary in most years; the day before it has.
    day = 28 if (birthday.month, birthday.day) == (2, 29) else birthday.day
    return date(birthday.year - age_years, birthday.month, day).isoformat()


def _instant(match: re.Match[str]) -> TimeMs:
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    local = datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC
    )
    shift = 0
    if offset != "Z":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 14 or minutes > 59:
            raise ValueError(offset)
        shift = (-1 if offset[0] == "-" else 1) * (hours * 60 + minutes)
    whole = (local - _EPOCH) // timedelta(milliseconds=1) - shift * 60_000
    return TimeMs(whole + int((fraction or "0")[:3].ljust(3, "0")))


def _midnight(day: date) -> TimeMs:
    return TimeMs((day - _EPOCH.date()).days * DAY_MS)


def _day(moment: TimeMs) -> date:
    return _EPOCH.date() + timedelta(days=moment // DAY_MS)
