"""The one way bytes are made from objects: JSON Canonicalization Scheme (RFC 8785).

`encode` writes canonical bytes, `decode` accepts nothing else, so that one object has one digest.
Ledger entries hold no floats at all (PROTOCOLS §5); models do, and say so with `floats=True`.

This module does NOT know any format; it does NOT hash.
"""

import base64
import binascii
import json
import math
from json.encoder import encode_basestring as _text  # what json.dumps uses, without its detours
from typing import Any

from concura.errors import DataFileInvalid
from concura.limits import INTEGER_MAX, JSON_DEPTH_MAX

__all__ = ["b64decode", "b64encode", "decode", "encode"]


def encode(value: Any, *, floats: bool = False) -> bytes:
    """Write a JSON value as RFC 8785 bytes.

    Args:
        value: None, bool, int (|n| <= 2^53 - 1), str, list or dict with str keys; float on demand.
        floats: whether finite floats are allowed.

    Returns:
        UTF-8 bytes with sorted members and no white space.

    Raises:
        ValueError: a value has no canonical form, or a float stands where none is allowed.

    Example:
        >>> encode({"b": 1, "a": "x"})
        b'{"a":"x","b":1}'
    """
    parts: list[str] = []
    _write(value, parts, floats, 0)
    # Lone surrogates have no UTF-8 form: UnicodeEncodeError is a ValueError.
    return "".join(parts).encode("utf-8")


def decode(data: bytes, *, floats: bool = False) -> Any:
    """Read RFC 8785 bytes, and refuse every other way of writing the same value.

    Args:
        data: the bytes.
        floats: whether floats are allowed.

    Returns:
        The value.

    Raises:
        DataFileInvalid: not JSON, or not canonical.

    Example:
        >>> decode(b'{"a":1}')
        {'a': 1}
    """
    try:
        # A whole float beyond 2^53 is written without a point (RFC 8785 §3.2.2.3).
        whole = _whole if floats else int
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, parse_int=whole)
        same = encode(value, floats=floats) == data
    except (ValueError, RecursionError) as error:
        raise DataFileInvalid("json") from error
    if not same:
        raise DataFileInvalid("canonical")
    return value


def b64encode(data: bytes) -> str:
    """Write bytes as unpadded base64url (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64decode(text: str) -> bytes:
    """Read unpadded base64url, strictly: no padding, no white space, no loose trailing bits.

    Raises:
        ValueError: any other alphabet or a non-canonical ending.
    """
    if not isinstance(text, str) or not text.isascii() or "=" in text:
        raise ValueError("base64url")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("base64url") from error
    # Two texts for one value would be two digests for one object.
    if b64encode(data) != text:
        raise ValueError("base64url")
    return data


def _whole(text: str) -> int | float:
    value = int(text)
    return value if abs(value) <= INTEGER_MAX else float(text)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _write(value: Any, parts: list[str], floats: bool, depth: int) -> None:  # noqa: FBT001 - private recursion
    if depth > JSON_DEPTH_MAX:
        raise ValueError("depth")
    if value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, str):
        parts.append(_text(value))
    elif isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError("integer")
        parts.append(str(value))
    elif isinstance(value, float) and floats:
        parts.append(_number(value))
    elif isinstance(value, list):
        _write_list(value, parts, floats, depth)
    elif isinstance(value, dict):
        _write_dict(value, parts, floats, depth)
    else:
        raise ValueError(type(value).__name__)


def _write_list(value: list[Any], parts: list[str], floats: bool, depth: int) -> None:  # noqa: FBT001 - private recursion
    parts.append("[")
    for index, item in enumerate(value):
        if index:
            parts.append(",")
        _write(item, parts, floats, depth + 1)
    parts.append("]")


def _write_dict(value: dict[str, Any], parts: list[str], floats: bool, depth: int) -> None:  # noqa: FBT001 - private recursion
    parts.append("{")
    # RFC 8785 §3.2.3: members are sorted by their UTF-16 code units, not by code points.
    for index, key in enumerate(sorted(value, key=_utf16)):
        if index:
            parts.append(",")
        parts.append(_text(key))
        parts.append(":")
        _write(value[key], parts, floats, depth + 1)
    parts.append("}")


def _utf16(key: str) -> bytes:
    if not isinstance(key, str):
        raise ValueError("key")  # noqa: TRY004 - one error type for all of them
    return key.encode("utf-16-be")


def _number(value: float) -> str:
    """Write a float as ECMAScript does (RFC 8785 §3.2.2.3, ECMA-262 Number::toString)."""
    if not math.isfinite(value):
        raise ValueError("number")
    if value == 0:
        return "0"
    # Python's repr gives the same shortest digits; only the layout differs.
    sign, digits, exponent = _digits(value)
    point = len(digits) + exponent
    if len(digits) <= point <= 21:
        text = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        text = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        text = f"{head}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + text


def _digits(value: float) -> tuple[str, str, int]:
    """Split a float into sign, shortest decimal digits and the exponent behind them."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return ("-" if value < 0 else ""), stripped, power + len(digits) - len(stripped)
