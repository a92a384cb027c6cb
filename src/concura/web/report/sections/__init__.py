"""The sections of the report, one per file, in the order of the page."""

from concura.web.report.sections.checked import checked
from concura.web.report.sections.closing import closing
from concura.web.report.sections.collected import collected
from concura.web.report.sections.decided import decided
from concura.web.report.sections.learned import learned
from concura.web.report.sections.opening import opening
from concura.web.report.sections.recorded import recorded
from concura.web.report.sections.shared import shared
from concura.web.report.sections.travelled import travelled

__all__ = [
    "checked", "closing", "collected", "decided", "learned", "opening", "recorded", "shared",
    "travelled",
]  # fmt: skip
