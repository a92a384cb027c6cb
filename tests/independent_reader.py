"""A second reader of sealed records in the AES suite: written from docs/spec/envelope.md alone.

It shares no code with the package, so that writer, reader and specification cannot all be wrong in
the same way. Keys, ledger and record in, body out, or a Refused with the number of the step.

    python tests/independent_reader.py tests/vectors/envelope/opened.txt
"""

import base64
import hashlib
import json
import re
import sys
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHA = hashes.SHA256()
HEX = re.compile(r"[0-9a-f]{64}\Z")
OUTSIDE = ["aad", "ciphertext", "iv", "protected", "recipients", "tag"]
INSIDE = ["body", "context", "media_type", "salt", "v"]
CONTEXT = ["chain", "checkpoint", "consent", "purpose", "recipients", "sender", "transfer"]


class Refused(Exception):
    """A record failed the check with this number."""


def need(holds, step):
    if not holds:
        raise Refused(step)


def canonical(data, step):
    """Parse JSON and demand that writing it again gives the same bytes (RFC 8785, no floats)."""
    try:
        value = json.loads(data, parse_float=lambda _: need(False, step))
        written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        need(written.encode() == data, step)
    except (ValueError, RecursionError) as error:
        raise Refused(step) from error
    return value


def unb64(text, step):
    need(isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-]*", text) is not None, step)
    need(len(text) % 4 != 1, step)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text, step)
    return raw


def name_of(public):
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def read_outside(data):  # step 1
    need(len(data) <= 64 * 1024 * 1024, 1)
    value = canonical(data, 1)
    need(isinstance(value, dict) and sorted(value) == OUTSIDE, 1)
    raw = {name: unb64(value[name], 1) for name in OUTSIDE if name != "recipients"}
    need(len(raw["iv"]) == 12 and len(raw["tag"]) == 16, 1)
    wraps = value["recipients"]
    need(isinstance(wraps, list) and 1 <= len(wraps) <= 64, 1)
    for wrap in wraps:
        need(isinstance(wrap, dict) and sorted(wrap) == ["encrypted_key", "header"], 1)
        head = wrap["header"]
        need(isinstance(head, dict) and sorted(head) == ["alg", "kid"], 1)
        need(head["alg"] == "RSA-OAEP-256" and HEX.match(str(head["kid"])), 1)
        need(384 <= len(unb64(wrap["encrypted_key"], 1)) <= 1024, 1)
    need(len({wrap["header"]["kid"] for wrap in wraps}) == len(wraps), 1)
    head, aad = canonical(raw["protected"], 1), canonical(raw["aad"], 1)
    fixed = {"cty": "concura-record+jws", "enc": "A256GCM", "typ": "concura-record+jwe"}
    need(isinstance(head, dict) and head == fixed | {"commit": head.get("commit")}, 1)
    need(len(unb64(head["commit"], 1)) == 32, 1)
    need(isinstance(aad, dict) and sorted(aad) == ["binding", "transfer", "v"], 1)
    need(aad["v"] == 1 and HEX.match(str(aad["binding"])), 1)
    need(re.fullmatch(r"[0-9a-f]{32}", str(aad["transfer"])), 1)
    return value, raw, head, aad


def read_inside(compact):  # step 6
    parts = compact.decode("ascii", "replace").split(".")
    need(len(parts) == 3, 6)
    need(canonical(unb64(parts[0], 6), 6) == {"alg": "PS256", "typ": "concura-record+jws"}, 6)
    payload = canonical(unb64(parts[1], 6), 6)
    need(isinstance(payload, dict) and sorted(payload) == INSIDE, 6)
    need(payload["v"] is not True and payload["v"] == 1, 6)
    context = payload["context"]
    need(isinstance(context, dict) and sorted(context) == CONTEXT, 6)
    readers = context["recipients"]
    need(isinstance(readers, list) and all(HEX.match(str(one)) for one in readers), 6)
    need(1 <= len(readers) <= 64 and len(set(readers)) == len(readers), 6)
    need(len(unb64(payload["salt"], 6)) == 32 and 1 <= len(payload["media_type"]) <= 128, 6)
    return ".".join(parts[:2]).encode(), payload, unb64(parts[2], 6)


def open_record(data, *, reader, sender, ledger, digest):
    """Return (media type, body) of a record, or raise Refused with the number of the step."""
    value, raw, head, aad = read_outside(data)
    fields = [raw[name] for name in ("protected", "aad", "iv", "ciphertext", "tag")]
    joined = b"".join(len(field).to_bytes(8, "big") + field for field in fields)
    need(hashlib.sha256(joined).hexdigest() == digest, 2)
    me, kids = name_of(reader.public_key()), [w["header"]["kid"] for w in value["recipients"]]
    need(me in kids, 3)
    wrapped = unb64(value["recipients"][kids.index(me)]["encrypted_key"], 3)
    try:
        key = reader.decrypt(wrapped, padding.OAEP(padding.MGF1(SHA), SHA, None))
    except ValueError as error:
        raise Refused(3) from error
    need(len(key) == 32, 3)
    need(HKDF(SHA, 32, None, b"concura commit").derive(key) == unb64(head["commit"], 4), 4)
    associated = f"{value['protected']}.{value['aad']}".encode()
    try:
        compact = AESGCM(key).decrypt(raw["iv"], raw["ciphertext"] + raw["tag"], associated)
    except InvalidTag as error:
        raise Refused(5) from error
    message, payload, signature = read_inside(compact)
    context = payload["context"]
    text = json.dumps(context, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    bound = hashlib.sha256(unb64(payload["salt"], 7) + text.encode()).hexdigest()
    need(bound == aad["binding"] and context["transfer"] == aad["transfer"], 7)
    need(kids[: len(context["recipients"])] == context["recipients"], 7)
    try:
        sender.verify(signature, message, padding.PSS(padding.MGF1(SHA), 32), SHA)
    except InvalidSignature as error:
        raise Refused(8) from error
    need(all(context[name] == wanted for name, wanted in ledger.items()), 9)
    need(me in context["recipients"], 9)
    return payload["media_type"], unb64(payload["body"], 6)


@cache
def private(path):
    return serialization.load_pem_private_key(path.read_bytes(), None)


def vector(path):
    """Read a vector of tests/vectors/envelope: its head, its record, and what opening it gives."""
    head, _, data = path.read_bytes().partition(b"\n\n")
    said = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    reader, sender = private(path.parent / "reader.pem"), private(path.parent / "sender.pem")
    ledger = {"chain": "ab" * 32, "transfer": "00112233445566778899aabbccddeeff"}
    ledger |= {"consent": "cd" * 16, "purpose": "TREAT", "sender": "hospital-a"}
    keys = {"reader": reader, "sender": sender.public_key()}
    try:
        return said, open_record(data, **keys, ledger=ledger, digest=said.get("ledger", ""))
    except Refused as error:
        return said, error.args[0]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {vector(Path(name))[1]}\n")
