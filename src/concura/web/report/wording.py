"""How values read in the page: words in the reader's language, numbers, times and digests.

A value that may not be shown (too few cases) arrives as None and reads as the sentence that says
so. All words come from the catalogue, area `report`.

This module does NOT write markup, except for that one sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from concura.data.words import WORDS
from concura.errors import say
from concura.web.report.markup import Html, tag
from concura.web.report.story import Interval, Text, Words

__all__ = ["Reader"]


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom the page is written for, and the names that the story gives to things.

    Args:
        lang: `en` or `zh`.
        names: hospital id -> its name.
        labels: feature -> its name for readers.
    """

    lang: str
    names: Mapping[str, Words] = field(default_factory=dict)
    labels: Mapping[str, Text] = field(default_factory=dict)

    def say(self, key: str, /, **values: object) -> str:
        """Look up `report.KEY` in the catalogue."""
        return say(f"report.{key}", self.lang, **values)

    def has(self, key: str) -> bool:
        """Tell whether the catalogue has `report.KEY`."""
        return f"report.{key}" in WORDS

    def text(self, value: object) -> str:
        """Read a `Text` of the story, or a number."""
        if isinstance(value, dict):
            return str(value[self.lang])
        if isinstance(value, bool):
            return self.say("yes" if value else "no")
        if isinstance(value, (int, float)):
            return f"{value:.6g}"
        return str(value)

    def hospital(self, member: str) -> str:
        """Name a hospital; one without a name goes by its id."""
        return self.text(self.names.get(member, member))

    def feature(self, name: str) -> str:
        """Name a feature; one without a label goes by its own name."""
        return self.text(self.labels.get(name, name))

    def listing(self, items: list[str]) -> str:
        """Put names into one phrase."""
        return ("、" if self.lang == "zh" else ", ").join(items)

    def unit(self, unit: str) -> str:
        """Read a UCUM unit; annotations in braces and the unit 1 have words or none."""
        key = f"unit.{unit}"
        return self.say(key) if self.has(key) else unit

    def hidden(self) -> Html:
        """Say that a number is not shown."""
        return tag("span", self.say("hidden"), class_="hidden")

    def number(self, value: float | None, places: int = 3) -> str:
        """Write a number with fixed decimals; None is not shown."""
        return self.hidden() if value is None else f"{value:.{places}f}".replace("-", "−")

    def count(self, value: int | None) -> str:
        """Write a count; None is not shown."""
        return self.hidden() if value is None else f"{value:,}"

    def percent(self, share: float | None) -> str:
        """Write a share as a percentage; near both ends it never claims certainty."""
        if share is None:
            return self.hidden()
        if 0 < share < 0.001:
            return "<0.1%"
        if 0.999 < share < 1:
            return ">99.9%"
        # A whole number would round 0.4 % to none and 99.6 % to all.
        places = 0 if 0.005 <= share <= 0.995 or share in {0, 1} else 1
        return f"{100 * share:.{places}f}%"

    def interval(self, value: Interval | None) -> str:
        """Write a share with its interval."""
        if value is None:
            return self.hidden()
        low, high = self.percent(value["low"]), self.percent(value["high"])
        return self.say("interval", value=self.percent(value["value"]), low=low, high=high)

    def seconds(self, value: float | None) -> str | None:
        """Write a duration; None stays away."""
        if value is None:
            return None
        return self.say("seconds", value=f"{value:.1f}" if value >= 0.1 else f"{value:.2f}")

    def size(self, size_bytes: int) -> str:
        """Write a size in kB or bytes."""
        return f"{size_bytes / 1000:,.1f} kB" if size_bytes >= 1000 else f"{size_bytes} B"

    def moment(self, created: str) -> str:
        """Write an ISO time as UTC; what is no time is shown as it stands."""
        try:
            return _utc(datetime.fromisoformat(created).timestamp())
        except ValueError:
            return created

    def span(self, from_ms: int, to_ms: int) -> str:
        """Write two ledger times as UTC; the date stands once if it is the same."""
        start, end = (datetime.fromtimestamp(ms / 1000, tz=UTC) for ms in (from_ms, to_ms))
        short = "%H:%M:%S" if start.date() == end.date() else "%Y-%m-%d %H:%M:%S"
        return f"{start:%Y-%m-%d %H:%M:%S} – {end:{short}} UTC"


def _utc(timestamp_s: float) -> str:
    return f"{datetime.fromtimestamp(timestamp_s, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
