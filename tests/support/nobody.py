# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work done without the rights of root, also where the tests are root's."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

NOBODY = 65534


@contextlib.contextmanager
def open_directory() -> Iterator[pathlib.Path]:
    """A directory that belongs to nobody and that everybody reaches: pytest's own are closed."""
    path = pathlib.Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def as_nobody(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, or the exception that it raised, from a child that is ``nobody`` if we are root."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(work, sender))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        child.join()


def _work(work: Callable[[], Any], sender: Connection) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        sender.send(work())
    except Exception as error:  # whatever it is, it is what the test looks at
        sender.send(error)
