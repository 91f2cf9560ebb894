# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One http request whose answer is judged; TLS is always verified and its version is part of the verdict.

No redirect is followed, no proxy of the environment is used, and no body ever leaves this file.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

BODY_LIMIT = 4 << 20
PLAIN = "/%:@!$&'()*+,;=~"
"""What of a path goes out as it is (RFC 3986, section 3.3); ``%`` too: an address may be encoded already."""
PAUSE = 0.3  # seconds between good answers
TLS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True)
class Expectation:
    """What is asked and what must come back; ``timeout`` in seconds for each step of the connection."""

    url: str
    method: str = "GET"
    status: tuple[int, ...] = (200,)
    contains: str | None = None
    header: str | None = None
    ca: str | None = None
    timeout: float = 10.0
    min_tls: str = "1.3"


@dataclass
class Answer:
    """What was seen; ``status`` 0 when there was no answer, ``why`` and ``remedy`` empty when all is as expected."""

    url: str
    status: int = 0
    tls: str = ""
    cipher: str = ""
    expires: str = ""
    seconds: float = 0.0
    why: str = ""
    remedy: str = ""
    body: bytes = field(default=b"", repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def facts(self) -> dict[str, Any]:
        """What a result may show: everything but body and headers."""
        shown = ("url", "status", "tls", "cipher", "expires", "why", "remedy")
        return {**{name: getattr(self, name) for name in shown}, "seconds": round(self.seconds, 3), "ok": not self.why}


def shown_url(url: str) -> str:
    """``url`` without what may be secret: user information, query and fragment."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_url(url: str) -> urllib.parse.SplitResult:
    """The parts of an absolute http or https address; raises when it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise MigrationError("an address to probe is not of the form https://host[:port]/path: correct it")
    return parts


def judge(expected: Expectation, answer: Answer) -> tuple[str, str]:
    """``(why, remedy)`` of the first expectation that ``answer`` misses, two empty strings when it meets all."""
    if answer.status not in expected.status:
        codes = expected.status
        whole = len(codes) > 2 and sorted(codes) == list(range(min(codes), max(codes) + 1))
        wanted = f"{min(codes)} to {max(codes)}" if whole else " or ".join(map(str, codes))
        return f"it answered {answer.status}, expected {wanted}", "look in the log of the application that serves this address"
    if expected.header:
        name, separator, value = (part.strip() for part in expected.header.partition(":"))
        seen = answer.headers.get(name.lower())
        if seen is None or (separator and seen.strip() != value):
            return f"the header {name} is {'absent' if seen is None else 'not as expected'}", "check which site answers at this address"
    if expected.contains is not None and expected.contains not in answer.body.decode("utf-8", "replace"):
        return "the expected text is not in its body", "check which site answers at this address"
    return "", ""


def probe(expected: Expectation) -> Answer:
    """Send the request once and judge the answer; never raises for what a server does."""
    answer = Answer(shown_url(expected.url))
    started = time.monotonic()
    try:
        _exchange(expected, answer)
        answer.why, answer.remedy = judge(expected, answer)
    except (OSError, ValueError, http.client.HTTPException) as error:  # a ValueError: a host name that no DNS could hold
        answer.why, answer.remedy = _explain(error, expected)
    answer.seconds = time.monotonic() - started
    return answer


def probe_until(expected: Expectation, retries: int, interval: float, successes: int = 1) -> Answer:
    """Probe until ``successes`` answers in a row are as expected, or ``1 + retries`` were not; the last answer.

    ``interval`` is in seconds, from a wrong answer to the next attempt.
    """
    asked = good = row = 0
    while True:
        answer = probe(expected)
        asked += 1
        row, good = (0, good) if answer.why else (row + 1, good + 1)
        if row >= successes:
            return answer
        if asked - good > retries:
            answer.why += f"; {good} of {asked} answers were good: it flaps" if good else ""
            return answer
        time.sleep(interval if answer.why else PAUSE)


def _context(expected: Expectation) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = TLS[expected.min_tls]
    if expected.ca:
        try:
            context.load_verify_locations(cafile=expected.ca)
        except (OSError, ssl.SSLError):
            raise MigrationError(f"{expected.ca} cannot be read as certificates of an authority: give a PEM file") from None
    return context


def _exchange(expected: Expectation, answer: Answer) -> None:
    parts = check_url(expected.url)
    host = str(parts.hostname)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=expected.timeout, context=_context(expected))
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=expected.timeout)
    target = urllib.parse.quote(parts.path or "/", PLAIN) + (f"?{urllib.parse.quote(parts.query, PLAIN + '?')}" if parts.query else "")
    try:
        connection.connect()
        _note_tls(connection.sock, answer)
        connection.request(expected.method, target, headers={"User-Agent": "dihya-migration", "Connection": "close"})
        response = connection.getresponse()
        answer.status = response.status
        answer.headers = {name.lower(): value for name, value in response.getheaders()}
        answer.body = response.read(BODY_LIMIT)
    finally:
        connection.close()


def _note_tls(sock: Any, answer: Answer) -> None:
    if isinstance(sock, ssl.SSLSocket):
        answer.tls = sock.version() or ""
        answer.cipher = (sock.cipher() or ("",))[0]
        expires = (sock.getpeercert() or {}).get("notAfter")
        if isinstance(expires, str):
            answer.expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ssl.cert_time_to_seconds(expires)))


def _explain(error: Exception, expected: Expectation) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate was not accepted: {error.verify_message}",
            "name the authority's PEM file, or renew the certificate for this host name",
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS {expected.min_tls} could not be agreed on", f"let the server offer TLS {expected.min_tls}, and https on this port"
    if isinstance(error, socket.gaierror):
        return "its host name is unknown", "correct the name, or publish it in DNS"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"no answer within {expected.timeout:g} s", "check that the service runs and no firewall drops the packets"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there", "start the service, or correct host and port"
    return f"the connection failed ({type(error).__name__})", "look in the log of the service that answers there"
