"""Sealing, recording and sharing: one patient moves from hospital A to hospital B.

Played for real, refusals included: without a consent; to a key that the hub put in place of B's;
with a consent; after its revocation. In between the hub's copy is taken from its store while B is
paused, and everything that the hub has is tried on it.

This module does NOT seal or open anything as a member: the nodes do.
"""

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from concura.adapters.table_files import TableFolder
from concura.canonical import b64encode, decode, encode
from concura.cli.story.tell import Teller
from concura.cli.story.town import Town
from concura.errors import ConcuraError, EnvelopeRefused, InternalFault
from concura.sealing import Sealed, Suite, parse, unseal
from concura.types import MemberId

__all__ = ["play_sharing"]

_WAIT = "?wait=30"
_PURPOSE = "treatment"


def play_sharing(town: Town, folder: TableFolder, teller: Teller) -> None:
    """Play stages 2 to 4 and fill `transfer` of the story."""
    holder, reader = town.hospitals[:2]
    patient = next(folder.resources(holder))[0]
    identifier = patient["identifier"][0]
    wish = {
        "holder": holder,
        "system": identifier["system"],
        "value": identifier["value"],
        "purpose": _PURPOSE,
    }
    refused = {"no_consent": _refusal(town, reader, wish) == "consent.none"}
    teller.line("story.share.no_consent", number=identifier["value"], reader=town.names[reader])
    body: dict[str, object] = {"number": identifier["value"], "reader": reader, "purpose": _PURPOSE}
    consent = town.ask(holder, "POST", "/consents", body)["consent"]
    teller.line("story.share.granted", holder=town.names[holder], reader=town.names[reader])
    with _substituted_key(town.hub, reader):
        refused["substituted_key"] = _refusal(town, reader, wish) == "key.mismatch"
    teller.line("story.share.substituted", holder=town.names[holder], reader=town.names[reader])
    found, copy = _deliver(town, reader, wish)
    tried, is_open = _try_everything(town.hub, copy, town.invitation.genesis.suite)
    teller.line("story.share.sealed", size=len(copy), digest=found["digest"][:16])
    key = "story.share.hub_opened" if is_open else "story.share.hub_blind"
    teller.line(key, tried=tried, style="bad" if is_open else "")
    count = found["arrived"]["resources"]
    teller.line("story.share.arrived", reader=town.names[reader], count=count)
    town.ask(holder, "POST", "/consents/revoke", {"consent": consent})
    refused["revoked"] = _refusal(town, reader, wish) == "consent.not-active"
    teller.line("story.share.revoked", reader=town.names[reader])
    teller.story["transfer"] = {
        "from": holder,
        "to": reader,
        "digest": found["digest"],
        "size_bytes": len(copy),
        "refused": refused,
        "hub_could_open": is_open,
        "tried": tried,
    }
    teller.stop("seal", "story.road.seal", holder=town.names[holder], reader=town.names[reader])
    teller.stop("share", "story.road.share", reader=town.names[reader], count=count)


def _refusal(town: Town, reader: MemberId, wish: dict[str, Any]) -> str:
    """Ask for the record; return why it was refused, or "" if it was not."""
    transfer = town.ask(reader, "POST", "/transfers", wish)["transfer"]
    found = town.ask(reader, "GET", f"/transfers/{transfer}{_WAIT}")
    return str(found["reason"]) if found["status"] == "refused" else ""


def _deliver(town: Town, reader: MemberId, wish: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Have the record sent, take the hub's copy while the reader is paused, then let it arrive."""
    transfer = str(town.ask(reader, "POST", "/transfers", wish)["transfer"])
    copies: list[bytes] = []
    with _paused(town.pid(reader)):
        town.until(lambda: bool(_look(town.hub, transfer, copies)))
    found = town.ask(reader, "GET", f"/transfers/{transfer}{_WAIT}")
    if found["status"] != "acknowledged":
        raise InternalFault(detail=f"the transfer is {found['status']}: {found['reason']}")
    return found, copies[-1]


@contextmanager
def _paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # It may have been killed meanwhile; then there is nothing to wake.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _look(hub: Path, transfer: str, copies: list[bytes]) -> list[bytes]:
    """Read the sealed record out of the hub's own store."""
    with _database(hub) as db:
        rows = db.execute(
            "SELECT data FROM mail WHERE transfer = ? AND kind = 'record'", (transfer,)
        )
        copies.extend(bytes(row[0]) for row in rows)
    return copies


@contextmanager
def _database(hub: Path) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(hub / "data" / "hub.db"))
    db.set_busy_timeout(5_000)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def _substituted_key(hub: Path, member: MemberId) -> Iterator[None]:
    """Play a hub that shows its own key as a member's: in its store, where its operator could."""
    name = f"card/{member}"
    key = rsa.generate_private_key(65537, 3072)
    own = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with _database(hub) as db:
        true = bytes(db.execute("SELECT value FROM facts WHERE name = ?", (name,)).get)
        card = {**decode(true), "wrap": b64encode(own)}
        db.execute("UPDATE facts SET value = ? WHERE name = ?", (encode(card), name))
    try:
        yield
    finally:
        with _database(hub) as db:
            db.execute("UPDATE facts SET value = ? WHERE name = ?", (true, name))


def _try_everything(hub: Path, copy: bytes, suite: Suite) -> tuple[int, bool]:
    """Try all that the hub has on its copy of the sealed record.

    Every private key is tried on every wrapped content key; every stretch of every key file that is
    as long as a content key, and of every value in its database the beginning and the hash, as the
    content key itself.

    Returns:
        How many keys were tried, and whether one opened it.
    """
    sealed = parse(copy, suite=suite)
    candidates = dict.fromkeys(_candidates(hub, sealed))
    return len(candidates), any(_opens(sealed, key) for key in candidates)


def _candidates(hub: Path, sealed: Sealed) -> Iterator[bytes]:
    length = sealed.suite.key_bytes
    for path in sorted(p for p in hub.rglob("*") if p.is_file() and p.suffix != ".db"):
        data = path.read_bytes()
        yield from _unwrapped(data, sealed)
        if len(data) < 64 * 1024:
            yield from (data[i : i + length] for i in range(len(data) - length + 1))
    with _database(hub) as db:
        tables = [
            str(r[0]) for r in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for table in tables:
            for row in db.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - names from the schema itself
                for value in row:
                    data = value.encode() if isinstance(value, str) else value
                    if isinstance(data, bytes):
                        yield hashlib.sha256(data).digest()[:length]
                        if len(data) >= length:
                            yield data[:length]


def _unwrapped(data: bytes, sealed: Sealed) -> Iterator[bytes]:
    for pem in re.findall(
        rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]+-----\n", data, re.DOTALL
    ):
        key = load_pem_private_key(pem, None)
        raw = getattr(key, "private_bytes_raw", None)
        if raw is not None:
            yield raw()
        if isinstance(key, rsa.RSAPrivateKey):
            for reader in sealed.recipients:
                with suppress(ValueError):
                    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
                    yield key.decrypt(sealed.encrypted_key(reader), oaep)


def _opens(sealed: Sealed, key: bytes) -> bool:
    try:
        unseal(sealed, key)
    except EnvelopeRefused:
        pass
    except (ConcuraError, ValueError):
        return False
    else:
        return True
    # Not trusting our own commitment check here: the cipher itself must refuse too.
    try:
        associated = f"{b64encode(sealed.protected)}.{b64encode(sealed.aad)}".encode()
        sealed.suite.aead(key).decrypt(sealed.iv, sealed.ciphertext + sealed.tag, associated)
    except (InvalidTag, ValueError):
        return False
    return True
