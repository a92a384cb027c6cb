"""The node's use cases: collect, share, train, decide, watch. Ports only."""

from concura.hospital.cohort import EVERYONE, Cohorts
from concura.hospital.collect import Collect
from concura.hospital.consents import Consents
from concura.hospital.decide import Decide, Decided
from concura.hospital.enter import Enter
from concura.hospital.join import Invitation, apply, found, read_invitation
from concura.hospital.node import Node
from concura.hospital.share import Share
from concura.hospital.train import Train
from concura.hospital.watch import Watch

__all__ = [
    "EVERYONE",
    "Cohorts",
    "Collect",
    "Consents",
    "Decide",
    "Decided",
    "Enter",
    "Invitation",
    "Node",
    "Share",
    "Train",
    "Watch",
    "apply",
    "found",
    "read_invitation",
]
