"""Write the vectors of tests/vectors/keys/: lines of the key table, shares, a receipt.

An independent writer: `cryptography`, `json` and arithmetic of its own, nothing of Concura. The
receipt's signature is random: run it only when a format changes.

    python tests/vectors/make_keys_vectors.py
"""

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

FOLDER = Path(__file__).with_name("keys")
SENDER = Path(__file__).with_name("envelope") / "sender.pem"
EPOCH_KEY, DATA, PSEUDONYM = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
PATIENT = bytes(range(100, 132))
DELETED_MS = 1_700_000_000_000
DAY = 24 * 3_600_000


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def place(*fields):
    joined = b"".join(len(field).to_bytes(8, "big") + field for field in fields)
    return hashlib.sha256(joined).digest()[:16]


def u64(number):
    return number.to_bytes(8, "big")


def lines():
    patient = place(b"concura key place", b"patient", PATIENT, u64(2), u64(1))
    store = place(b"concura key place", b"store", b"pages", u64(2), u64(0))
    return {
        "about": "lines of the key table, epoch 2; key material is counted up",
        "epoch_key": EPOCH_KEY.hex(),
        "data": DATA.hex(),
        "pseudonym": PSEUDONYM.hex(),
        "patient": PATIENT.hex(),
        "patient_line": aes_key_wrap(EPOCH_KEY, DATA + PSEUDONYM + patient).hex(),
        "pages": DATA.hex(),
        "pages_line": aes_key_wrap(EPOCH_KEY, DATA + store).hex(),
    }


def multiply(a, b):
    """Multiply as polynomials, then reduce."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product


def shares():
    secret = EPOCH_KEY
    known = secret + hashlib.sha256(b"concura shared secret" + secret).digest()[:8]
    rows = [known, bytes(range(1, 41)), bytes(range(101, 141))]
    texts = []
    for x in range(1, 6):
        powers = [1, x, multiply(x, x)]
        value = bytes(
            multiply(rows[0][i], powers[0])
            ^ multiply(rows[1][i], powers[1])
            ^ multiply(rows[2][i], powers[2])
            for i in range(len(known))
        )
        body = f"concura-share-v1 01020304 3 {x} {b64(value)}"
        texts.append(f"{body} {hashlib.sha256(body.encode()).hexdigest()[:8]}")
    head = {"about": "3 of 5 shares of a root", "secret": secret.hex()}
    head["coefficients"] = (rows[1] + rows[2]).hex()
    return head | {f"share_{x}": text for x, text in enumerate(texts, 1)}


def receipt():
    private = serialization.load_pem_private_key(SENDER.read_bytes(), None)
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    members = {
        "complete_ms": DELETED_MS + 30 * DAY,
        "deleted_ms": DELETED_MS,
        "generation": 1,
        "holder": hashlib.sha256(spki).hexdigest(),
        "patient": PATIENT.hex(),
        "rewrap_ms": DELETED_MS + DAY,
        "v": "concura-erasure-v1",
    }
    body = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    members["signature"] = b64(private.sign(body, pss, hashes.SHA256()))
    return json.dumps(members, sort_keys=True, separators=(",", ":")) + "\n"


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, found in (("lines", lines()), ("shares", shares())):
        text = "".join(f"{key}: {value}\n" for key, value in found.items())
        (FOLDER / f"{name}.txt").write_text(text, "ascii")
    (FOLDER / "receipt.json").write_text(receipt(), "ascii")


if __name__ == "__main__":
    main()
