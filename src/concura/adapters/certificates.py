"""A hospital's own certificate authority, its node's certificate, and the two TLS contexts.

X.509 (RFC 5280) with P-256, TLS 1.3 only (RFC 8446), both sides checked in OpenSSL's strict mode.
`ca.key` and `ca.pem` are the authority; `tls.pem` is the node's key and chain in one file, so that
a renewal replaces both at once. A renewal keeps the key: the ledger names it, not the certificate.

This module does NOT say who a caller is: the ledger's entry for the key's fingerprint does. It does
NOT read a clock; OpenSSL does, during a handshake.
"""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from concura.adapters.folders import atomic_write, disk
from concura.adapters.keys_file import read_private
from concura.errors import CertificateInvalid, KeyUnavailable
from concura.sealing.keys import fingerprint
from concura.types import Fingerprint

__all__ = [
    "DAYS",
    "RENEW_DAYS",
    "add_authority",
    "authority",
    "certificate",
    "check",
    "client_context",
    "create_authority",
    "issue",
    "renew",
    "server_context",
    "tls_fingerprint",
]

DAYS: Final = 397  # what browsers allow at most, so that renewal stays practised
RENEW_DAYS: Final = 30  # a month's holiday of whoever renews must fit
_AUTHORITY_DAYS: Final = 3_653
_AUTHORITY_KEY: Final = "ca.key"
_AUTHORITY: Final = "ca.pem"
_TLS: Final = "tls.pem"
_BACKDATE: Final = timedelta(hours=1)  # clocks differ; a fresh certificate must be valid elsewhere
_NAME_MAX_CHARS: Final = 64  # RFC 5280, upper bound of a common name


def create_authority(folder: Path, name: str, *, now: datetime) -> bytes:
    """Make a hospital's own certificate authority, once.

    Args:
        folder: where its key (0600) and certificate go; made when it is missing.
        name: the hospital's name; its first 64 characters go into the certificate.
        now: the time, with its zone.

    Returns:
        The authority's certificate in PEM, for the others to trust.

    Raises:
        KeyUnavailable: `exists`: there is one already.
        StoreFull, FolderUnusable: it cannot be written.

    Example:
        >>> pem = create_authority(Path("tls"), "hospital-a", now=now)  # doctest: +SKIP
        >>> issue(Path("tls"), names=["localhost"], now=now)  # doctest: +SKIP
    """
    if (folder / _AUTHORITY).exists():
        raise KeyUnavailable("exists", file=str(folder / _AUTHORITY))
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    # The key's own name goes in too: authorities of equal names must not be mistaken in a chain.
    short = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:16]
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name[:_NAME_MAX_CHARS]),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, short),
        ]
    )
    builder = (
        _builder(subject, key.public_key(), now=now, days=_AUTHORITY_DAYS)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    # The certificate comes last: where it stands, its key stands too.
    atomic_write(folder / _AUTHORITY_KEY, _key_pem(key))
    atomic_write(folder / _AUTHORITY, pem, mode=0o644)
    return pem


def issue(
    folder: Path,
    *,
    names: Sequence[str],
    now: datetime,
    days: int = DAYS,
    client: bool = True,
    server: bool = True,
    fresh_key: bool = False,
) -> bytes:
    """Issue or renew the node's certificate.

    Args:
        folder: the authority's folder; the result goes beside it.
        names: DNS names and IP addresses, the first also as common name.
        now: the time, with its zone.
        days: how long it is valid.
        client: whether the node may use it as a client.
        server: whether the node may use it as a server.
        fresh_key: whether to draw a new key; then the ledger must learn its fingerprint.

    Returns:
        The certificate in PEM, without its chain.

    Raises:
        CertificateInvalid: `name`: a name cannot stand in a certificate; `garbage`; `authority`:
            the authority itself has expired.
        KeyUnavailable: the authority's key is missing or readable by others.
    """
    issuer = _load(folder / _AUTHORITY)
    if now > issuer.not_valid_after_utc:
        raise CertificateInvalid("authority", name=_common_name(issuer))
    issuer_key = _read_key(folder / _AUTHORITY_KEY)
    is_renewal = (folder / _TLS).exists() and not fresh_key
    key = _read_key(folder / _TLS) if is_renewal else ec.generate_private_key(ec.SECP256R1())
    alternatives = _alternatives(names)
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] * client + [ExtendedKeyUsageOID.SERVER_AUTH] * server
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_NAME_MAX_CHARS])])
    builder = (
        _builder(subject, key.public_key(), now=now, days=min(days, _days_left(issuer, now)))
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    pem = builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    chain = issuer.public_bytes(serialization.Encoding.PEM)
    atomic_write(folder / _TLS, _key_pem(key) + pem + chain)
    return pem


def renew(folder: Path, *, now: datetime, days: int = DAYS) -> bytes:
    """Issue the node's certificate again, with the names, the uses and the key that it has.

    The member entry names the key, so it stays valid; who already talks to this node goes on.

    Args:
        folder: the authority's folder.
        now: the time, with its zone.
        days: how long the new one is valid; never longer than the authority.

    Returns:
        The certificate in PEM, without its chain.

    Raises:
        CertificateInvalid: `garbage`; `authority`: the authority itself has expired.
        KeyUnavailable: a key is missing or readable by others.

    Example:
        >>> pem = renew(Path("tls"), now=now)  # doctest: +SKIP
    """
    path = folder / _TLS
    found = _parse(read_private(path), str(path))
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uses = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateInvalid("garbage", name=str(path)) from error
    return issue(
        folder,
        names=[str(name.value) for name in alternatives],
        now=now,
        days=days,
        client=ExtendedKeyUsageOID.CLIENT_AUTH in uses,
        server=ExtendedKeyUsageOID.SERVER_AUTH in uses,
    )


def authority(folder: Path) -> bytes:
    """Return the certificate of a folder's authority in PEM.

    Raises:
        CertificateInvalid: `garbage`: missing or damaged.
    """
    return _load(folder / _AUTHORITY).public_bytes(serialization.Encoding.PEM)


def certificate(folder: Path) -> bytes:
    """Return the node's certificate in PEM, without key and chain.

    Raises:
        CertificateInvalid: `garbage`: damaged.
        KeyUnavailable: the file is missing or readable by others.
    """
    path = folder / _TLS
    return _parse(read_private(path), str(path)).public_bytes(serialization.Encoding.PEM)


def tls_fingerprint(certificate: bytes) -> Fingerprint:
    """Name the key of a certificate, as member entries on the ledger do.

    Args:
        certificate: PEM (its first certificate counts) or DER.

    Returns:
        SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.

    Raises:
        CertificateInvalid: `garbage`.
    """
    key = _parse(certificate, "PEM").public_key()
    return fingerprint(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def check(certificate: bytes, *, now: datetime) -> int:
    """Say how long a certificate is still valid.

    Args:
        certificate: PEM (its first certificate counts) or DER.
        now: the time, with its zone.

    Returns:
        Whole days left.

    Raises:
        CertificateInvalid: `expired`, `early` or `garbage`.

    Example:
        >>> check(certificate(Path("tls")), now=now)  # doctest: +SKIP
        396
    """
    found = _parse(certificate, "PEM")
    name = _common_name(found)
    if now < found.not_valid_before_utc:
        raise CertificateInvalid("early", name=name, detail=_day(found.not_valid_before_utc))
    if now > found.not_valid_after_utc:
        raise CertificateInvalid("expired", name=name, detail=_day(found.not_valid_after_utc))
    return _days_left(found, now)


def server_context(folder: Path) -> ssl.SSLContext:
    """Make the TLS side that listens: TLS 1.3, client certificates checked if there are any.

    A caller without a certificate is let in and is nobody; who must be somebody is decided per
    request. Authorities are added by `add_authority`, the folder's own stands at once.

    Args:
        folder: the authority's folder.

    Returns:
        The context.

    Raises:
        CertificateInvalid: `garbage`.
        KeyUnavailable: `tls.pem` is missing or readable by others.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, folder, presents=True)
    context.verify_mode = ssl.CERT_OPTIONAL
    add_authority(context, authority(folder))
    # No tickets: a resumed session would skip the check of the client's certificate.
    context.num_tickets = 0
    return context


def add_authority(context: ssl.SSLContext, authority_pem: bytes) -> None:
    """Trust one more hospital's authority, from the next connection on.

    Args:
        context: from `server_context`; may be in use.
        authority_pem: from the member's card, after it was checked against the ledger.

    Raises:
        CertificateInvalid: `garbage`: not exactly one certificate of an authority.
    """
    found = _parse(authority_pem, "PEM")
    try:
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or authority_pem.count(b"-----BEGIN") != 1:
            raise CertificateInvalid("garbage", name=_common_name(found))
        context.load_verify_locations(cadata=authority_pem.decode("ascii"))
    except (x509.ExtensionNotFound, ValueError, ssl.SSLError) as error:
        raise CertificateInvalid("garbage", name=_common_name(found)) from error


def client_context(folder: Path, authority_pem: bytes, *, presents: bool = True) -> ssl.SSLContext:
    """Make the TLS side that dials: TLS 1.3, one trusted authority, the host's name checked.

    Args:
        folder: the authority's folder of this node.
        authority_pem: the hub's own authority, from the invitation; no other is trusted.
        presents: whether to show this node's certificate; a hub that does not know its authority
            yet refuses the connection.

    Returns:
        The context.

    Raises:
        CertificateInvalid: `garbage`.
        KeyUnavailable: `tls.pem` is missing or readable by others.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, folder, presents=presents)
    add_authority(context, authority_pem)
    return context


def _context(protocol: int, folder: Path, *, presents: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if presents:
        read_private(folder / _TLS)  # refuses loose permissions
        try:
            context.load_cert_chain(folder / _TLS)
        except (ssl.SSLError, OSError) as error:
            raise CertificateInvalid("garbage", name=str(folder / _TLS)) from error
    return context


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    if not names:
        raise CertificateInvalid("name", name="")
    return [_alternative(name) for name in names]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    is_plain = name.isascii() and all(part.replace("-", "").isalnum() for part in name.split("."))
    if not is_plain or len(name) > 253:
        raise CertificateInvalid("name", name=name[:_NAME_MAX_CHARS])
    return x509.DNSName(name)


def _load(path: Path) -> x509.Certificate:
    try:
        return _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise CertificateInvalid("garbage", name=str(path)) from error


def _parse(data: bytes, name: str) -> x509.Certificate:
    is_pem = b"-----BEGIN" in data
    load = x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate
    try:
        found = load(data)
        # Read late by the library, and by us in places that expect no refusal any more.
        _ = found.public_key(), found.subject, found.extensions
        _ = found.not_valid_before_utc, found.not_valid_after_utc
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise CertificateInvalid("garbage", name=name) from error
    return found


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnavailable("garbage", file=str(path)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyUnavailable("garbage", file=str(path))
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _days_left(found: x509.Certificate, now: datetime) -> int:
    return (found.not_valid_after_utc - now).days


def _common_name(found: x509.Certificate) -> str:
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "?"


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")
