"""The sharing platform's use cases: mailbox, ordering, rounds, directory. Ports only."""

from concura.hub.founding import Founding
from concura.hub.mailbox import Mailbox
from concura.hub.ordering import Ordering
from concura.hub.platform import Platform, Session
from concura.hub.rounds import Rounds

__all__ = ["Founding", "Mailbox", "Ordering", "Platform", "Rounds", "Session"]
