"""The one error tree, and the one place where words that people read are looked up.

    ConcuraError
    ├── OperatorError   what the person or the set-up must change
    │   ├── UsageInvalid, ConfigInvalid, PortInUse, FolderUnusable, FolderFormat
    │   ├── AlreadyRunning, NotRunning, InvitationInvalid, CertificateInvalid, KeyUnavailable
    │   └── FileUnusable, Interrupted
    ├── DataError       what was handed in is wrong
    │   └── DataFileInvalid, MappingInvalid, UnitInvalid, ResourceInvalid, NotFound, DownloadInvalid
    ├── PeerError       another party broke the protocol, or may not do what it asks
    │   ├── EnvelopeRefused, EntryRefused, ChainInvalid, HubDishonest, NotMember, ReplyInvalid
    │   └── AccessRefused, StreamRefused
    ├── NetworkError    the way between the parties failed
    │   └── HubUnreachable, NodeUnreachable
    ├── LearningError   a study cannot be run, or was ended
    │   └── StudyRefused, StudyAborted, ModelUnusable
    └── OurError        a fault on this side
        └── StoreCorrupt, StoreFull, InternalFault

An error carries a stable slug, a stable exit code and HTTP status, and named values; its sentence
and its hint come from the catalogue `concura.data.words` in English or Chinese. Values MUST NOT
hold patient data, keys or plaintext. Exit codes are never reused (docs/operations/errors.md).

This module does NOT print, log or translate anything by itself.
"""

from typing import ClassVar

from concura.data.words import WORDS

__all__ = [
    "LANGUAGES",
    "AccessRefused",
    "AlreadyRunning",
    "CertificateInvalid",
    "ChainInvalid",
    "ConcuraError",
    "ConfigInvalid",
    "DataError",
    "DataFileInvalid",
    "DownloadInvalid",
    "EntryRefused",
    "EnvelopeRefused",
    "FileUnusable",
    "FolderFormat",
    "FolderUnusable",
    "HubDishonest",
    "HubUnreachable",
    "InternalFault",
    "Interrupted",
    "InvitationInvalid",
    "KeyUnavailable",
    "LearningError",
    "MappingInvalid",
    "ModelUnusable",
    "NetworkError",
    "NodeUnreachable",
    "NotFound",
    "NotMember",
    "NotRunning",
    "OperatorError",
    "OurError",
    "PeerError",
    "PortInUse",
    "ReplyInvalid",
    "ResourceInvalid",
    "StoreCorrupt",
    "StoreFull",
    "StreamRefused",
    "StudyAborted",
    "StudyRefused",
    "UnitInvalid",
    "UsageInvalid",
    "say",
]

LANGUAGES = ("en", "zh")


def say(key: str, lang: str = "en", /, **values: object) -> str:
    """Look up a sentence of the catalogue and fill in its values.

    Args:
        key: dotted name of the sentence, such as `decision.high`.
        lang: `en` or `zh`; anything else reads as English.
        **values: what the sentence names in braces.

    Returns:
        The sentence.

    Raises:
        KeyError: no such sentence; a test walks the sources so that this cannot ship.

    Example:
        >>> say("decision.high", "zh")
        '高风险患者'
    """
    sentence = WORDS[key][1 if lang.lower().startswith("zh") else 0]
    return sentence.format(**values) if values else sentence


class ConcuraError(Exception):
    """Base of every error that a person can meet.

    Args:
        why: which of the error's kinds; part of the catalogue key. Empty means the general one.
        **values: what the sentence names. MUST NOT hold patient data, keys or plaintext.
    """

    slug: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70
    http_status: ClassVar[int] = 500

    def __init__(self, why: str = "", **values: object) -> None:
        super().__init__(why, values)
        self.why = why
        self.values = values

    def message(self, lang: str = "en") -> str:
        """Say in one sentence what went wrong."""
        return say(self._key(), lang, **self.values)

    def hint(self, lang: str = "en") -> str:
        """Say the next thing to do."""
        special = f"{self._key()}.hint"
        key = special if special in WORDS else f"error.{self.slug}.hint"
        return say(key, lang, **self.values)

    def _key(self) -> str:
        specific = f"error.{self.slug}.{self.why}"
        return specific if self.why and specific in WORDS else f"error.{self.slug}"

    def __str__(self) -> str:
        return self.message()


class OperatorError(ConcuraError):
    """The person or the set-up must change something."""

    http_status = 400


class UsageInvalid(OperatorError):
    """The command line does not make sense."""

    slug, exit_code = "usage", 2


class ConfigInvalid(OperatorError):
    """A setting is unknown or out of range."""

    slug, exit_code = "config", 10


class PortInUse(OperatorError):
    """Another program listens where this one should."""

    slug, exit_code = "port", 11


class FolderUnusable(OperatorError):
    """A folder is missing, not ours, read-only or full."""

    slug, exit_code = "folder", 12


class FolderFormat(OperatorError):
    """A folder was written by another version."""

    slug, exit_code = "format", 13


class AlreadyRunning(OperatorError):
    """A process already serves this folder."""

    slug, exit_code = "running", 14


class NotRunning(OperatorError):
    """No process serves this folder."""

    slug, exit_code = "stopped", 15


class InvitationInvalid(OperatorError):
    """An invitation is malformed, tampered with, or not for this node."""

    slug, exit_code = "invitation", 16


class CertificateInvalid(OperatorError):
    """A certificate is expired, not yet valid, or not the expected one."""

    slug, exit_code = "certificate", 17


class KeyUnavailable(OperatorError):
    """A private key is missing, locked, or readable by others."""

    slug, exit_code = "key", 18


class FileUnusable(OperatorError):
    """A file to be read or written is missing, in the way, or changed meanwhile."""

    slug, exit_code = "file", 19


class Interrupted(OperatorError):
    """The person stopped the command."""

    slug, exit_code = "interrupted", 130


class DataError(ConcuraError):
    """What was handed in is wrong."""

    http_status = 422


class DataFileInvalid(DataError):
    """A data file cannot be read as its mapping says."""

    slug, exit_code = "datafile", 20


class MappingInvalid(DataError):
    """A mapping or feature definition is wrong, or none fits."""

    slug, exit_code = "mapping", 21


class UnitInvalid(DataError):
    """A measurement stands in a unit that its definition does not take."""

    slug, exit_code = "unit", 22


class ResourceInvalid(DataError):
    """A FHIR resource is not what R4 allows."""

    slug, exit_code = "resource", 23


class NotFound(DataError):
    """What was asked for is not here."""

    slug, exit_code, http_status = "notfound", 24, 404


class DownloadInvalid(DataError):
    """A downloaded file is not the pinned one."""

    slug, exit_code = "download", 25


class PeerError(ConcuraError):
    """Another party broke the protocol, or may not do what it asks."""

    http_status = 400


class EnvelopeRefused(PeerError):
    """A sealed record failed one of the numbered checks."""

    slug, exit_code = "envelope", 30


class EntryRefused(PeerError):
    """The contract, or the shell before it, refused a ledger entry; `why` is the rule's code."""

    slug, exit_code, http_status = "entry", 31, 409


class ChainInvalid(PeerError):
    """A chain, block, checkpoint, receipt or proof failed one of the numbered checks."""

    slug, exit_code = "chain", 32


class HubDishonest(PeerError):
    """The hub was caught; signed evidence was kept."""

    slug, exit_code = "hub", 33


class NotMember(PeerError):
    """The caller is no member of the consortium, or not the one that may do this."""

    slug, exit_code, http_status = "member", 34, 403


class ReplyInvalid(PeerError):
    """A reply was not what the protocol says."""

    slug, exit_code, http_status = "reply", 35, 502


class AccessRefused(PeerError):
    """Policy or consent does not allow this access."""

    slug, exit_code, http_status = "access", 36, 403


class StreamRefused(PeerError):
    """A sealed large object, or the file that carries one, is not what its sender made."""

    slug, exit_code = "stream", 37


class NetworkError(ConcuraError):
    """The way between the parties failed."""

    http_status = 503


class HubUnreachable(NetworkError):
    """The hub does not answer."""

    slug, exit_code = "unreachable", 40


class NodeUnreachable(NetworkError):
    """The local node does not answer."""

    slug, exit_code = "node", 41


class LearningError(ConcuraError):
    """A study cannot be run, or was ended."""

    http_status = 409


class StudyRefused(LearningError):
    """A study is refused when it is made."""

    slug, exit_code = "study", 50


class StudyAborted(LearningError):
    """A running study was ended without a model."""

    slug, exit_code = "aborted", 51


class ModelUnusable(LearningError):
    """A model is missing, not published, or does not fit the features."""

    slug, exit_code = "model", 52


class OurError(ConcuraError):
    """A fault on this side."""


class StoreCorrupt(OurError):
    """A stored file is not what was written."""

    slug, exit_code = "corrupt", 60


class StoreFull(OurError):
    """A write did not fit on the disk."""

    slug, exit_code, http_status = "full", 61, 507


class InternalFault(OurError):
    """A fault in this program."""

    slug, exit_code = "internal", 70
