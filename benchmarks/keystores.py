"""Each key store: signatures, unwraps, wraps of an epoch key, and opening, beside plain files.

Without a token module (SoftHSM2) or boto3 with moto's server, that store is left out and said so.
Goal: a token signs and unwraps at least a fifth as fast as plain files in the same run: SoftHSM
computes with the system's OpenSSL, which is slower than the one that comes with `cryptography`. AWS
KMS guards the root only, so its store must be as fast as plain files, but for the opening.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from concura.adapters.keys_uri import create_key_store, open_key_store
from concura.sealing import wrap_content_key

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
SECONDS = 0.5
TOKEN_MIN, KMS_MIN = 0.2, 0.6
PIN = "benchmark"


def rate(work):
    """Return how often per wall second a call is made."""
    work()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        work()
        count += 1
    return count / (time.perf_counter() - start)


def measure(uri, base):
    base.mkdir()
    if "passphrase-file" in uri:
        (base / "secret").touch(mode=0o600)
        (base / "secret").write_text("correct horse battery staple")
    start = time.perf_counter()
    create_key_store(uri, base=base)
    made = time.perf_counter() - start
    start = time.perf_counter()
    store = open_key_store(uri, base=base)
    opened = time.perf_counter() - start
    content_key = wrap_content_key(store.public("wrap"), bytes(32))
    epoch_key = store.wrap_aes(bytes(32))
    return {
        "sign_per_s": round(rate(lambda: store.sign(b"entry"))),
        "unwrap_per_s": round(rate(lambda: store.unwrap(content_key))),
        "unwrap_aes_per_s": round(rate(lambda: store.unwrap_aes(epoch_key))),
        "open_ms": round(opened * 1000),
        "make_ms": round(made * 1000),
    }


def token_uri(home):
    if not MODULE.exists() or importlib.util.find_spec("pkcs11") is None:
        return None
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(f"directories.tokendir = {home / 'tokens'}\n")
    os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
    made = f"softhsm2-util --init-token --free --label bench --pin {PIN} --so-pin {PIN}"
    subprocess.run(made.split(), check=True, stdout=subprocess.DEVNULL)
    (home / "pin").touch(mode=0o600)
    (home / "pin").write_text(PIN)
    return f"pkcs11:token=bench?module-path={MODULE}&pin-source={home / 'pin'}"


@contextlib.contextmanager
def kms_uri():
    if any(importlib.util.find_spec(name) is None for name in ("boto3", "moto", "flask")):
        yield None
        return
    import boto3  # noqa: PLC0415 - only where it is installed

    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        lines = (re.search(r"Running on (http://\S+)", line) for line in server.stdout)
        endpoint = next(found[1] for found in lines if found)
        client = boto3.client("kms", region_name="eu-central-1", endpoint_url=endpoint)
        key = client.create_key()["KeyMetadata"]["KeyId"]
        yield f"awskms:{key}?region=eu-central-1&endpoint={quote(endpoint)}"
    finally:
        server.kill()
        server.communicate()


def main():
    home = Path(tempfile.mkdtemp())
    try:
        with kms_uri() as kms:
            uris = {
                "file": "file:keys",
                "passphrase": "file:keys?passphrase-file=secret",
                "pkcs11": token_uri(home),
                "awskms": kms,
            }
            found = {name: measure(uri, home / name) for name, uri in uris.items() if uri}
    finally:
        shutil.rmtree(home)
    if "--json" in sys.argv:
        print(json.dumps(found))
    for name in uris if "--json" not in sys.argv else ():
        said = (f"{what} {value}" for what, value in found.get(name, {}).items())
        print(f"{name}: {', '.join(said) or 'not here'}")
    least = {"pkcs11": TOKEN_MIN, "awskms": KMS_MIN}
    fits = [
        found[name][what] >= share * found["file"][what]
        for name, share in least.items()
        if name in found
        for what in ("sign_per_s", "unwrap_per_s")
    ]
    return 0 if all(fits) else 1


if __name__ == "__main__":
    sys.exit(main())
