"""The one record that travelled: sealed, refused where it had to be, opened by its reader alone.

This module does NOT claim more than the story's real attempts showed.
"""

from concura.web.report.charts import passage
from concura.web.report.markup import Html, tag
from concura.web.report.sections.frame import checks, facts, pair, section
from concura.web.report.story import Story
from concura.web.report.wording import Reader

__all__ = ["shared"]


def shared(story: Story, reader: Reader) -> Html:
    """Write the picture and the tries that had to fail."""
    transfer = story["transfer"]
    refused = transfer["refused"]
    tries = [
        (reader.say("shared.no_consent"), refused["no_consent"]),
        (reader.say("shared.revoked"), refused["revoked"]),
        (reader.say("shared.substituted_key"), refused["substituted_key"]),
        (reader.say("shared.tried", keys=transfer["tried"]), not transfer["hub_could_open"]),
    ]
    return section(
        "shared",
        reader,
        pair(passage(transfer, reader), tag("div", checks(tries, reader))),
        facts(
            [
                (reader.say("shared.size"), reader.size(transfer["size_bytes"])),
                (reader.say("shared.digest"), tag("code", transfer["digest"])),
            ]
        ),
    )
