"""The story that `concura demo` plays, stage by stage, on real processes.

town     hub and nodes as processes in one folder
share    consent, sealed transfer, refusals; the hub's copy and its keys
learn    the study and its rounds
decide   the decision for one patient, with its way back to the ledger
check    models side by side, the ledger verified, one byte changed
tell     the narration, and the object that report and --json are made of
"""

from concura.cli.story.check import Checked, play_check
from concura.cli.story.decide import play_decision
from concura.cli.story.learn import Learned, play_learning
from concura.cli.story.share import play_sharing
from concura.cli.story.tell import Teller, both
from concura.cli.story.town import Town

__all__ = [
    "Checked",
    "Learned",
    "Teller",
    "Town",
    "both",
    "play_check",
    "play_decision",
    "play_learning",
    "play_sharing",
]
