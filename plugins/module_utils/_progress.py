# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a long module tells its action plugin where it is: one small JSON file, replaced at most twice a second."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any


class Progress:
    """Progress of one operation, written to ``path`` (no file when None).

    The file holds ``{"step", "done", "total", "unit", "started", "updated"}``: ``step`` a short phrase, ``done`` and
    ``total`` numbers of ``unit`` (``bytes``, ``rows``, ``files``, ``seconds``; ``total`` 0 when unknown), times in epoch seconds.
    """

    INTERVAL = 0.5

    def __init__(self, path: str | None, step: str = "", total: int = 0, unit: str = "bytes") -> None:
        self._path = path
        self._written = 0.0
        self.state: dict[str, Any] = {"step": step, "done": 0, "total": total, "unit": unit, "started": time.time()}
        self._write()

    def begin(self, step: str, total: int = 0, unit: str = "bytes") -> None:
        """Go on to another step, from zero."""
        self.state.update(step=step, done=0, total=total, unit=unit, started=time.time())
        self._write()

    def reach(self, done: int) -> None:
        """Set how much is done; cheap enough to be called for every chunk."""
        self.state["done"] = done
        if time.monotonic() - self._written >= self.INTERVAL:
            self._write()

    def advance(self, amount: int) -> None:
        """Add ``amount`` to what is done."""
        self.reach(int(self.state["done"]) + amount)

    def approach(self, done: int) -> None:
        """Set how much is done as far as one can tell: never less than before, and never all, which only the next step tells."""
        self.reach(max(int(self.state["done"]), min(done, int(self.state["total"]) - 1)))

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Go on to a step that tells nothing of itself, and tell meanwhile how long it has taken."""
        self.begin(step, unit="seconds")
        if self._path is None:
            yield
            return
        over, began = threading.Event(), time.monotonic()

        def tell() -> None:
            while not over.wait(1.0):
                self.reach(int(time.monotonic() - began))

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._path is None:
            return
        temporary = f"{self._path}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(dict(self.state, updated=time.time()), stream)
        os.replace(temporary, self._path)
