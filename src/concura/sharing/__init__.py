"""Sharing between hospitals: what a request and a parcel of records say. Pure."""

from concura.sharing.parcel import PARCEL_TYPE, open_parcel, pack
from concura.sharing.request import REQUEST_TYPE, RecordRequest, decode_request, encode_request

__all__ = [
    "PARCEL_TYPE",
    "REQUEST_TYPE",
    "RecordRequest",
    "decode_request",
    "encode_request",
    "open_parcel",
    "pack",
]
