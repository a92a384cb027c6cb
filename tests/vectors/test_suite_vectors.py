"""The other suites: every stored record is opened or refused as stated; the standards' answers."""

import base64
import json
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_pq import PqKeyFile
from concura.adapters.keys_sm import SmKeyStore
from concura.errors import EnvelopeRefused
from concura.sealing import (
    Suite,
    check_context,
    check_digest,
    check_recipient,
    fingerprint,
    parse,
    suite_named,
    unseal,
    verify,
)
from concura.sealing.sm import Sm4Gcm, sm3
from concura.sealing.sm2 import sm2_library, verify_sm2

HERE = Path(__file__).parent
VECTORS = [path for part in ("sm", "pq") for path in sorted((HERE / part).glob("*.txt"))]
STANDARDS = json.loads((HERE / "sm" / "standards.json").read_text("utf-8"))
LEDGER = {
    "chain": "ab" * 32,
    "transfer": "00112233445566778899aabbccddeeff",
    "consent": "cd" * 16,
    "purpose": "TREAT",
    "sender": "hospital-a",
}


def read(path):
    head, _, data = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line), data


def number_of(name):
    """The private number in an SM2 PEM file: it stands in the first OCTET STRING of 32 bytes."""
    lines = (HERE / "sm" / f"{name}.pem").read_text("ascii").splitlines()
    der = base64.b64decode("".join(line for line in lines if not line.startswith("-")))
    start = der.index(b"\x04\x20") + 2
    return der[start : start + 32]


@cache
def rsa_store():
    folder = HERE / "envelope"
    keys = [
        load_pem_private_key((folder / f"{n}.pem").read_bytes(), None) for n in ("sender", "reader")
    ]
    return FileKeyStore(
        sign=keys[0], wrap=keys[1], witness=Ed25519PrivateKey.generate(), root=bytes(32)
    )


@cache
def sm_store():
    return SmKeyStore((number_of("sender"), number_of("reader")), rsa_store())


def suite_of(head) -> Suite:
    name, _, pq = head["suite"].partition("-")
    return suite_named(name, pq="required" if pq else "allowed")


def content_key_of(sealed, part):
    if part == "pq":
        keys = PqKeyFile(bytes(range(32)))
        me = fingerprint(keys.public_pq())
        return me, keys.unwrap_pq(sealed.encrypted_key(me), info=sealed.wrap_info(me))
    me = fingerprint(sm_store().public("wrap"))
    return me, sm_store().unwrap(sealed.encrypted_key(me))


def open_fully(data, head, part):
    sealed = parse(data, suite=suite_of(head))
    check_digest(sealed, head["ledger"])
    me, content_key = content_key_of(sealed, part)
    store = sm_store() if part == "sm" else rsa_store()
    record = verify(unseal(sealed, content_key), sender_public=store.public("sign"))
    check_context(record, **LEDGER)
    check_recipient(record, me)
    return record


@pytest.mark.parametrize("path", VECTORS, ids=[f"{p.parent.name}-{p.stem}" for p in VECTORS])
def test_a_stored_record_of_another_suite_is_opened_or_refused_as_stated(path):
    head, data = read(path)

    try:
        record = open_fully(data, head, path.parent.name)
    except EnvelopeRefused as error:
        outcome = (error.why, error.values["step"])
    else:
        outcome = ("opened" if "王小明" in record.body.decode() else "changed", 0)

    assert outcome == (head["expect"], int(head["step"]))


def test_sm3_gives_the_answers_of_its_standard():
    for message, expected in STANDARDS["sm3"]["answers"]:
        assert sm3(bytes.fromhex(message)).hex() == expected


def test_sm4_gives_the_answer_of_its_standard():
    case = {name: bytes.fromhex(v) for name, v in STANDARDS["sm4"].items() if name != "source"}

    block = Cipher(algorithms.SM4(case["key"]), modes.ECB()).encryptor()

    assert block.update(case["plaintext"]) == case["ciphertext"]


def test_sm4_in_gcm_gives_the_answer_of_rfc_8998():
    case = {n: bytes.fromhex(v) for n, v in STANDARDS["sm4_gcm"].items() if n != "source"}

    found = Sm4Gcm(case["key"]).encrypt(case["iv"], case["plaintext"], case["aad"])

    assert found == case["ciphertext"] + case["tag"]
    assert Sm4Gcm(case["key"]).decrypt(case["iv"], found, case["aad"]) == case["plaintext"]


def der(*numbers, octets=()):
    def field(tag, data):
        return bytes([tag, len(data)]) + data

    parts = [field(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers]
    return field(0x30, b"".join(parts) + b"".join(field(4, o) for o in octets))


def test_the_signature_of_the_sm2_standard_verifies():
    case = {n: bytes.fromhex(v) for n, v in STANDARDS["sm2"].items() if n != "source"}
    key = sm2_library().private_key(case["private"])
    public = sm2_library().spki(key)
    r, s = (int.from_bytes(case[n], "big") for n in "rs")

    assert public.endswith(b"\x04" + case["public"])
    assert verify_sm2(public, case["message"], der(r, s))
    assert not verify_sm2(public, case["message"], der(s, r))
    assert not verify_sm2(public, case["message"] + b"!", der(r, s))


def test_the_ciphertext_of_the_sm2_standard_opens():
    case = {n: bytes.fromhex(v) for n, v in STANDARDS["sm2"].items() if n != "source"}
    key = sm2_library().private_key(case["private"])
    x, y = (int.from_bytes(half, "big") for half in (case["c1"][:32], case["c1"][32:]))

    found = sm2_library().decrypt(key, der(x, y, octets=(case["c3"], case["c2"])))

    assert found == case["plaintext"]
