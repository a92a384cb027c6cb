"""Checking what another hospital sent before any of it is stored.

One patient, the one that was asked for, and nothing written over: a parcel that is opened is signed
by its sender, and still a stranger's. It does NOT store anything.
"""

from concura.errors import AccessRefused
from concura.ports import NodePorts
from concura.records import check_resource, patient_of
from concura.sharing import RecordRequest, decode_request
from concura.types import JsonObject, PatientId

__all__ = ["Intake"]


class Intake:
    """Checks parcels.

    Args:
        ports: the world; of it store and records.
    """

    def __init__(self, ports: NodePorts) -> None:
        self._store = ports.store
        self._records = ports.records

    def check(self, resources: list[JsonObject], *, holder: str) -> PatientId:
        """Check what came in; nobody may write over what is ours or another hospital's.

        Returns:
            The one patient that all of it is about.

        Raises:
            ResourceInvalid: a resource is wrong.
            AccessRefused: it touches a record of another origin, or more than one patient.
        """
        patients = {patient_of(check_resource(resource)) for resource in resources}
        named = {r["id"] for r in resources if r["resourceType"] == "Patient"}
        if len(patients) != 1 or patients != named:
            raise AccessRefused("parcel", detail="a parcel holds the record of one patient")
        patient = next(iter(patients))
        touched = {patient} if self._records.get("Patient", patient) is not None else set()
        for resource in resources:
            there = self._records.get(resource["resourceType"], resource["id"])
            if there is not None:
                touched.add(there.patient or patient)
        for one in touched:
            if self._store.fact(f"origin/{one}") != holder.encode():
                raise AccessRefused(
                    "overwrite", detail="it would write over a record of another origin"
                )
        return patient

    def check_asked(self, transfer_id: str, resources: list[JsonObject]) -> None:
        """Refuse another patient than the one that was asked for.

        Raises:
            AccessRefused: nobody asked, or for somebody else.
        """
        asked = self._store.fact(f"asked/{transfer_id}")
        wanted = None if asked is None else decode_request(asked)
        named = {
            RecordRequest(str(one.get("system", "")), str(one.get("value", "")))
            for resource in resources
            if resource["resourceType"] == "Patient"
            for one in resource.get("identifier", [])
        }
        if wanted not in named:
            raise AccessRefused("patient", detail="it is not the patient that was asked for")
