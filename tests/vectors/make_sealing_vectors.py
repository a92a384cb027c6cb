"""Write the vectors of tests/vectors/envelope/: one sealed record per way to accept or refuse one.

An independent writer: it uses `cryptography` and `json` only, nothing of Concura, so that reader
and writer cannot share a mistake. OAEP and PSS pad at random: run it only when the format changes.

    python tests/vectors/make_sealing_vectors.py
"""

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER = Path(__file__).with_name("envelope")
SHA = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(SHA), SHA, None)
CONTENT_KEY, IV, SALT = bytes(range(32)), bytes(range(100, 112)), bytes(range(200, 232))
TRANSFER = "00112233445566778899aabbccddeeff"
BODY = '{"resourceType":"Patient","name":[{"text":"王小明"}]}'.encode()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jcs(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key(name):
    path = FOLDER / f"{name}.pem"
    if not path.exists():
        made = rsa.generate_private_key(65537, 3072)
        path.write_bytes(
            made.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return serialization.load_pem_private_key(path.read_bytes(), None)


def spki(private):
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def name_of(private):
    return hashlib.sha256(spki(private)).hexdigest()


def build(
    *,
    sender,
    readers,
    signed_for=None,
    payload=None,
    header=None,
    jws=None,
    wrapped=CONTENT_KEY,
    committed=CONTENT_KEY,
    encrypted_with=CONTENT_KEY,
    protected=None,
    aad=None,
    salt=SALT,
    changes=None,
):
    """Build a record; every argument but the first two bends one part of it."""
    context = {
        "chain": "ab" * 32,
        "transfer": TRANSFER,
        "consent": "cd" * 16,
        "purpose": "TREAT",
        "sender": "hospital-a",
        "checkpoint": "",
        "recipients": [name_of(r) for r in (signed_for or readers)],
    } | (changes or {})
    content = {
        "v": 1,
        "context": context,
        "salt": b64(salt),
        "media_type": "application/fhir+json",
        "body": b64(BODY),
    } | (payload or {})
    head = header or {"alg": "PS256", "typ": "concura-record+jws"}
    message = f"{b64(jcs(head))}.{b64(jcs(content))}"
    pss = padding.PSS(padding.MGF1(SHA), 32)
    compact = (jws or f"{message}.{b64(sender.sign(message.encode(), pss, SHA))}").encode()
    commit = HKDF(SHA, 32, None, b"concura commit").derive(committed)
    front = {
        "commit": b64(commit),
        "cty": "concura-record+jws",
        "enc": "A256GCM",
        "typ": "concura-record+jwe",
    } | (protected or {})
    outside = {
        "binding": hashlib.sha256(salt + jcs(context)).hexdigest(),
        "transfer": context["transfer"],
        "v": 1,
    } | (aad or {})
    associated = f"{b64(jcs(front))}.{b64(jcs(outside))}".encode()
    both = AESGCM(encrypted_with).encrypt(IV, compact, associated)
    return {
        "protected": b64(jcs(front)),
        "aad": b64(jcs(outside)),
        "iv": b64(IV),
        "ciphertext": b64(both[:-16]),
        "tag": b64(both[-16:]),
        "recipients": [
            {
                "encrypted_key": b64(r.public_key().encrypt(wrapped, OAEP)),
                "header": {"alg": "RSA-OAEP-256", "kid": name_of(r)},
            }
            for r in readers
        ],
    }


def digest_of(value):
    fields = [value[n] for n in ("protected", "aad", "iv", "ciphertext", "tag")]
    raw = [base64.urlsafe_b64decode(f + "==") for f in fields]
    return hashlib.sha256(b"".join(len(r).to_bytes(8, "big") + r for r in raw)).hexdigest()


def put(name, value, *, expect="opened", step=0, digest=None, about=""):
    text = value if isinstance(value, bytes) else jcs(value)
    if digest is None and isinstance(value, dict):
        try:
            digest = digest_of(value)
        except (KeyError, TypeError, ValueError):
            digest = ""
    lines = f"about: {about}\nexpect: {expect}\nstep: {step}\nledger: {digest or ''}\n\n"
    (FOLDER / f"{name}.txt").write_bytes(lines.encode() + text)


def inner(sender, reader):
    """Everything that only shows after decryption."""
    both = {"sender": sender, "readers": [reader]}
    stranger = key("stranger")
    put(
        "content-json",
        build(**both, jws="not.a.jws"),
        expect="content",
        step=6,
        about="what was encrypted is no JWS",
    )
    put(
        "content-member",
        build(**both, payload={"extra": 1}),
        expect="content",
        step=6,
        about="an unknown member in the signed payload",
    )
    put(
        "content-context",
        build(**both, payload={"context": []}),
        expect="content",
        step=6,
        about="a context that is no object",
    )
    put(
        "content-recipients",
        build(**both, changes={"recipients": name_of(reader)}),
        expect="content",
        step=6,
        about="recipients that are no list",
    )
    put(
        "content-version",
        build(**both, payload={"v": True}),
        expect="content",
        step=6,
        about="true in place of version 1",
    )
    put(
        "content-algorithm",
        build(**both, header={"alg": "none", "typ": "concura-record+jws"}),
        expect="content",
        step=6,
        about="alg none",
    )
    put(
        "content-type",
        build(**both, header={"alg": "PS256", "typ": "JWT"}),
        expect="content",
        step=6,
        about="a statement of another kind, signed with the same key",
    )
    put(
        "content-salt",
        build(**both, salt=b"short"),
        expect="content",
        step=6,
        about="a salt of another length",
    )
    put(
        "binding-salt",
        build(**both, aad={"binding": "00" * 32}),
        expect="binding",
        step=7,
        about="the outside binds another context",
    )
    put(
        "binding-transfer",
        build(**both, aad={"transfer": "ff" * 16}),
        expect="binding",
        step=7,
        about="the outside names another transfer than the inside",
    )
    put(
        "entries",
        build(sender=sender, readers=[reader], signed_for=[reader, stranger]),
        expect="entries",
        step=7,
        about="a signed reader's wrap was removed",
    )
    put(
        "signature",
        build(sender=stranger, readers=[reader]),
        expect="signature",
        step=8,
        about="signed by somebody else",
    )
    for field, value in (
        ("chain", "00" * 32),
        ("consent", "00" * 16),
        ("purpose", "HRESCH"),
        ("sender", "hospital-c"),
    ):
        put(
            f"context-{field}",
            build(**both, changes={field: value}),
            expect="context",
            step=9,
            about=f"{field} differs from the ledger",
        )
    value = build(sender=sender, readers=[stranger, reader], signed_for=[stranger])
    put(
        "recipient",
        value,
        expect="recipient",
        step=9,
        about="passed on to this reader without an entry on the ledger",
    )


def outer(sender, reader):
    """Everything that shows before decryption, and decryption itself."""
    both = {"sender": sender, "readers": [reader]}
    good = build(**both)
    put("opened", good, about="a good record")
    put(
        "opened-two-readers",
        build(sender=sender, readers=[key("stranger"), reader]),
        about="a good record for two readers",
    )
    put("canonical-space", jcs(good) + b"\n", expect="canonical", step=1, about="a line end behind")
    put(
        "canonical-order",
        json.dumps(dict(sorted(good.items(), reverse=True)), separators=(",", ":")).encode(),
        expect="canonical",
        step=1,
        about="members in another order",
    )
    put(
        "canonical-twice",
        b'{"aad":"",' + jcs(good)[1:],
        expect="canonical",
        step=1,
        about="a member twice",
    )
    put("canonical-empty", b"", expect="canonical", step=1, about="nothing")
    put("members-more", good | {"unprotected": {}}, expect="members", step=1, about="a member more")
    put(
        "members-less",
        {k: v for k, v in good.items() if k != "aad"},
        expect="members",
        step=1,
        about="a member less",
    )
    put(
        "encoding-padding",
        good | {"tag": good["tag"] + "=="},
        expect="encoding",
        step=1,
        about="base64 padding",
    )
    last = "".join(chr(ord(c) + 1) for c in good["tag"][-1])
    put(
        "encoding-loose-bits",
        good | {"tag": good["tag"][:-1] + last},
        expect="encoding",
        step=1,
        about="loose bits at the end of base64",
    )
    put(
        "encoding-short-tag",
        good | {"tag": b64(bytes(12))},
        expect="encoding",
        step=1,
        about="a shortened tag",
    )
    put(
        "header-enc",
        build(**both, protected={"enc": "A128GCM"}),
        expect="header",
        step=1,
        about="a weaker cipher",
    )
    put(
        "header-array",
        good | {"protected": b64(b"[]")},
        expect="header",
        step=1,
        about="a header that is no object",
    )
    put(
        "members-wrap",
        good | {"recipients": ["x"]},
        expect="members",
        step=1,
        about="a wrap that is no object",
    )
    put(
        "members-wrap-header",
        good | {"recipients": [{"encrypted_key": "", "header": {"alg": "RSA-OAEP-256"}}]},
        expect="members",
        step=1,
        about="a wrap without a reader",
    )
    put(
        "encoding-wrap",
        good
        | {
            "recipients": [
                {
                    "encrypted_key": "",
                    "header": {"alg": "RSA-OAEP-256", "kid": name_of(reader)},
                }
            ]
        },
        expect="encoding",
        step=1,
        about="a wrap of no length",
    )
    put(
        "header-zip",
        build(**both, protected={"zip": "DEF"}),
        expect="header",
        step=1,
        about="compression",
    )
    put(
        "header-version",
        build(**both, aad={"v": 2}),
        expect="header",
        step=1,
        about="another version",
    )
    weak = json.loads(jcs(good))
    weak["recipients"][0]["header"]["alg"] = "RSA1_5"
    put("header-alg", weak, expect="header", step=1, about="PKCS#1 v1.5 wrapping")
    put(
        "recipients-none", good | {"recipients": []}, expect="recipients", step=1, about="no reader"
    )
    put(
        "recipients-twice",
        good | {"recipients": good["recipients"] * 2},
        expect="recipients",
        step=1,
        about="a reader twice",
    )
    put(
        "digest",
        good,
        expect="digest",
        step=2,
        digest="00" * 32,
        about="the ledger knows another record",
    )
    put(
        "reader",
        build(sender=sender, readers=[key("stranger")]),
        expect="reader",
        step=3,
        about="not sealed to this reader",
    )
    stolen = build(sender=sender, readers=[key("stranger")])
    stolen["recipients"][0]["header"]["kid"] = name_of(reader)
    put("wrap", stolen, expect="wrap", step=3, about="wrapped to another key than named")
    put(
        "wrap-length",
        build(**both, wrapped=CONTENT_KEY[:16]),
        expect="wrap",
        step=3,
        about="a content key of 16 bytes",
    )
    put(
        "commitment",
        build(**both, committed=bytes(32)),
        expect="commitment",
        step=4,
        about="the header commits to another key",
    )
    put(
        "decryption",
        build(**both, encrypted_with=bytes(32)),
        expect="decryption",
        step=5,
        about="encrypted under another key",
    )


def main():
    FOLDER.mkdir(exist_ok=True)
    sender, reader = key("sender"), key("reader")
    outer(sender, reader)
    inner(sender, reader)


if __name__ == "__main__":
    main()
