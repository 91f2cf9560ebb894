# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""http_probe against a real server with real certificates."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.timezone.utc)


class Handler(http.server.BaseHTTPRequestHandler):
    """Everything is answered by 200 with a secret in its body.

    But ``/flaky`` by 503 twice, ``/flapping`` every third time, ``/moved`` by a redirect, ``/à-propos`` by 204.
    """

    asked = 0

    def do_GET(self):
        status = {"/absent": 404, "/moved": 302}.get(self.path, 200)
        if self.path.startswith("/%C3%A0-propos?q=%D8%A7%20b"):
            status = 204
        if self.path == "/flaky":
            Handler.asked += 1
            status = 200 if Handler.asked > 2 else 503
        if self.path == "/flapping":
            Handler.asked += 1
            status = 200 if Handler.asked % 3 else 503
        self.send_response(status)
        self.send_header("X-Site", "new")
        self.end_headers()
        self.wfile.write(b"hello canary-body")

    def log_message(self, *args):
        """Silent."""


def certificate(directory, name: str, address: str = "127.0.0.1", days: int = 2):
    """A self-signed certificate that is its own authority; returns the paths of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = NOW + datetime.timedelta(days=days)
    built = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(min(NOW, end) - datetime.timedelta(days=1)).not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


@pytest.fixture
def serve(tmp_path):
    """Starts a server, with TLS when a certificate is given; returns its address without path."""
    servers = []

    def start(pair=None, maximum=None) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *args: None
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            if maximum:
                context.maximum_version = maximum
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"{'https' if pair else 'http'}://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def probe(run_module):
    """Runs the module; a body never leaves it."""
    def ask(**options):
        result = run_module("http_probe", timeout=5, **options)
        assert "canary" not in json.dumps(result)
        return result
    return ask


def test_tls_version_cipher_and_expiry_are_proved(serve, probe, tmp_path):
    pair = certificate(tmp_path, "good")
    seen = probe(url=serve(pair) + "/a?token=canary", ca=str(pair[0]), contains="hello", header="X-Site: new")
    answer = seen["probes"][0]
    assert not seen["failed"] and not seen["changed"] and answer["status"] == 200 and answer["tls"] == "TLSv1.3"
    assert answer["cipher"].startswith("TLS_") and answer["expires"].startswith(f"{NOW + datetime.timedelta(days=2):%Y-%m-%d}")
    assert seen["journal"]["versions"] == {"tls": "TLSv1.3"} and seen["journal"]["tests"][0]["verdict"] == "passed"


def test_an_older_tls_is_refused_unless_allowed(serve, probe, tmp_path):
    pair = certificate(tmp_path, "old")
    url = serve(pair, ssl.TLSVersion.TLSv1_2)
    refused = probe(url=url, ca=str(pair[0]))
    assert refused["failed"] and "TLS 1.3 could not be agreed on" in refused["msg"]
    assert probe(url=url, ca=str(pair[0]), min_tls="1.2")["probes"][0]["tls"] == "TLSv1.2"


@pytest.mark.parametrize(("fault", "words"), [
    ({"days": -1}, "expired"), ({"address": "127.0.0.9"}, "mismatch"), ({"unknown": True}, "self-signed"),
])
def test_a_certificate_that_proves_nothing_is_refused(serve, probe, tmp_path, fault, words):
    known = not fault.pop("unknown", False)
    pair = certificate(tmp_path, "bad", **fault)
    refused = probe(url=serve(pair), **({"ca": str(pair[0])} if known else {}))
    message = refused["msg"].replace("self signed", "self-signed")
    assert refused["failed"] and "certificate was not accepted" in message and words in message


def test_every_unmet_expectation_is_named_at_once(serve, probe, free_port):
    base = serve()
    result = probe(probes=[
        {"url": base + "/"}, {"url": base + "/absent"}, {"url": base + "/moved"}, {"url": base + "/", "contains": "goodbye"},
        {"url": base + "/", "header": "X-Site: old"}, {"url": f"http://127.0.0.1:{free_port()}/"}, {"url": "http://no-such-host.invalid/"},
        {"url": base + "/absent", "status": [404]},
    ])
    assert [answer["ok"] for answer in result["probes"]] == [True, False, False, False, False, False, False, True]
    whys = [answer["why"] for answer in result["probes"]]
    assert whys[5] == "nothing listens there" and whys[6] == "its host name is unknown" and result["journal"]["error"]["remedy"]


@pytest.mark.parametrize("address", ["/à-propos?q=ا b&c=%41", "/%C3%A0-propos?q=%D8%A7%20b"])
def test_an_address_in_any_script_is_asked_for_as_a_browser_does(serve, probe, address):
    answer = probe(url=serve() + address, status=[204])["probes"][0]
    assert answer["ok"], answer
    assert not probe(url=f"http://{'é' * 70}.invalid/")["probes"][0]["ok"]


def test_an_answer_that_comes_late_is_waited_for(serve, probe):
    Handler.asked = 0
    base = serve()
    assert probe(url=base + "/flaky", retries=1, interval=0.05)["failed"]
    Handler.asked = 0
    assert not probe(url=base + "/flaky", retries=3, interval=0.05)["failed"]


def test_an_address_that_flaps_is_not_in_service(serve, probe):
    base = serve()
    for path, asked, expected in (("/flapping", 0, True), ("/flapping", 2, True), ("/flaky", 0, False)):
        Handler.asked = asked
        seen = probe(url=base + path, retries=2, interval=0.05, successes=3)
        assert seen["failed"] is expected and ("it flaps" in seen["msg"]) is expected


def test_https_spoken_to_a_plain_server_is_explained(serve, probe):
    assert "could not be agreed on" in probe(url=serve().replace("http:", "https:"))["msg"]
