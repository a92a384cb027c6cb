"""Certificates and real TLS handshakes on loopback."""

import contextlib
import socket
import ssl
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store

from concura.adapters import certificates
from concura.errors import LANGUAGES, CertificateInvalid, ConcuraError, KeyUnavailable

# OpenSSL reads the system's clock in a handshake, so these tests must as well.
NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251


def make(folder, name, *, names=("localhost", "127.0.0.1", "::1"), now=NOW, **options):
    certificates.create_authority(folder, name, now=now)
    certificates.issue(folder, names=names, now=now, **options)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return make(tmp_path_factory.mktemp("hub") / "tls", "hub")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return make(tmp_path_factory.mktemp("node") / "tls", "hospital-a", names=["hospital-a"])


def why(call, *args, **kwargs):
    with pytest.raises(ConcuraError) as caught:
        call(*args, **kwargs)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
    return type(caught.value), caught.value.why


def serve_once(context, listener, result):
    connection, _ = listener.accept()
    connection.settimeout(5)
    with (
        connection,
        contextlib.suppress(OSError),
        context.wrap_socket(connection, server_side=True) as tls,
    ):
        result["peer"] = tls.getpeercert(binary_form=True)
        result["version"] = tls.version()
        tls.sendall(b"hello")


def dial(server, client, *, host="127.0.0.1", name="localhost"):
    """Shake hands over loopback; return what each side saw."""
    result = {}
    with socket.create_server((host, 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(server, listener, result))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as raw,
                client.wrap_socket(raw, server_hostname=name) as tls,
            ):
                result["said"] = tls.recv(5)
        finally:
            thread.join()
    return result


def test_both_sides_shake_hands_in_tls_1_3_and_know_each_other(hub, node):
    server = certificates.server_context(hub)
    certificates.add_authority(server, certificates.authority(node))
    client = certificates.client_context(node, certificates.authority(hub))

    seen = dial(server, client)

    assert (seen["said"], seen["version"]) == (b"hello", "TLSv1.3")
    expected = certificates.tls_fingerprint(certificates.certificate(node))
    assert certificates.tls_fingerprint(seen["peer"]) == expected


def test_a_caller_without_a_certificate_is_nobody(hub, node):
    server = certificates.server_context(hub)
    client = certificates.client_context(node, certificates.authority(hub), presents=False)

    assert dial(server, client)["peer"] is None


def test_an_authority_can_be_added_while_serving(hub, node):
    server = certificates.server_context(hub)
    client = certificates.client_context(node, certificates.authority(hub))

    with pytest.raises((ssl.SSLError, ConnectionError)):
        dial(server, client)
    certificates.add_authority(server, certificates.authority(node))
    assert dial(server, client)["said"] == b"hello"


def test_a_hub_of_another_authority_is_refused(hub, node, tmp_path):
    impostor = make(tmp_path / "tls", "hub")
    client = certificates.client_context(node, certificates.authority(hub))

    with pytest.raises(ssl.SSLCertVerificationError):
        dial(certificates.server_context(impostor), client)


def test_a_hub_under_another_name_is_refused(hub, node):
    client = certificates.client_context(node, certificates.authority(hub))

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        dial(certificates.server_context(hub), client, name="elsewhere.example")


def test_an_address_is_checked_as_a_name(hub, node):
    client = certificates.client_context(node, certificates.authority(hub), presents=False)

    assert dial(certificates.server_context(hub), client, name="127.0.0.1")["said"] == b"hello"


def test_an_expired_hub_is_refused(node, tmp_path):
    old = make(tmp_path / "tls", "hub", now=NOW - timedelta(days=400), days=30)
    client = certificates.client_context(node, certificates.authority(old))

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        dial(certificates.server_context(old), client)


def test_an_expired_node_is_refused(hub, tmp_path):
    old = make(tmp_path / "tls", "hospital-b", now=NOW - timedelta(days=400), days=30)
    server = certificates.server_context(hub)
    certificates.add_authority(server, certificates.authority(old))
    client = certificates.client_context(old, certificates.authority(hub))

    with pytest.raises((ssl.SSLError, ConnectionError)):
        dial(server, client)


def test_a_certificate_for_servers_alone_is_no_client(hub, tmp_path):
    folder = make(tmp_path / "tls", "hospital-b", client=False)
    server = certificates.server_context(hub)
    certificates.add_authority(server, certificates.authority(folder))
    client = certificates.client_context(folder, certificates.authority(hub))

    with pytest.raises((ssl.SSLError, ConnectionError)):
        dial(server, client)


def test_older_tls_is_refused(hub):
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=certificates.authority(hub).decode())
    client.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError):
        dial(certificates.server_context(hub), client)


def test_openssl_and_an_independent_verifier_accept_the_chain(hub, tmp_path):
    (tmp_path / "leaf.pem").write_bytes(certificates.certificate(hub))

    result = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            hub / "ca.pem",
            "leaf.pem",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    root = x509.load_pem_x509_certificate(certificates.authority(hub))
    leaf = x509.load_pem_x509_certificate(certificates.certificate(hub))
    verifier = (
        PolicyBuilder()
        .store(Store([root]))
        .time(NOW)
        .build_server_verifier(x509.DNSName("localhost"))
    )

    assert result.returncode == 0, result.stderr
    assert len(verifier.verify(leaf, [])) == 2


def test_private_keys_are_their_owners_alone(hub):
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in hub.iterdir()}

    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "tls.pem": 0o600}


def test_a_renewal_keeps_the_key_unless_a_fresh_one_is_asked_for(tmp_path):
    folder = make(tmp_path / "tls", "hospital-a", now=NOW - timedelta(days=400))
    before = certificates.tls_fingerprint(certificates.certificate(folder))

    renewed = certificates.issue(folder, names=["localhost"], now=NOW)
    fresh = certificates.issue(folder, names=["localhost"], now=NOW, fresh_key=True)

    assert certificates.tls_fingerprint(renewed) == before
    assert certificates.tls_fingerprint(fresh) != before
    assert certificates.check(renewed, now=NOW) == certificates.DAYS


def test_days_are_counted_and_both_ends_of_validity_refused(hub):
    pem = certificates.certificate(hub)

    assert certificates.check(pem, now=NOW) in {certificates.DAYS - 1, certificates.DAYS}
    late, early = NOW + timedelta(days=500), NOW - timedelta(days=1)
    assert why(certificates.check, pem, now=late) == (CertificateInvalid, "expired")
    assert why(certificates.check, pem, now=early) == (CertificateInvalid, "early")
    assert why(certificates.check, b"garbage", now=NOW) == (CertificateInvalid, "garbage")


def test_a_certificate_whose_key_lies_on_no_curve_is_refused(hub):
    """The library reads the key only when it is asked for: later than we expected a refusal."""
    found = x509.load_pem_x509_certificate(certificates.certificate(hub))
    point = found.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    der = found.public_bytes(Encoding.DER)

    broken = der.replace(point, point[:-1] + bytes([point[-1] ^ 1]))

    assert why(certificates.tls_fingerprint, broken) == (CertificateInvalid, "garbage")
    assert why(certificates.check, broken, now=NOW) == (CertificateInvalid, "garbage")


def test_an_authority_is_never_replaced(hub):
    before = certificates.authority(hub)

    assert why(certificates.create_authority, hub, "x", now=NOW) == (KeyUnavailable, "exists")
    assert certificates.authority(hub) == before


@pytest.mark.parametrize("name", ["", "a b", "host:443", "-", "é", "a..b", "*.example", "a" * 300])
def test_names_that_cannot_stand_in_a_certificate_are_refused(hub, name):
    assert why(certificates.issue, hub, names=[name], now=NOW) == (CertificateInvalid, "name")


def test_no_name_at_all_is_refused(hub):
    assert why(certificates.issue, hub, names=[], now=NOW) == (CertificateInvalid, "name")


def test_only_an_authority_is_trusted_as_one(hub, node):
    server = certificates.server_context(hub)

    bundle = certificates.authority(hub) + certificates.authority(node)
    for bad in (certificates.certificate(node), b"garbage", b"", bundle):
        assert why(certificates.add_authority, server, bad) == (CertificateInvalid, "garbage")


def test_damaged_missing_and_readable_files_are_refused(tmp_path):
    folder = make(tmp_path / "tls", "hospital-a")
    other = make(tmp_path / "other", "hospital-b")
    good = (folder / "tls.pem").read_bytes()

    (folder / "tls.pem").write_bytes(good.replace(b"MII", b"AAA"))
    assert why(certificates.server_context, folder) == (CertificateInvalid, "garbage")
    key, _, _ = (other / "tls.pem").read_bytes().partition(b"-----BEGIN CERT")
    (folder / "tls.pem").write_bytes(key + good[good.index(b"-----BEGIN CERT") :])
    assert why(certificates.server_context, folder) == (CertificateInvalid, "garbage")
    (folder / "tls.pem").write_bytes(good)
    (folder / "tls.pem").chmod(0o644)
    assert why(certificates.server_context, folder) == (KeyUnavailable, "readable")
    (folder / "tls.pem").unlink()
    assert why(certificates.server_context, folder) == (KeyUnavailable, "missing")
    (folder / "ca.key").write_bytes(b"garbage")
    renew = {"names": ["localhost"], "now": NOW}
    assert why(certificates.issue, folder, **renew) == (KeyUnavailable, "garbage")
    (folder / "ca.pem").unlink()
    assert why(certificates.issue, folder, **renew) == (CertificateInvalid, "garbage")
