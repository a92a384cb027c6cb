"""A patient's record on its way: a FHIR R4 collection Bundle of the resources as they are stored.

It does NOT choose what may be shared; consent did before.
"""

import json
from collections.abc import Sequence

from concura.errors import ReplyInvalid
from concura.types import JsonObject

__all__ = ["PARCEL_TYPE", "open_parcel", "pack"]

PARCEL_TYPE = "application/fhir+json"
# Resources of one patient; Synthea's longest lives have about 5,000.
_ENTRIES_MAX = 100_000


def pack(resources: Sequence[JsonObject]) -> bytes:
    """Put resources into a collection Bundle.

    Args:
        resources: FHIR R4 resources.

    Returns:
        The Bundle as UTF-8 JSON.
    """
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": resource} for resource in resources],
    }
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()


def open_parcel(data: bytes) -> list[JsonObject]:
    """Take the resources out of a Bundle; each one still has to be validated.

    Raises:
        ReplyInvalid: it is no collection Bundle of resources.
    """
    try:
        bundle = json.loads(data)
        entries = bundle["entry"]
        is_collection = bundle["resourceType"] == "Bundle" and bundle["type"] == "collection"
        resources = [entry["resource"] for entry in entries[: _ENTRIES_MAX + 1]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReplyInvalid(who="sender", detail="a parcel in an unknown shape") from error
    if (
        not is_collection
        or len(resources) > _ENTRIES_MAX
        or not all(isinstance(resource, dict) for resource in resources)
    ):
        raise ReplyInvalid(who="sender", detail="a parcel in an unknown shape")
    return resources
