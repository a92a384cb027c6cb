"""What stands inside a sealed request for one patient's record.

The ledger knows the digest of the sealed request only: who is asked for stays between the two
hospitals. It does NOT decide whether the request is granted.
"""

from dataclasses import dataclass

from concura.canonical import decode, encode
from concura.errors import ConcuraError, ReplyInvalid

__all__ = ["REQUEST_TYPE", "RecordRequest", "decode_request", "encode_request"]

REQUEST_TYPE = "application/vnd.concura.request+json"
_MAX_CHARS = 256


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """Asks for the record of the patient with one business identifier.

    Args:
        system: URI of the identifier's system.
        value: the identifier.
    """

    system: str
    value: str


def encode_request(request: RecordRequest) -> bytes:
    """Write a request as canonical JSON.

    Example:
        >>> encode_request(RecordRequest("urn:mrn", "7"))
        b'{"system":"urn:mrn","v":1,"value":"7"}'
    """
    return encode({"v": 1, "system": request.system, "value": request.value})


def decode_request(data: bytes) -> RecordRequest:
    """Read a request.

    Raises:
        ReplyInvalid: it is not one.
    """
    try:
        found = decode(data)
    except ConcuraError as error:
        raise ReplyInvalid(who="sender", detail="a request in an unknown shape") from error
    if (
        not isinstance(found, dict)
        or set(found) != {"v", "system", "value"}
        or found["v"] != 1
        or not all(
            isinstance(found[n], str) and len(found[n]) <= _MAX_CHARS for n in ("system", "value")
        )
    ):
        raise ReplyInvalid(who="sender", detail="a request in an unknown shape")
    return RecordRequest(found["system"], found["value"])
