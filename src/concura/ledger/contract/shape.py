"""What the body of each entry type looks like, as data, and the checks that the data names.

A body has exactly the members of its table; unknown or missing ones are refused, so that one
meaning has one form. Free text stands nowhere: a place for text is a place for a patient's name.

This module does NOT look at the state; it does NOT parse keys (the shell does).
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from concura.canonical import b64decode
from concura.ledger.contract.tables import EVERYONE, PURPOSES, STUDY_PURPOSES
from concura.limits import CONSENTS_PER_ENTRY_MAX, INTEGER_MAX, MEMBERS_MAX, NAME_MAX_CHARS

__all__ = [
    "BODIES",
    "CARD",
    "Check",
    "base64url",
    "has_shape",
    "hexadecimal",
    "is_member_id",
    "is_name",
    "whole",
]

Check = Callable[[Any], bool]

METRICS_MAX = 64  # names in one entry; a study reports a dozen
KEY_MAX_BYTES = 4_096  # RSA-16384 in DER takes about 2 kB
CERTIFICATE_MAX_BYTES = 8_192

_MEMBER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SLUG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_HEX = re.compile(r"[0-9a-f]*")


def hexadecimal(count: int) -> Check:
    """Make a check for `count` bytes in lower-case hexadecimal."""

    def check(value: Any) -> bool:
        return isinstance(value, str) and len(value) == 2 * count and bool(_HEX.fullmatch(value))

    return check


def base64url(minimum: int, maximum: int) -> Check:
    """Make a check for `minimum` to `maximum` bytes in unpadded base64url."""

    def check(value: Any) -> bool:
        # The length is looked at first, so that a giant text costs nothing.
        if not isinstance(value, str) or len(value) > (4 * maximum + 2) // 3:
            return False
        try:
            return minimum <= len(b64decode(value)) <= maximum
        except ValueError:
            return False

    return check


def whole(minimum: int, maximum: int = INTEGER_MAX) -> Check:
    """Make a check for an integer from `minimum` to `maximum`; true and false are none."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum
        )

    return check


def is_member_id(value: Any) -> bool:
    """Say whether a value is a member's id: lower-case letters, digits and inner hyphens.

    Example:
        >>> is_member_id("hospital-a"), is_member_id("Hospital A")
        (True, False)
    """
    return isinstance(value, str) and bool(_MEMBER.fullmatch(value))


def is_name(value: Any) -> bool:
    """Say whether a value is a name that fits on a line and shows what it is."""
    # isprintable refuses control, format (bidi override) and line-breaking characters.
    return (
        isinstance(value, str)
        and 0 < len(value) <= NAME_MAX_CHARS
        and value.isprintable()
        and value == value.strip()
    )


def _is_slug(value: Any) -> bool:
    return isinstance(value, str) and bool(_SLUG.fullmatch(value))


def _one_of(values: tuple[str, ...]) -> Check:
    def check(value: Any) -> bool:
        return isinstance(value, str) and value in values

    return check


def _list_of(item: Check, maximum: int) -> Check:
    def check(value: Any) -> bool:
        return (
            isinstance(value, list)
            and 0 < len(value) <= maximum
            and all(item(one) for one in value)
        )

    return check


def _set_of(item: Check, maximum: int) -> Check:
    """Make a check for a sorted list without repetition: one set, one form."""
    listed = _list_of(item, maximum)

    def check(value: Any) -> bool:
        return listed(value) and all(a < b for a, b in pairwise(value))

    return check


def _is_metrics(value: Any) -> bool:
    number = whole(-INTEGER_MAX)
    return (
        isinstance(value, dict)
        and len(value) <= METRICS_MAX
        and all(_is_slug(name) for name in value)
        and all(one is None or number(one) for one in value.values())
    )


def has_shape(value: Any, shape: Mapping[str, Check]) -> bool:
    """Say whether a value is an object with exactly the members of `shape`, each as it should be.

    Args:
        value: anything.
        shape: a check by member name.

    Example:
        >>> has_shape({"size": 3}, {"size": whole(0)})
        True
    """
    return (
        isinstance(value, dict)
        and value.keys() == shape.keys()
        and all(check(value[name]) for name, check in shape.items())
    )


def _object(shape: Mapping[str, Check]) -> Check:
    def check(value: Any) -> bool:
        return has_shape(value, shape)

    return check


_id = hexadecimal(16)
_digest = hexadecimal(32)
_members = _set_of(is_member_id, MEMBERS_MAX)

CARD: Mapping[str, Check] = {
    "member": is_member_id,
    "name": is_name,
    "sign": base64url(32, KEY_MAX_BYTES),
    "wrap": base64url(32, KEY_MAX_BYTES),
    "witness": base64url(32, 32),
    "tls": _digest,
    "authority": base64url(32, CERTIFICATE_MAX_BYTES),
}

_CONSENT: Mapping[str, Check] = {"id": _id, "subject": _digest}

BODIES: Mapping[str, Mapping[str, Check]] = {
    "consortium.found": {
        "quorum": whole(1, MEMBERS_MAX),
        "members": _list_of(_object(CARD), MEMBERS_MAX),
    },
    "member.apply": {"card": _object(CARD)},
    "member.admit": {"member": is_member_id, "card_digest": _digest},
    "consent.grant": {
        "purpose": _one_of(PURPOSES),
        "reader": lambda value: value == EVERYONE or is_member_id(value),
        "not_after_ms": whole(0),
        "consents": _list_of(_object(_CONSENT), CONSENTS_PER_ENTRY_MAX),
    },
    "consent.revoke": {"consents": _set_of(_id, CONSENTS_PER_ENTRY_MAX)},
    "transfer.request": {
        "transfer": _id,
        "holder": is_member_id,
        "purpose": _one_of(PURPOSES),
        "request_digest": _digest,
    },
    "transfer.offer": {"transfer": _id, "consent": _id, "digest": _digest},
    "transfer.refuse": {"transfer": _id, "reason": _is_slug},
    "transfer.acknowledge": {"transfer": _id, "digest": _digest},
    "study.open": {
        "study": _id,
        "task_digest": _digest,
        "purpose": _one_of(STUDY_PURPOSES),
        "participants": _members,
        "consent_height": whole(0),
        "minimum": whole(1, MEMBERS_MAX),
    },
    "round.close": {
        "study": _id,
        "round": whole(1),
        "participants": _members,
        "model_digest": _digest,
        "metrics": _is_metrics,
    },
    "model.publish": {"study": _id, "model": _digest, "metrics": _is_metrics},
    "access.anchor": {"root": _digest, "size": whole(0)},
}
