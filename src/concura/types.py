"""Names for the plain values that travel through the whole program.

Binary values stand in JSON as lowercase hexadecimal where a person compares them (digests, ids,
fingerprints) and as unpadded base64url where nobody does (keys, signatures, ciphertext).

This module does NOT check the values: the parsers at the border do.
"""

from typing import Any, NewType

__all__ = [
    "ConsentId",
    "Digest",
    "EntryId",
    "Fingerprint",
    "Height",
    "JsonObject",
    "MemberId",
    "ModelId",
    "PatientId",
    "Pseudonym",
    "StudyId",
    "TimeMs",
    "TransferId",
]

MemberId = NewType("MemberId", str)  # lower-case name in the consortium: hospital-a
PatientId = NewType("PatientId", str)  # logical id of the Patient resource in its own hospital
Fingerprint = NewType("Fingerprint", str)  # SHA-256 of SubjectPublicKeyInfo (or raw Ed25519), hex
Digest = NewType("Digest", str)  # SHA-256, hex
EntryId = NewType("EntryId", str)  # SHA-256 of the unsigned entry, hex
ConsentId = NewType("ConsentId", str)  # 16 random bytes, hex
TransferId = NewType("TransferId", str)  # 16 random bytes, hex
StudyId = NewType("StudyId", str)  # 16 random bytes, hex
ModelId = NewType("ModelId", str)  # digest of the model's canonical JSON, hex
Pseudonym = NewType("Pseudonym", str)  # HMAC-SHA-256, hex
Height = NewType("Height", int)  # number of a block; genesis is 0
TimeMs = NewType("TimeMs", int)  # milliseconds since 1970-01-01T00:00:00Z

# A JSON object as parsed: its members are checked by the parser that takes it.
JsonObject = dict[str, Any]
