"""Write the vectors of tests/vectors/sm/ and tests/vectors/pq/: the other suites of a sealed record.

An independent writer: nothing of Concura. SM3, SM4-GCM and HPKE come from `cryptography`, SM2 from
the program `openssl` (3.0 or newer), which the reader does not use. Signatures and wraps are drawn
at random: run it only when the format changes.

    python tests/vectors/make_suite_vectors.py
"""

import base64
import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from make_sealing_vectors import BODY, IV, OAEP, SALT, TRANSFER, b64, jcs, key, name_of

HERE = Path(__file__).parent
URN = "urn:concura:sm:1:"
HPKE = "urn:concura:hpke:1:mlkem768-x25519"
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
IDENTITY = "1234567812345678"


def openssl(*arguments, **files):
    """Run openssl where each keyword is a file; return its output."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)
    return done.stdout


def sm3(data):
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def sm4_gcm(content_key, iv, data, associated):
    work = Cipher(algorithms.SM4(content_key), modes.GCM(iv)).encryptor()
    work.authenticate_additional_data(associated)
    return work.update(data) + work.finalize() + work.tag


def fields(*parts):
    raw = [p.encode() if isinstance(p, str) else p for p in parts]
    return b"".join(len(p).to_bytes(8, "big") + p for p in raw)


@dataclass(frozen=True)
class Sm2:
    """An SM2 key, as PEM."""

    pem: bytes

    @classmethod
    def named(cls, name):
        path = HERE / "sm" / f"{name}.pem"
        if not path.exists():
            path.write_bytes(openssl("ecparam", "-name", "SM2", "-genkey", "-noout"))
        return cls(path.read_bytes())

    @property
    def name(self):
        der = openssl("pkey", "-in", "k", "-pubout", "-outform", "DER", k=self.pem)
        return hashlib.sha256(der).hexdigest()

    def sign(self, message, identity=IDENTITY):
        return openssl(
            *("pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-inkey", "k", "-in", "m"),
            *("-pkeyopt", f"distid:{identity}"),
            k=self.pem,
            m=message,
        )

    def wrap(self, content_key, _protected, _aad):
        return openssl("pkeyutl", "-encrypt", "-inkey", "k", "-in", "m", k=self.pem, m=content_key)

    alg = URN + "sm2"


@dataclass(frozen=True)
class Rsa:
    """An RSA reader or sender of tests/vectors/envelope."""

    private: Any

    @property
    def name(self):
        return name_of(self.private)

    def sign(self, message):
        sha = hashes.SHA256()
        return self.private.sign(message, padding.PSS(padding.MGF1(sha), 32), sha)

    def wrap(self, content_key, _protected, _aad):
        return self.private.public_key().encrypt(content_key, OAEP)

    alg = "RSA-OAEP-256"


@dataclass(frozen=True)
class Pq:
    """A post-quantum reader, as the seed of draft-connolly-cfrg-xwing-kem."""

    seed: bytes

    def _parts(self):
        grown = hashlib.shake_256(self.seed).digest(96)
        return (
            MLKEM768PrivateKey.from_seed_bytes(grown[:64]),
            X25519PrivateKey.from_private_bytes(grown[64:]),
        )

    @property
    def name(self):
        raw = b"".join(part.public_key().public_bytes_raw() for part in self._parts())
        return hashlib.sha256(raw).hexdigest()

    def wrap(self, content_key, protected, aad):
        lattice, curve = (part.public_key() for part in self._parts())
        info = fields("concura wrap 1", protected, aad, self.name)
        return SUITE.encrypt(content_key, hpke.MLKEM768X25519PublicKey(lattice, curve), info=info)

    alg = HPKE


def build(*, sender, readers, sm, bend=None):
    """Build a record; `bend` changes parts of it: see the calls."""
    bend = bend or {}
    content_key = bytes(range(16 if sm else 32))
    digest = sm3 if sm else lambda data: hashlib.sha256(data).digest()
    hashing = hashes.SM3() if sm else hashes.SHA256()
    context = {
        "chain": "ab" * 32,
        "transfer": bend.get("transfer", TRANSFER),
        "consent": "cd" * 16,
        "purpose": "TREAT",
        "sender": "hospital-a",
        "checkpoint": "",
        "recipients": [reader.name for reader in readers],
    }
    payload = {
        "v": 1,
        "context": context,
        "salt": b64(SALT),
        "media_type": "application/fhir+json",
        "body": b64(BODY),
    }
    head = {
        "alg": bend.get("jws", URN + "sm2-sm3" if sm else "PS256"),
        "typ": "concura-record+jws",
    }
    message = f"{b64(jcs(head))}.{b64(jcs(payload))}".encode()
    signature = bend.get("signature", sender.sign)(message)
    compact = message + b"." + b64(signature).encode()
    commit = HKDF(bend.get("commit", hashing), 32, None, b"concura commit").derive(content_key)
    protected = jcs(
        {
            "commit": b64(commit),
            "cty": "concura-record+jws",
            "enc": bend.get("enc", URN + "sm4-gcm" if sm else "A256GCM"),
            "typ": "concura-record+jwe",
        }
    )
    bound = bend.get("binding", digest)(SALT + jcs(context)).hex()
    aad = jcs({"binding": bound, "transfer": context["transfer"], "v": 1})
    associated = f"{b64(protected)}.{b64(aad)}".encode()
    seal = sm4_gcm if sm else lambda k, n, d, a: AESGCM(k).encrypt(n, d, a)
    both = seal(bend.get("key", content_key), IV, compact, associated)
    wraps = [
        {
            "encrypted_key": b64(
                bend.get("wrap", lambda w: w)(reader.wrap(content_key, protected, aad))
            ),
            "header": {"alg": bend.get("alg", reader.alg), "kid": reader.name},
        }
        for reader in readers
    ]
    ledger = digest(fields(protected, aad, IV, both[:-16], both[-16:])).hex()
    value = {
        "protected": b64(protected),
        "aad": b64(aad),
        "iv": b64(IV),
        "ciphertext": b64(both[:-16]),
        "tag": b64(both[-16:]),
        "recipients": wraps,
    }
    return value, ledger


def put(folder, name, record, *, suite, expect="opened", step=0, about=""):
    value, ledger = record
    lines = f"about: {about}\nsuite: {suite}\nexpect: {expect}\nstep: {step}\nledger: {ledger}\n\n"
    (HERE / folder / f"{name}.txt").write_bytes(lines.encode() + jcs(value))


def longer(der):
    """Write the second field of a DER sequence with a leading zero that it does not need."""
    start = 4 + der[3]
    field = der[start + 2 : start + 2 + der[start + 1]]
    bent = bytes([der[start], len(field) + 1, 0]) + field
    rest = der[start + 2 + len(field) :]
    body = der[2:start] + bent + rest
    return bytes([der[0], len(body)]) + body


def flipped(index):
    return lambda data: data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


def sm_vectors():
    sender, reader, stranger = (Sm2.named(n) for n in ("sender", "reader", "stranger"))
    both = {"sender": sender, "readers": [reader], "sm": True}
    good = build(**both)
    sha = hashes.SHA256()

    def sha256(data):
        return hashlib.sha256(data).digest()

    put("sm", "opened", good, suite="sm", about="a good record")
    two = build(sender=sender, readers=[stranger, reader], sm=True)
    put("sm", "opened-two-readers", two, suite="sm", about="a good record for two readers")
    for name, expect, step, about, bend in (
        ("header-enc", "header", 1, "names the cipher of the other suite", {"enc": "A256GCM"}),
        ("header-alg", "header", 1, "names the wrap of the other suite", {"alg": "RSA-OAEP-256"}),
        ("encoding-der", "encoding", 1, "a wrap in longer DER", {"wrap": longer}),
        ("encoding-cut", "encoding", 1, "a wrap cut short", {"wrap": lambda w: w[:-1]}),
        ("wrap-changed", "wrap", 3, "a bit of the wrap's check", {"wrap": flipped(-30)}),
        ("wrap-point", "wrap", 3, "a wrap whose point is off the curve", {"wrap": flipped(20)}),
        ("commitment", "commitment", 4, "commits by HKDF-SHA-256", {"commit": sha}),
        ("decryption", "decryption", 5, "encrypted under another key", {"key": bytes(16)}),
        ("content-algorithm", "content", 6, "a statement with PS256", {"jws": "PS256"}),
        ("binding", "binding", 7, "bound by SHA-256", {"binding": sha256}),
        ("signature", "signature", 8, "signed by another", {"signature": stranger.sign}),
        (
            "signature-identity",
            "signature",
            8,
            "signed under another identity",
            {"signature": lambda m: sender.sign(m, "ALICE123@YAHOO.COM")},
        ),
        (
            "signature-der",
            "signature",
            8,
            "a signature in longer DER",
            {"signature": lambda m: longer(sender.sign(m))},
        ),
    ):
        put("sm", name, build(**both, bend=bend), suite="sm", expect=expect, step=step, about=about)
    value, _ = good
    parts = [value[n] for n in ("protected", "aad", "iv", "ciphertext", "tag")]
    raw = [base64.urlsafe_b64decode(part + "==") for part in parts]
    wrong = sha256(fields(*raw)).hex()
    put("sm", "digest", (value, wrong), suite="sm", expect="digest", step=2, about="by SHA-256")
    lone = build(sender=sender, readers=[stranger], sm=True)
    put("sm", "reader", lone, suite="sm", expect="reader", step=3, about="not for this reader")
    put("sm", "header-suite", good, suite="aes", expect="header", step=1, about="read as AES")


def pq_vectors():
    sender, rsa = Rsa(key("sender")), Rsa(key("reader"))
    reader, stranger = Pq(bytes(range(32))), Pq(bytes(32))
    both = {"sender": sender, "readers": [reader], "sm": False}
    good = build(**both)
    put("pq", "opened", good, suite="aes", about="a good record")
    put("pq", "opened-required", good, suite="aes-pq", about="read where it is required")
    mixed = build(sender=sender, readers=[rsa, reader], sm=False)
    put("pq", "opened-mixed", mixed, suite="aes", about="one reader of each kind")
    put("pq", "policy", mixed, suite="aes-pq", expect="policy", step=1, about="an RSA reader")
    old = build(sender=sender, readers=[rsa], sm=False)
    put("pq", "policy-alone", old, suite="aes-pq", expect="policy", step=1, about="RSA alone")
    put("pq", "header-suite", good, suite="sm", expect="header", step=1, about="read as SM")
    for name, expect, step, about, bend in (
        ("encoding-cut", "encoding", 1, "a wrap cut short", {"wrap": lambda w: w[:-1]}),
        ("encoding-alg", "encoding", 1, "said to be an RSA wrap", {"alg": "RSA-OAEP-256"}),
        ("header-alg", "header", 1, "another version", {"alg": HPKE.replace(":1:", ":2:")}),
        ("wrap-lattice", "wrap", 3, "a bit of the lattice part", {"wrap": flipped(7)}),
        ("wrap-curve", "wrap", 3, "a bit of the curve part", {"wrap": flipped(1100)}),
        ("wrap-tag", "wrap", 3, "a bit of the tag", {"wrap": flipped(1167)}),
    ):
        bent = build(**both, bend=bend)
        put("pq", name, bent, suite="aes", expect=expect, step=step, about=about)
    value, ledger = build(sender=sender, readers=[stranger], sm=False)
    value["recipients"][0]["header"]["kid"] = reader.name
    named = "wrapped to another key than named"
    put("pq", "wrap", (value, ledger), suite="aes", expect="wrap", step=3, about=named)
    value, ledger = build(**both, bend={"transfer": "ff" * 16})
    value["recipients"] = good[0]["recipients"]
    moved = "a wrap of another envelope with the same content key"
    put("pq", "wrap-moved", (value, ledger), suite="aes", expect="wrap", step=3, about=moved)


def main():
    for folder in ("sm", "pq"):
        (HERE / folder).mkdir(exist_ok=True)
    sm_vectors()
    pq_vectors()


if __name__ == "__main__":
    main()
