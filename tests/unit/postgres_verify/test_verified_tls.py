# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who says nothing of TLS talks to the server that was meant, and to no other: not even the name of the login reaches another."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint, connect, libpq_environment
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

REFUSED = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
MINIMAL = {**{name: spec.get("default") for name, spec in ENDPOINT_SPEC.items()}, "host": "localhost", "user": "migrator"}


def certificate(directory: pathlib.Path) -> pathlib.Path:
    """A file with a key and its certificate for ``localhost``, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    path = directory / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


@contextlib.contextmanager
def server(path: pathlib.Path) -> Iterator[tuple[int, list[bytes]]]:
    """A server that speaks PostgreSQL as far as TLS, with the certificate in ``path``: its port, and what clients told it then."""
    context, told = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(path)

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                with contextlib.suppress(OSError), client:
                    while client.recv(8)[4:] != bytes.fromhex("04d2162f"):  # what asks for TLS; GSSAPI is asked for before it
                        client.sendall(b"N")
                    client.sendall(b"S")
                    with context.wrap_socket(client, server_side=True) as secured:
                        told.append(secured.recv(1000))
                        secured.sendall(b"E" + (len(REFUSED) + 4).to_bytes(4, "big") + REFUSED)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1], told
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize(("host", "trusted", "goes_on"), [
    ("localhost", "its own", True), ("localhost", "another", False), ("localhost", "nobody", False), ("127.0.0.1", "its own", False),
])
def test_a_server_that_cannot_prove_its_name_is_told_nothing(tmp_path: pathlib.Path, host: str, trusted: str, goes_on: bool) -> None:
    (tmp_path / "other").mkdir()
    mine, other = certificate(tmp_path), certificate(tmp_path / "other")
    root = {"its own": mine, "another": other, "nobody": tmp_path / "none"}[trusted]
    with server(mine) as (port, told), pytest.raises(MigrationError) as raised:
        connect(Endpoint.from_options({**MINIMAL, "host": host, "port": port, "sslrootcert": str(root)}))
    assert raised.value.facts["kind"] == ("password" if goes_on else "tls")
    assert [b"migrator" in one for one in told if one] == [True] * goes_on


def test_client_tools_ask_for_the_same() -> None:
    assert libpq_environment(Endpoint.from_options(MINIMAL))["PGSSLMODE"] == Endpoint("localhost", "migrator").sslmode == "verify-full"
