"""A key folder guarded by a key in AWS KMS: opening it is one call, and stands in the log there.

A symmetric KMS key wraps the folder's root; the private keys are files encrypted under that root.
Whoever takes the folder has nothing without the right to call Decrypt with that KMS key; whoever
loses that right has nothing after the next start. The encryption context binds the wrapped root to
its use. Needs the extra `aws`.

This module does NOT let KMS sign or unwrap: a network call for each ledger entry would be the
node's speed. It does NOT make KMS keys: rights are given where the key is made.
"""

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from concura.adapters.key_locks import ROOT_BYTES, shown
from concura.errors import KeyUnavailable

__all__ = ["KmsAddress", "KmsLock"]

_log = logging.getLogger(__name__)

_NAME: Final = "awskms"
# Bound into the wrapped root by KMS, and shown in its log: what this ciphertext is for.
_CONTEXT: Final = {"concura": "key store root v1"}
_BLOB_MAX_BYTES: Final = 6_144  # what Decrypt takes (API reference)
_PENDING_DAYS: Final = 30  # the longest time in which a deletion can be taken back
_TIMEOUT_S: Final = 10
_ATTEMPTS: Final = 3

# The service's word -> which of ours; everything else is `kms`.
_WHY: Final = {
    "NotFoundException": "kmskey",
    "InvalidArnException": "kmskey",
    "DisabledException": "kmsstate",
    "KMSInvalidStateException": "kmsstate",
    "KeyUnavailableException": "kmsstate",
    "InvalidKeyUsageException": "kmskey",
    "IncorrectKeyException": "wrapped",
    "InvalidCiphertextException": "wrapped",
    "AccessDeniedException": "kmsdenied",
    "UnrecognizedClientException": "kmsdenied",
    "InvalidClientTokenId": "kmsdenied",
    "ExpiredTokenException": "kmsdenied",
    "NoCredentialsError": "kmsdenied",
    "PartialCredentialsError": "kmsdenied",
}


@dataclass(frozen=True, slots=True)
class KmsAddress:
    """Which KMS key: its ARN, id or alias; region and endpoint where the environment has others.

    Args:
        key: ARN, key id or `alias/NAME`.
        region: such as `eu-central-1`, or empty for the environment's.
        endpoint: an URL, or empty for the service's own.
    """

    key: str
    region: str = ""
    endpoint: str = ""


class KmsLock:
    """Guards a key folder's root by a key in AWS KMS (`key_locks.KeyLock`).

    Credentials are those of the AWS SDK: environment, profile, or the machine's role.

    Args:
        address: which key.

    Raises:
        KeyUnavailable: `extra`: the package `boto3` is not installed; `kms`: no region.

    Example:
        >>> lock = KmsLock(KmsAddress("alias/concura"))  # doctest: +SKIP
        >>> FileKeyStore.create(Path("keys"), lock=lock)  # doctest: +SKIP
    """

    __slots__ = ("_client", "_errors", "_key")

    def __init__(self, address: KmsAddress) -> None:
        try:
            boto3 = importlib.import_module("boto3.session")
            config = importlib.import_module("botocore.config")
            errors = importlib.import_module("botocore.exceptions")
        except ImportError as error:
            raise KeyUnavailable("extra", extra="aws") from error
        self._key = address.key
        self._errors = (errors.BotoCoreError, errors.ClientError)
        try:
            # A session of its own: the shared one would keep credentials of an earlier use.
            self._client = boto3.Session().client(
                "kms",
                region_name=address.region or None,
                endpoint_url=address.endpoint or None,
                config=config.Config(
                    connect_timeout=_TIMEOUT_S,
                    read_timeout=_TIMEOUT_S,
                    retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                ),
            )
        except (*self._errors, ValueError) as error:
            raise self._known(error) from error

    @property
    def capabilities(self) -> frozenset[str]:
        """Nothing is let out, and KMS destroys a key only days after it was told to."""
        return frozenset({"destroy:delayed"})

    def close(self, root: bytes) -> tuple[str, list[bytes]]:
        """Return the root as KMS wrapped it.

        Raises:
            KeyUnavailable: `kmskey`, `kmsstate`, `kmsdenied` or `kms`.
        """
        found = self._call("encrypt", KeyId=self._key, Plaintext=root, EncryptionContext=_CONTEXT)
        return _NAME, [bytes(found["CiphertextBlob"])]

    def open(self, name: str, fields: Sequence[bytes], folder: Path) -> bytes:
        """Return the root.

        Raises:
            KeyUnavailable: `guard`, `garbage`, `wrapped`, `kmskey`, `kmsstate`, `kmsdenied`, `kms`.
        """
        if name != _NAME:
            raise KeyUnavailable("guard", file=str(folder), found=shown(name), wanted=_NAME)
        if len(fields) != 1 or not ROOT_BYTES < len(fields[0]) <= _BLOB_MAX_BYTES:
            raise KeyUnavailable("garbage", file=str(folder / "root.key"))
        self._check()
        # The key is named, so that a wrapped root of another account's key is not opened by it.
        found = self._call(
            "decrypt", KeyId=self._key, CiphertextBlob=fields[0], EncryptionContext=_CONTEXT
        )
        return bytes(found["Plaintext"])

    def destroy(self) -> int:
        """Tell KMS to delete the key, and everything that it wrapped with it.

        Returns:
            The days in which that can still be taken back.

        Raises:
            KeyUnavailable: `kmskey`, `kmsstate`, `kmsdenied` or `kms`.
        """
        about = self._call("describe_key", KeyId=self._key)["KeyMetadata"]
        if about["KeyState"] == "PendingDeletion":
            return _PENDING_DAYS
        # By id: an alias cannot be deleted so.
        self._call("schedule_key_deletion", KeyId=about["KeyId"], PendingWindowInDays=_PENDING_DAYS)
        return _PENDING_DAYS

    def _check(self) -> None:
        state = self._call("describe_key", KeyId=self._key)["KeyMetadata"]["KeyState"]
        if state != "Enabled":
            raise KeyUnavailable("kmsstate", key=self._key, detail=str(state))

    def _call(self, name: str, **arguments: object) -> Any:
        _log.info("key service used: action=%s", name)
        try:
            return getattr(self._client, name)(**arguments)
        except self._errors as error:
            raise self._known(error) from error

    def _known(self, error: Exception) -> KeyUnavailable:
        response = getattr(error, "response", None) or {}
        code = str(response.get("Error", {}).get("Code", "")) or type(error).__name__
        return KeyUnavailable(_WHY.get(code, "kms"), key=self._key, detail=_shown_code(code))


def _shown_code(code: str) -> str:
    """Return a service's error code as it may stand in an error: the service chose it."""
    return code[:64] if code.isascii() and code.replace(".", "").isalnum() else "?"
