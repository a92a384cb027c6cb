"""The SM suite beside the AES suite, post-quantum readers beside RSA: operations per CPU-second.

Records and rows of 2 KB, segments of 1 MiB, single keys. Each figure counts the CPU time of this
process, so that a busy machine bends it less; it is held against the AES column of the same run.

    PYTHONPATH=src python benchmarks/suites.py [--seconds 0.5] [--json]
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_pq import PqKeyFile
from concura.adapters.keys_sm import SmKeyStore
from concura.ports import KeyStore
from concura.sealing import (
    AES,
    SM,
    Context,
    Suite,
    fingerprint,
    open_row,
    parse,
    seal,
    seal_row,
    signing_input,
    unseal,
    verify,
    verify_signature,
    wrap_content_key,
)

BODY = b"{" + b" " * 2_046 + b"}"
SALT, IV = bytes(32), bytes(12)
PLACE = {"store": "records", "kind": "Observation", "id": "o1", "version": 1}
SEGMENT = bytes(1 << 20)


def rate(work: Callable[[], object], seconds: float) -> float:
    """Return how often the work is done in a CPU-second."""
    work()
    count, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        work()
        count += 1
    return count / spent


def sealer(suite: Suite, keys: KeyStore, publics: list[bytes]) -> Callable[[], bytes]:
    """Return what signs and seals one record to these readers."""
    context = Context(
        chain="ab" * 32,
        transfer="0f" * 16,
        consent="cd" * 16,
        purpose="TREAT",
        sender="a",
        recipients=tuple(fingerprint(public) for public in publics),
        checkpoint="",
    )

    def work() -> bytes:
        message = signing_input(context, BODY, media_type="a/b", salt=SALT, suite=suite)
        return seal(
            message,
            keys.sign(message),
            context=context,
            salt=SALT,
            recipients=publics,
            content_key=bytes(suite.key_bytes),
            iv=IV,
            suite=suite,
        )

    return work


def measure(suite: Suite, keys: KeyStore, seconds: float) -> dict[str, float]:
    """Measure one suite."""
    wrap, key = keys.public("wrap"), bytes(suite.key_bytes)
    make = sealer(suite, keys, [wrap])
    data, me = make(), fingerprint(wrap)
    wrapped = wrap_content_key(wrap, key, suite=suite)
    signature = keys.sign(b"entry")
    row = seal_row(BODY, key=key, nonce=IV, suite=suite, **PLACE)
    aead = suite.aead(key)
    large, out = aead.encrypt(IV, SEGMENT, None), bytearray(len(SEGMENT) + 16)
    opened = bytearray(len(SEGMENT))

    def read() -> object:
        sealed = parse(data, suite=suite)
        content_key = keys.unwrap(sealed.encrypted_key(me))
        return verify(unseal(sealed, content_key), sender_public=keys.public("sign"))

    jobs: dict[str, Callable[[], object]] = {
        "sign": lambda: keys.sign(b"entry"),
        "verify": lambda: verify_signature(keys.public("sign"), b"entry", signature, suite=suite),
        "wrap a key": lambda: wrap_content_key(wrap, key, suite=suite),
        "unwrap a key": lambda: keys.unwrap(wrapped),
        "seal a record of 2 KB": make,
        "open it": read,
        "seal a row of 2 KB": lambda: seal_row(BODY, key=key, nonce=IV, suite=suite, **PLACE),
        "open it, row": lambda: open_row(row, key=key, suite=suite, **PLACE),
        "digest of 1 MiB": lambda: suite.digest(SEGMENT),
        "seal 1 MiB": lambda: aead.encrypt_into(IV, SEGMENT, None, out),
        "open 1 MiB": lambda: aead.decrypt_into(IV, large, None, opened),
    }
    return {name: rate(work, seconds) for name, work in jobs.items()}


def measure_pq(keys: KeyStore, pq: PqKeyFile, seconds: float) -> dict[str, float]:
    """Measure a post-quantum reader; the signature stays RSA."""
    public = pq.public_pq()
    make = sealer(AES, keys, [public])
    data, me = make(), fingerprint(public)

    def read() -> object:
        sealed = parse(data)
        content_key = pq.unwrap_pq(sealed.encrypted_key(me), info=sealed.wrap_info(me))
        return verify(unseal(sealed, content_key), sender_public=keys.public("sign"))

    info = b"info"
    wrapped = wrap_content_key(public, bytes(32), info=info)
    return {
        "wrap a key": rate(lambda: wrap_content_key(public, bytes(32), info=info), seconds),
        "unwrap a key": rate(lambda: pq.unwrap_pq(wrapped, info=info), seconds),
        "seal a record of 2 KB": rate(make, seconds),
        "open it": rate(read, seconds),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU time for each figure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as place:
        keys = FileKeyStore.create(Path(place) / "keys")
        pq = PqKeyFile.create(Path(place), keys)
        sm = SmKeyStore.create(Path(place), keys)
        found = {
            "aes": measure(AES, keys, options.seconds),
            "sm": measure(SM, sm, options.seconds),
            "aes, post-quantum reader": measure_pq(keys, pq, options.seconds),
        }
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    names = list(found)
    sys.stdout.write(f"{'per CPU-second':24}" + "".join(f"{name:>26}" for name in names) + "\n")
    for job in found["aes"]:
        cells = [f"{found[name][job]:,.0f}" if job in found[name] else "-" for name in names]
        sys.stdout.write(f"{job:24}" + "".join(f"{cell:>26}" for cell in cells) + "\n")


if __name__ == "__main__":
    main()
