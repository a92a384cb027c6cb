"""Invariant: whatever the bytes, key files, certificates, invitations and URIs give only our errors.

Feed it files or standard input: `python tests/fuzz/fuzz_keystore_files.py FILE...`; with the
package `atheris` installed and no file named, it runs coverage-guided by itself.
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from concura.adapters import certificates
from concura.adapters.key_folder import read_root, read_rsa, read_witness
from concura.adapters.key_locks import FileLock
from concura.adapters.keys_uri import place_of
from concura.errors import ConcuraError
from concura.hospital import read_invitation
from concura.sealing.oaep import strip_padding

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def quietly(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except ConcuraError as error:
        assert error.message("en")
        assert error.hint("zh")
        return None


def one(data: bytes, folder: Path | None = None) -> None:
    """Check the invariant for one input, for each reader of what lies in files."""
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            one(data, Path(name))
        return
    quietly(certificates.check, data, now=NOW)
    quietly(certificates.tls_fingerprint, data)
    quietly(
        certificates.add_authority,
        certificates.ssl.SSLContext(certificates.ssl.PROTOCOL_TLS_SERVER),
        data,
    )
    quietly(read_invitation, data)
    quietly(strip_padding, data)
    quietly(place_of, data.decode("utf-8", "replace"), base=Path("/base"))
    for name in ("root.key", "sign.pem", "tls.pem", "ca.pem"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(data)
    quietly(read_root, folder, FileLock(lambda: None))
    for read in (read_rsa, read_witness):
        quietly(read, folder / "sign.pem", None)
    quietly(certificates.certificate, folder)
    quietly(certificates.authority, folder)
    quietly(certificates.server_context, folder)
    quietly(certificates.renew, folder, now=NOW)


def main() -> None:
    """Run over the named files, over standard input, or under atheris."""
    if len(sys.argv) > 1:
        for name in sys.argv[1:]:
            one(Path(name).read_bytes())
        return
    try:
        import atheris  # noqa: PLC0415 - optional
    except ImportError:
        one(sys.stdin.buffer.read())
    else:
        atheris.Setup(sys.argv, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
