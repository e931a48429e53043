"""A certificate authority of one's own: its key and certificate, and servers' certificates that it signs.

Everything is PEM. What is made passes the strict checks of OpenSSL and of Python 3.13.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Nobody renews what is only spoken inside of a deployment, so an early end would stop it some day years later.
DAYS = 3650
EARLIER = timedelta(hours=1)  # clocks of machines differ


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def authority(name: str) -> Signed:
    """A new CA, which may sign servers and no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    usage = _usage(key_cert_sign=True, crl_sign=True)
    made = (
        _lasting(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return _written(made.sign(key, hashes.SHA256()), key)


def sign(by: Signed, names: Sequence[str]) -> Signed:
    """A server's certificate for these host names and addresses, the first of which names it."""
    issuer_key = serialization.load_pem_private_key(by.key, None)
    issuer = x509.load_pem_x509_certificate(by.certificate)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("a CA that is not ours: its key is not one of an elliptic curve")
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        _lasting(_named(names[0]), issuer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([*map(_alternative, names)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return _written(made.sign(issuer_key, hashes.SHA256()), key)


def is_signed(certificate: bytes, by: bytes) -> bool:
    """Whether it is a certificate, and that CA's."""
    try:
        issuer = x509.load_pem_x509_certificate(by)
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_for(certificate: bytes, names: Sequence[str]) -> bool:
    """Whether a certificate is for exactly these names."""
    found = x509.load_pem_x509_certificate(certificate)
    try:
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return [*held] == [*map(_alternative, names)]


def lasts(certificate: bytes, days: int) -> bool:
    """Whether a certificate is good for so many days yet."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc > datetime.now(UTC) + timedelta(days=days)


def _lasting(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER).not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )  # fmt: skip


def _usage(**uses: bool) -> x509.KeyUsage:
    none = dict.fromkeys((
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ), False)  # fmt: skip
    return x509.KeyUsage(**{**none, **uses})


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _written(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Signed:
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Signed(certificate.public_bytes(pem), plain)
