"""The road of the record: the whole way in one picture.

This module does NOT explain the stops; the later sections do.
"""

from concura.web.report.charts import road
from concura.web.report.markup import Html, tag
from concura.web.report.story import Story
from concura.web.report.wording import Reader

__all__ = ["travelled"]


def travelled(story: Story, reader: Reader) -> Html:
    """Write the road over the whole width."""
    return tag(
        "section",
        tag("h2", reader.say("travelled.heading"), id="travelled"),
        road(story["road"], reader),
        class_="wide",
        aria_labelledby="travelled",
    )
