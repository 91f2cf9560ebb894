# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A public that never rests: reads and writes at the public address until it is told to stop.

Usage: python poller.py FILE

About 10 reads and 6 writes a second, each on a connection of its own. A write carries an idempotency key; one that was
refused with 503 and Retry-After is sent again with the same key when its time has come, as a well-behaved client does.
Every request is one line of JSON in FILE: kind, path, key, began, ended (epoch seconds), status (0: no answer),
retry_after, side, error. SIGTERM or SIGINT ends it, once what was refused has been sent again (10 seconds at most).
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import random
import signal
import ssl
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.layout import CA, NAME, PUBLIC_PORT

READERS, READS_PER_SECOND = 2, 5
WRITERS, WRITES_PER_SECOND = 2, 3
PATHS = ("/", "/api/health", "/api/stats", *("/api/books?q=" + quote(word) for word in ("montagne", "الجبل", "ⴰⴷⵔⴰⵔ", "Noël")))
FIRST_BOOK, BOOKS, MEMBERS = 1000, 80000, 30000
TIMEOUT = 10


class Poller:
    """Threads that ask the public address on ``port`` and write down in ``stream`` what it answered."""

    def __init__(self, stream, port: int = PUBLIC_PORT, ca: Path = CA) -> None:
        self._stream = stream
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._line = threading.Lock()
        self._refused: collections.deque[tuple[float, str]] = collections.deque()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until ``stopping`` is set."""
        threads = [threading.Thread(target=self._beat, args=(self._read, READS_PER_SECOND)) for _ in range(READERS)]
        threads += [threading.Thread(target=self._beat, args=(self._write, WRITES_PER_SECOND)) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._send_what_was_refused()

    def _beat(self, work, per_second: int) -> None:
        due = time.monotonic() + random.random() / per_second
        while not self.stopping.wait(max(0.0, due - time.monotonic())):
            work()
            due = max(due + 1 / per_second, time.monotonic())

    def _read(self) -> None:
        self._record({"kind": "read", "path": random.choice(PATHS)})

    def _write(self) -> None:
        self._send(self._key_that_is_due() or str(uuid.uuid4()))

    def _send(self, key: str) -> bool:
        answer = self._record({"kind": "write", "path": "/api/loans", "key": key})
        if answer["status"] == 503 and str(answer["retry_after"]).isdigit():
            self._refused.append((time.monotonic() + int(answer["retry_after"]), key))
            return False
        return True

    def _key_that_is_due(self) -> str | None:
        with contextlib.suppress(IndexError):
            due, key = self._refused.popleft()
            if due <= time.monotonic():
                return key
            self._refused.appendleft((due, key))
        return None

    def _send_what_was_refused(self) -> None:
        until = time.monotonic() + 10
        while self._refused and time.monotonic() < until:
            if key := self._key_that_is_due():
                self._send(key)
            else:
                time.sleep(0.1)

    def _record(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Make the request that ``entry`` describes and write down what came of it."""
        entry.update(began=time.time(), status=0, retry_after=None, side=None, error=None)
        connection = http.client.HTTPSConnection(NAME, self._port, timeout=TIMEOUT, context=self._tls)
        with contextlib.closing(connection):
            try:
                self._request(connection, entry)
                answer = connection.getresponse()
                answer.read()
                entry.update(status=answer.status, retry_after=answer.getheader("Retry-After"), side=answer.getheader("X-Public-Side"))
            except (OSError, http.client.HTTPException) as error:
                entry["error"] = f"{type(error).__name__}: {error}"[:200]
        entry["ended"] = time.time()
        with self._line:
            self._stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._stream.flush()
        return entry

    @staticmethod
    def _request(connection: http.client.HTTPSConnection, entry: dict[str, Any]) -> None:
        if entry["kind"] == "read":
            connection.request("GET", entry["path"], headers={"Connection": "close"})
            return
        # What is lent follows from the key, so that the same key is the same request.
        number = uuid.UUID(entry["key"]).int
        body = json.dumps({"book_id": FIRST_BOOK + number % BOOKS, "member_id": 1 + number % MEMBERS})
        headers = {"Connection": "close", "Content-Type": "application/json", "Idempotency-Key": entry["key"]}
        connection.request("POST", entry["path"], body, headers)


def main(arguments: list[str]) -> int:
    """Poll until a signal; returns the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: poller.py FILE\n")
        return 2
    descriptor = os.open(arguments[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        poller = Poller(stream)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: poller.stopping.set())
        poller.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
