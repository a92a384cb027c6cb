"""Collecting: taking a hospital's own patients into its encrypted store.

Every resource is validated before any of its batch is stored; a batch is stored whole or not at
all. It does NOT read files: an adapter hands the resources in.
"""

from collections.abc import Iterable

from concura.ports import RecordStore
from concura.records import check_resource
from concura.types import JsonObject

__all__ = ["Collect"]

# Resources per write: large enough that the disk's flush does not count, small in memory.
_BATCH = 2_000


class Collect:
    """Stores resources.

    Args:
        records: the hospital's health records.
    """

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def take(self, patients: Iterable[list[JsonObject]]) -> tuple[int, int]:
        """Store the resources of patients; each patient's come as one list.

        Returns:
            Patients and resources stored.

        Raises:
            ResourceInvalid: a resource is wrong; its batch is not stored.
        """
        count = stored = 0
        batch: list[JsonObject] = []
        for resources in patients:
            batch.extend(check_resource(resource) for resource in resources)
            count += 1
            if len(batch) >= _BATCH:
                stored += len(await self._records.put(batch))
                batch = []
        if batch:
            stored += len(await self._records.put(batch))
        return count, stored
