"""Write the vectors of tests/vectors/stream/: one stream or package per way to accept or refuse one.

An independent writer: it uses `cryptography`, `json` and `tarfile` only, nothing of Concura, so that
reader and writer cannot share a mistake. Segments have 4 KiB. OAEP and PSS pad at random: run it only
when the format changes.

    python tests/vectors/make_stream_vectors.py
"""

import base64
import hashlib
import io
import json
import tarfile
import textwrap
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER, KEYS = Path(__file__).with_name("stream"), Path(__file__).with_name("envelope")
SHA = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(SHA), SHA, None)
PSS = padding.PSS(padding.MGF1(SHA), 32)
SIZE = 4096
TRANSFER = "00112233445566778899aabbccddeeff"
KEY, HEADER = bytes(range(32)), b"\x28" + bytes(range(64, 96)) + bytes(range(7))
TIME_MS = 1_800_000_000_000


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jcs(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def private(name):
    return serialization.load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), None)


def spki(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def name_of(key):
    return hashlib.sha256(spki(key)).hexdigest()


def text_of(size):
    """The object of a vector: i mod 251, from 0."""
    return bytes(i % 251 for i in range(size))


def stream(plain, *, key=KEY, header=HEADER, bound=None, flags=None):
    """Seal by the specification's formulae."""
    bound = f"concura stream {TRANSFER}".encode() if bound is None else bound
    own = AESGCM(HKDF(SHA, 32, salt=header[1:33], info=bound).derive(key))
    pieces, rest = [plain[: SIZE - 56]], plain[SIZE - 56 :]
    while rest:
        pieces.append(rest[: SIZE - 16])
        rest = rest[SIZE - 16 :]
    sealed = [
        own.encrypt(header[33:] + i.to_bytes(4, "big") + bytes([i == len(pieces) - 1]), piece, None)
        for i, piece in enumerate(pieces)
    ]
    return header + b"".join(sealed)


def tree(leaves):
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def root_of(data):
    segments = [data[i : i + SIZE] for i in range(0, len(data), SIZE)]
    return tree([hashlib.sha256(segment).digest() for segment in segments]).hex()


def record(body, *, media_type="application/vnd.concura.object+json", **context):
    """A sealed record from sender.pem to reader.pem, as envelope.md says."""
    sender, reader = private("sender"), private("reader")
    cek, iv, salt = bytes(range(32, 64)), bytes(range(100, 112)), bytes(range(200, 232))
    context = {
        "chain": "",
        "checkpoint": "",
        "consent": "",
        "purpose": "file",
        "recipients": [name_of(reader)],
        "sender": name_of(sender),
        "transfer": TRANSFER,
        **context,
    }
    payload = jcs(
        {"body": b64(body), "context": context, "media_type": media_type, "salt": b64(salt), "v": 1}
    )
    message = f"{b64(jcs({'alg': 'PS256', 'typ': 'concura-record+jws'}))}.{b64(payload)}"
    statement = f"{message}.{b64(sender.sign(message.encode(), PSS, SHA))}".encode()
    commit = HKDF(SHA, 32, salt=None, info=b"concura commit").derive(cek)
    protected = jcs(
        {
            "commit": b64(commit),
            "cty": "concura-record+jws",
            "enc": "A256GCM",
            "typ": "concura-record+jwe",
        }
    )
    binding = hashlib.sha256(salt + jcs(context)).hexdigest()
    aad = jcs({"binding": binding, "transfer": context["transfer"], "v": 1})
    both = AESGCM(cek).encrypt(iv, statement, f"{b64(protected)}.{b64(aad)}".encode())
    wrap = {
        "encrypted_key": b64(reader.public_key().encrypt(cek, OAEP)),
        "header": {"alg": "RSA-OAEP-256", "kid": name_of(reader)},
    }
    return jcs(
        {
            "aad": b64(aad),
            "ciphertext": b64(both[:-16]),
            "iv": b64(iv),
            "protected": b64(protected),
            "recipients": [wrap],
            "tag": b64(both[-16:]),
        }
    )


def manifest(plain, data, **changes):
    value = {
        "content": "file",
        "key": b64(KEY),
        "name": "scan.dcm",
        "root": root_of(data),
        "segment": SIZE,
        "sender": b64(spki(private("sender"))),
        "size": f"{len(plain):014x}",
        "time": f"{TIME_MS:014x}",
        "v": 1,
        **changes,
    }
    return {name: item for name, item in value.items() if item is not None}


def package(plain, *, data=None, rec=None, **changes):
    data = stream(plain) if data is None else data
    rec = record(jcs(manifest(plain, stream(plain), **changes))) if rec is None else rec
    return b"concura-sealed-1" + len(rec).to_bytes(4, "big") + rec + data


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "elsewhere"
            info.size = 5 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"hello"))
    return out.getvalue()


def write(file, expect, data, **head):
    lines = [f"{key}: {value}" for key, value in {"expect": expect, **head}.items()]
    body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 100))
    (FOLDER / f"{file}.txt").write_text("\n".join([*lines, "", body, ""]))


def streams():
    """Bare streams, under the associated data `vector`."""
    for size in (0, 1, 4039, 4040, 4041, 8120, 8121):
        data = stream(text_of(size), bound=b"vector")
        write(f"stream-{size}", "opened", data, size=size, root=root_of(data))
    whole = stream(text_of(8200), bound=b"vector")
    one, two, three = (whole[i : i + SIZE] for i in range(0, len(whole), SIZE))
    spoiled = {
        "stream-flipped": ("segment", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]),
        "stream-swapped": ("segment", one + three.ljust(SIZE, b"\0") + two),
        "stream-doubled": ("segment", one + two + two + three),
        "stream-first-left-out": ("segment", HEADER + two[: SIZE - 40] + three),
        "stream-last-left-out": ("segment", one + two),
        "stream-cut-to-a-tag": ("size", one + two + three[:16]),
        "stream-cut-inside-a-tag": ("size", one + two + three[:7]),
        "stream-header-length": ("header", b"\x29" + whole[1:]),
        "stream-salt": ("segment", whole[:9] + b"\xff" + whole[10:]),
        "stream-prefix": ("segment", whole[:35] + b"\xff" + whole[36:]),
    }
    for name, (why, data) in spoiled.items():
        write(name, why, data)


def packages():
    """Whole files."""
    plain = text_of(5000)
    good = package(plain)
    start = len(good) - len(stream(plain))
    write("package-file", "opened", good, size=5000, name="scan.dcm", content="file")
    folder = archive(("a.txt", b"0"), ("sub", b"5"), ("sub/b.txt", b"0"))
    write(
        "package-folder",
        "opened",
        package(folder, content="folder", name="ward"),
        size=len(folder),
        name="ward",
        content="folder",
    )
    write("package-empty-object", "opened", package(b""), size=0, name="scan.dcm", content="file")
    write("package-nameless", "opened", package(plain, name=""), size=5000, name="", content="file")
    write("empty", "empty", b"")
    write("magic", "magic", b"concura-sealed-2" + good[16:])
    write("magic-short", "magic", good[:19])
    write("record-none", "record", good[:16] + bytes(4) + good[20:])
    write("record-long", "record", good[:16] + b"\0\x10\0\1" + good[20:])
    write("short-record", "short", good[: start - 1])
    write("short-stream", "short", good[: start + SIZE])
    write("short-header", "short", good[: start + 7])
    write("long", "long", good + b"\0")
    write("segment", "segment", good[:-1] + bytes([good[-1] ^ 1]))
    write("header", "header", good[:start] + b"\0" + good[start + 1 :])
    other = stream(bytes(5000))
    write("root", "root", package(plain, data=other))
    write("segment-other-transfer", "segment", package(plain, data=stream(plain, bound=b"x")))
    for name, changes in {
        "version": {"v": 2},
        "version-true": {"v": True},
        "member-more": {"extra": 1},
        "member-less": {"time": None},
        "key-short": {"key": b64(bytes(16))},
        "segment-size": {"segment": 65536},
        "name-path": {"name": "../evil"},
        "name-control": {"name": "a\x1b[2J"},
        "name-long": {"name": "x" * 256},
        "root-form": {"root": "0" * 63},
        "size-form": {"size": "1388"},
        "content": {"content": "link"},
    }.items():
        write(f"manifest-{name}", "manifest", package(plain, **changes))
    body = jcs(manifest(plain, stream(plain)))
    write("manifest-space", "manifest", package(plain, rec=record(body.replace(b",", b", "))))
    write("manifest-media-type", "manifest", package(plain, rec=record(body, media_type="text/x")))
    write("envelope-purpose", "context", package(plain, rec=record(body, purpose="TREAT")))
    write("envelope-sender", "context", package(plain, rec=record(body, sender="0" * 64)))
    stranger = b64(spki(private("stranger")))
    write("envelope-signature", "signature", package(plain, sender=stranger))
    for name, members in {
        "up": [("../evil", b"0")],
        "absolute": [("/evil", b"0")],
        "link": [("a", b"2")],
        "device": [("a", b"3")],
        "twice": [("a", b"0"), ("a", b"0")],
    }.items():
        write(f"archive-{name}", "archive", package(archive(*members), content="folder"))
    write("archive-none", "archive", package(plain, content="folder"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    streams()
    packages()
