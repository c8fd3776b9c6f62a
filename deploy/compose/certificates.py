"""Makes what the MongoDB of compose.yaml needs: an authority, a certificate a host, and a key file.

    python certificates.py DIRECTORY HOST...

What is there already is left as it is. `ca.pem` is for clients, `HOST.pem` for each member, with
the name `localhost` in it too, and `keyfile` is what members know each other by.
"""

import datetime as dt
import os
import secrets
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAYS = 825
SECRET, PUBLIC = 0o600, 0o644
"""mongod takes no key file that anybody but its owner can read."""


def main(directory: Path, hosts: list[str]) -> None:
    """Make what is missing. The authority's key is not kept: another host takes all anew."""
    if (directory / "ca.pem").exists():
        return
    key, authority = _issue("rtserver's MongoDB", (), None)
    for host in hosts:
        names = (x509.DNSName(host), x509.DNSName("localhost"))
        host_key, certificate = _issue(host, names, (key, authority))
        private = host_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        content = certificate.public_bytes(Encoding.PEM) + private
        _write(directory / f"{host}.pem", content, SECRET)
    _write(directory / "keyfile", secrets.token_hex(256).encode(), SECRET)
    _write(directory / "ca.pem", authority.public_bytes(Encoding.PEM), PUBLIC)


def _issue(
    name: str,
    hosts: tuple[x509.DNSName, ...],
    by: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None,
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by[1].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return key, builder.sign(key if by is None else by[0], hashes.SHA256())


def _write(path: Path, content: bytes, mode: int) -> None:
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_bytes(content)
    if os.geteuid() == 0 and (owner := os.environ.get("OWNER")):
        os.chown(path, int(owner), int(owner))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
