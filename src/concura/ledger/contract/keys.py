"""Where things stand in the contract's state: one function for each kind of key.

Every part of a key is checked before (`shape.py`): it never holds a slash.
"""

from concura.types import ConsentId, Digest, EntryId, MemberId, ModelId, StudyId, TransferId

__all__ = [
    "CONSORTIUM",
    "anchor_key",
    "application_key",
    "consent_key",
    "entry_key",
    "member_key",
    "model_key",
    "study_key",
    "transfer_key",
    "used_key",
    "vote_key",
    "within",
]

CONSORTIUM = "consortium"


def member_key(member: MemberId) -> str:
    """Say where a member's card and status stand."""
    return f"member/{member}"


def application_key(member: MemberId, card: Digest) -> str:
    """Say where an application stands: by card, so that a second one cannot displace it."""
    return f"application/{member}/{card}"


def vote_key(member: MemberId, card: Digest, voter: MemberId) -> str:
    """Say where one member's vote for an application stands."""
    return f"vote/{member}/{card}/{voter}"


def used_key(fingerprint: str) -> str:
    """Say where a public key is marked as taken."""
    return f"used/{fingerprint}"


def consent_key(consent: ConsentId) -> str:
    """Say where a consent stands."""
    return f"consent/{consent}"


def transfer_key(transfer: TransferId) -> str:
    """Say where a transfer stands."""
    return f"transfer/{transfer}"


def study_key(study: StudyId) -> str:
    """Say where a study stands."""
    return f"study/{study}"


def model_key(model: ModelId) -> str:
    """Say where a published model stands."""
    return f"model/{model}"


def anchor_key(member: MemberId) -> str:
    """Say where a member's newest access-log anchor stands."""
    return f"anchor/{member}"


def entry_key(entry: EntryId) -> str:
    """Say where an entry is marked as taken in, so that it cannot come twice."""
    return f"entry/{entry}"


def within(prefix: str) -> tuple[str, str]:
    """Return start and end of all keys `prefix/...`.

    Example:
        >>> within("member")
        ('member/', 'member0')
    """
    # "0" is the character behind "/": the first text that is greater than every "prefix/...".
    return f"{prefix}/", f"{prefix}0"
