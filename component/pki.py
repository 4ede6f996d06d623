"""Keys, certificate authorities and certificates: who is who in a cluster.

Identities stand in the subject (as Kubernetes reads them: common name = user, organisations = groups) and in DNS
names below `timonier.internal`, never in addresses of machines, so that a machine may change its address. Knows nothing of
files, transports or what an identity may do.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 365
NAME_LIMIT = 64  # characters of a common name or an organisation (RFC 5280, appendix A.1)
RENEWED_AT = 2 / 3
"""Of a certificate's life."""

WARNING_DAYS = 30
"""A certificate with fewer days left is worth a warning at every start."""

BACKDATE_SECONDS = 300  # a peer whose clock is a little behind must not see a certificate "not yet valid"


class CertificateProblem(Exception):
    """A certificate, key or request cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    cert_pem: bytes
    key_pem: bytes


def make_ca(common_name: str, now: float) -> KeyPair:
    """Make a certificate authority that signs leaves only. `now` is seconds since the epoch."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name, ())
    certificate = (
        _builder(subject, subject, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _private(key))


def issue(
    ca: KeyPair,
    common_name: str,
    now: float,
    *,
    groups: Sequence[str] = (),
    dns_names: Sequence[str] = (),
    addresses: Sequence[str] = (),
    days: int = LEAF_DAYS,
) -> KeyPair:
    """Make a key and a certificate for it that serves as client and, for `dns_names` and `addresses`, as server."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = _server_names(dns_names, addresses)
    return KeyPair(_sign(ca, key.public_key(), common_name, now, groups, names, days), _private(key))


def make_request(common_name: str) -> tuple[bytes, bytes]:
    """Return (request PEM, key PEM) of a new key; the key never leaves the machine that asked."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, ())).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM), _private(key)


def request_for(key_pem: bytes, common_name: str) -> bytes:
    """Return the request PEM for a key that is there. Raises CertificateProblem."""
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, ()))
    return request.sign(_private_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def check_key(cert_pem: bytes, key_pem: bytes) -> None:
    """Raise CertificateProblem unless the certificate is for this key."""
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem)
    except ValueError as error:
        raise CertificateProblem(f"not a certificate: {error}") from error
    if certificate.public_key() != _private_key(key_pem).public_key():
        raise CertificateProblem("the certificate is for another key")


def sign_request(
    ca: KeyPair,
    request_pem: bytes,
    common_name: str,
    now: float,
    *,
    groups: Sequence[str] = (),
    dns_names: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> bytes:
    """Sign the key of a request; the identity is the signer's word, whatever the request says.

    Raises CertificateProblem when the request is not one or its signature is wrong.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem)
    except ValueError as error:
        raise CertificateProblem(f"not a certificate signing request: {error}") from error
    if not request.is_signature_valid:
        raise CertificateProblem("the certificate signing request is not signed by its own key")
    public_key = request.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise CertificateProblem("the certificate signing request must hold an elliptic curve key")
    return _sign(ca, public_key, common_name, now, groups, _server_names(dns_names, addresses))


def reissue(ca: KeyPair, cert_pem: bytes, key_pem: bytes, now: float) -> bytes:
    """Sign a certificate of ours anew: the same identity, names and key, for a whole life from `now`.

    Raises CertificateProblem when it is of another CA or key, or when the CA itself is not good at `now`.
    """
    check_key(cert_pem, key_pem)
    check_signed_by(cert_pem, ca.cert_pem)
    try:
        check_key(ca.cert_pem, ca.key_pem)
    except CertificateProblem as problem:
        raise CertificateProblem(f"the CA's key does not fit its certificate: {problem}") from problem
    authority = read_subject(ca.cert_pem)
    if now < authority.not_before:
        raise CertificateProblem("this machine's clock stands before the day on which the CA was made: set it")
    if now >= authority.not_after:
        raise CertificateProblem("the CA itself has expired: nobody would accept what it signs")
    old, subject = x509.load_pem_x509_certificate(cert_pem), read_subject(cert_pem)
    try:
        names = list(old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    public_key = _private_key(key_pem).public_key()
    return _sign(ca, public_key, subject.common_name, now, subject.groups, names)


def ca_hash(ca_cert_pem: bytes) -> str:
    """The pin of a CA: "sha256:" and the hex digest of its public key (RFC 7469), as `kubeadm join` takes it."""
    certificate = x509.load_pem_x509_certificate(ca_cert_pem)
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256:" + hashlib.sha256(public).hexdigest()


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate speaks for, and until when (seconds since the epoch)."""

    common_name: str
    groups: tuple[str, ...]
    dns_names: tuple[str, ...]
    not_before: float
    not_after: float
    serial: str = ""  # hexadecimal, in small letters


def read_subject(cert_pem: bytes) -> Subject:
    """Parse a certificate; raises CertificateProblem."""
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem)
    except ValueError as error:
        raise CertificateProblem(f"not a certificate: {error}") from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = tuple(alternative.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        dns_names = ()
    return Subject(
        str(names[0].value) if names else "",
        tuple(str(group.value) for group in groups),
        dns_names,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        f"{certificate.serial_number:x}",
    )


def renewal_time(cert_pem: bytes) -> float:
    """When a certificate should be renewed: at two thirds of its life. Raises CertificateProblem."""
    subject = read_subject(cert_pem)
    return subject.not_before + RENEWED_AT * (subject.not_after - subject.not_before)


def days_left(cert_pem: bytes, now: float) -> float:
    """How many days a certificate can still be used, negative when it has expired. Raises CertificateProblem."""
    return (read_subject(cert_pem).not_after - now) / 86_400


def check_signed_by(cert_pem: bytes, ca_cert_pem: bytes) -> None:
    """Raise CertificateProblem unless the CA, or one of several in a bundle, signed the certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem)
        authorities = x509.load_pem_x509_certificates(ca_cert_pem)
    except ValueError as error:
        raise CertificateProblem(f"not a certificate: {error}") from error
    for authority in authorities:
        with contextlib.suppress(ValueError, TypeError, InvalidSignature):
            certificate.verify_directly_issued_by(authority)
            return
    raise CertificateProblem("the certificate is not signed by this cluster's CA")


def _private_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError) as error:
        raise CertificateProblem(f"not a private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateProblem("the key must be an elliptic curve key")
    return key


def _sign(
    ca: KeyPair,
    public_key: ec.EllipticCurvePublicKey,
    common_name: str,
    now: float,
    groups: Sequence[str],
    server_names: Sequence[x509.GeneralName],
    days: int = LEAF_DAYS,
) -> bytes:
    issuer = x509.load_pem_x509_certificate(ca.cert_pem)
    signer = serialization.load_pem_private_key(ca.key_pem, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise CertificateProblem("the CA's key must be an elliptic curve key")
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if server_names else [])]
    builder = (
        _builder(_name(common_name, groups), issuer.subject, public_key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )
    if server_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(server_names), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _server_names(dns_names: Sequence[str], addresses: Sequence[str]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in dns_names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, days: int
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(seconds=BACKDATE_SECONDS))
        .not_valid_after(start + timedelta(days=days))
    )


def _name(common_name: str, groups: Sequence[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
