"""What key stores need that is not ours: SoftHSM2 as the token, moto's server as AWS KMS."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
PIN = "MARKER-pin-4711"


@dataclass(frozen=True)
class Hsm:
    """SoftHSM with a few empty tokens."""

    module: str
    tokens: Path
    pin_file: Path

    def uri(self, token: str, **more: str) -> str:
        query = {"module-path": self.module, "pin-source": f"file:{self.pin_file}"} | more
        tail = "&".join(f"{name}={quote(value)}" for name, value in query.items() if value)
        return f"pkcs11:token={token};object=concura?{tail}"


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Hsm:
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("needs softhsm2")
    if importlib.util.find_spec("pkcs11") is None:
        pytest.skip("needs python-pkcs11")
    home = tmp_path_factory.mktemp("softhsm")
    (home / "tokens").mkdir(mode=0o700)
    (home / "softhsm2.conf").write_text(
        f"directories.tokendir = {home / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    # The module reads it when it is loaded, once in this process.
    os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
    for label in ("main", "other", "strict", "gone"):
        subprocess.run(
            f"softhsm2-util --init-token --free --label {label} --pin {PIN} --so-pin {PIN}".split(),
            check=True,
            capture_output=True,
        )
    pin_file = home / "pin"
    pin_file.touch(mode=0o600)
    pin_file.write_text(f"{PIN}\n")
    return Hsm(module, home / "tokens", pin_file)


@dataclass(frozen=True)
class Kms:
    """moto's server, speaking AWS KMS on loopback."""

    endpoint: str

    @property
    def client(self):
        import boto3  # noqa: PLC0415 - only where it is installed

        return boto3.client("kms", region_name="eu-central-1", endpoint_url=self.endpoint)

    def new_key(self) -> str:
        return self.client.create_key(Description="concura")["KeyMetadata"]["KeyId"]

    def uri(self, key: str, endpoint: str = "") -> str:
        return f"awskms:{key}?region=eu-central-1&endpoint={quote(endpoint or self.endpoint)}"


@pytest.fixture(scope="session")
def kms() -> Iterator[Kms]:
    if any(importlib.util.find_spec(name) is None for name in ("boto3", "moto", "flask")):
        pytest.skip("needs boto3 and moto[server]")
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "MARKER-access",
        "AWS_SECRET_ACCESS_KEY": "MARKER-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Kms(_address(server))
    finally:
        server.kill()
        server.communicate()


def _address(server: subprocess.Popen[str]) -> str:
    for line in server.stdout:
        if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
            return found[1]
    raise AssertionError("moto's server did not start")
