# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One function over many items on all cores, in forked processes that never outlive the one that started them."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, TypeVar

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

Item = TypeVar("Item")
WORTH_FORKING = 64
FRAME = 64
ITEM_COST = 1 << 16
_PARENT: int | None = None


def shares(weights: Sequence[int], workers: int) -> list[list[int]]:
    """Indexes dealt out to ``workers``, the heaviest first, each to the one with least to do; order kept within a share."""
    dealt: list[list[int]] = [[] for _worker in range(workers)]
    load = [0] * workers
    for index in sorted(range(len(weights)), key=lambda i: -weights[i]):
        least = load.index(min(load))
        dealt[least].append(index)
        load[least] += weights[index] + ITEM_COST
    return [sorted(share) for share in dealt if share]


def end_if_orphaned() -> None:
    """End this process when it is a child whose parent died; called between files and between the chunks of a large one."""
    if _PARENT is not None and os.getppid() != _PARENT:
        os._exit(1)


class Crew:
    """Starts ``function(item)`` for every item; :meth:`results` waits for them.

    Children inherit the items (fork), so only results, which must be small, cross a pipe. Fewer than ``worth`` items are done here.
    """

    def __init__(self, function: Callable[[Item], Any], items: Sequence[Item], weights: Sequence[int], workers: int | None = None,
                 worth: int = WORTH_FORKING) -> None:
        self._function, self._items, self._weights = function, items, weights
        number = workers or len(os.sched_getaffinity(0))
        self._children: dict[Connection, Any] = {}
        big = len(items) >= worth or (len(items) > 1 and sum(weights) >= WORTH_FORKING * ITEM_COST)
        if big and number > 1:
            context = multiprocessing.get_context("fork")
            for share in shares(weights, number):
                receiver, sender = context.Pipe(duplex=False)
                child = context.Process(target=_work, args=(function, items, share, sender, os.getpid()), daemon=True)
                child.start()
                sender.close()
                self._children[receiver] = child

    def results(self, tick: Callable[[int], None] = lambda weight: None) -> list[Any]:
        """All results in the order of the items; ``tick`` is called with the weight done. Raises what ``function`` raised."""
        found: list[Any] = [None] * len(self._items)
        if not self._children:
            for index, item in enumerate(self._items):
                found[index] = self._function(item)
                tick(self._weights[index])
            return found
        try:
            while self._children:
                for receiver in wait(list(self._children)):
                    self._take(receiver, found, tick)  # type: ignore[arg-type]  # nothing but pipes is waited for
        finally:
            self.stop()
        return found

    def stop(self) -> None:
        """End the children that still work."""
        for receiver, child in self._children.items():
            child.kill()
            child.join()
            receiver.close()
        self._children = {}

    def _take(self, receiver: Connection, found: list[Any], tick: Callable[[int], None]) -> None:
        try:
            frame = receiver.recv()
        except EOFError:
            raise MigrationError("a worker process ended before its work did (killed, or out of memory)") from None
        if frame is None:
            self._children.pop(receiver).join()
            receiver.close()
        elif isinstance(frame, Exception):
            raise frame
        else:
            for index, result in frame:
                found[index] = result
                tick(self._weights[index])


def _work(function: Callable[[Any], Any], items: Sequence[Any], share: list[int], sender: Connection, parent: int) -> None:
    global _PARENT  # set once, in the child
    _PARENT = parent
    gc.disable()  # nothing here makes cycles, and a collection would copy the parent's pages
    frame: list[tuple[int, Any]] = []
    try:
        for index in share:
            end_if_orphaned()
            frame.append((index, function(items[index])))
            if len(frame) == FRAME:
                sender.send(frame)
                frame = []
        sender.send(frame)
        sender.send(None)
    except MigrationError as error:
        sender.send(_Refused(error.message, error.facts))
    except OSError as error:
        sender.send(OSError(error.errno, error.strerror, error.filename))


class _Refused(MigrationError):
    # A MigrationError with facts does not survive pickling by its arguments alone.
    def __init__(self, message: str, facts: dict[str, Any]) -> None:
        super().__init__(message, **facts)
        self.args = (message, facts)
