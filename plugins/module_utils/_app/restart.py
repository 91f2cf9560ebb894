# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a process again that ended by itself: the shell between its record and the program.

It does so once the record says that the process was healthy. Until then the end of the program is its own end, so that
whoever waits for the process sees it at once. It ends with its program when it is told to.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from ansible_collections.dihya.migration.plugins.module_utils._app.process_table import MARK

SHELL = "/bin/sh"
KEPT = "kept"
"""In a record: the mark of the process that is started again when it ends. In another record's words, ours is not."""
LONGEST_PAUSE = 60
"""Seconds between two starts, at most; the first pause is of one second, each further one twice as long."""
SCRIPT = f"""\
record=$1 pause=1 child=
shift
end() {{
  trap '' TERM INT
  kill "$child" 2>/dev/null
  wait "$child"
  exit 143
}}
trap end TERM INT
while :; do
  begun=$(date +%s)
  "$@" </dev/null &
  child=$!
  wait "$child"
  status=$?
  grep -qs "^ \\"{KEPT}\\": \\"${MARK}\\"" "$record" || exit "$status"
  [ $(($(date +%s) - begun)) -lt {LONGEST_PAUSE} ] || pause=1
  echo "ERROR the process ended by itself, exit status $status; it is started again in $pause s" >&2
  sleep "$pause" &
  child=$!
  wait "$child"
  pause=$((pause * 2))
  [ "$pause" -lt {LONGEST_PAUSE} ] || pause={LONGEST_PAUSE}
done
"""


@contextlib.contextmanager
def script() -> Iterator[IO[bytes]]:
    """The standard input of the shell: its command line then shows the program and no script."""
    with tempfile.TemporaryFile() as stream:
        stream.write(SCRIPT.encode())
        stream.seek(0)
        yield stream


def command(pid_file: str, program: str, arguments: Sequence[str]) -> list[str]:
    """What runs ``program`` with ``arguments``, as long as the record in ``pid_file`` says so."""
    return [SHELL, "-s", pid_file, program, *arguments]
