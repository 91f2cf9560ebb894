# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress line says how far, how fast and how long, and never more than it knows."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.plugin_utils import progress_line
from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import RUNNING, has_password

MB = 1_000_000


def state(step: str, done: int, total: int, unit: str, seconds: float) -> dict[str, Any]:
    return {"step": step, "done": done, "total": total, "unit": unit, "started": 0, "updated": seconds}


LINES: dict[str, tuple[Any, str]] = {
    "bytes of a known total": (
        state("restoring", 420 * MB, 1000 * MB, "bytes", 14), "pg mover: restoring 42 % 30 MB/s, 0:19 left",
    ),
    "bytes of an unknown total": (state("dumping", 1500 * MB, 0, "bytes", 1000), "pg mover: dumping 1.5 GB 1.5 MB/s"),
    "rows": (state("comparing", 50, 100, "rows", 10), "pg mover: comparing 50 % 5 rows/s, 0:10 left"),
    "a time": (state("flask db upgrade", 730, 0, "seconds", 730), "pg mover: flask db upgrade 12:10"),
    "just begun": (state("dumping", 0, 10, "bytes", 0), "pg mover: dumping 0 %"),
    "more than foreseen": (state("x", 12, 10, "files", 1), "pg mover: x 100 % 12 files/s"),
    "nothing known": (None, "pg mover: working"),
    "no progress at all": ([1], "pg mover: working"),
    "malformed": ({"step": "a\nb\x1b[31m", "done": "many", "total": True}, "pg mover: ab[31m"),
}


@pytest.mark.parametrize("name", LINES)
def test_the_line(name: str) -> None:
    seen, expected = LINES[name]
    watch = progress_line.Watch("pg mover")
    watch.see(seen)
    assert watch.line() == expected


def test_silence_is_told() -> None:
    now = [0.0]
    watch = progress_line.Watch("pg mover", clock=lambda: now[0])
    watch.see({"step": "waiting"})
    now[0] = 59.0
    watch.see({"step": "waiting"})
    assert watch.line() == "pg mover: waiting"
    now[0] = 75.0
    assert watch.line() == "pg mover: waiting, no news for 1:15"


def test_the_step_and_the_time_frozen_are_told() -> None:
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=65.5)
    watch = progress_line.Watch(progress_line.step_of_verb("migrate") + "pg", since.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    assert watch.line() == "[4/7 migrate] pg: working, frozen for 1:05"
    assert progress_line.step_of_verb("else") == "" and progress_line.seconds_since("") is None


@pytest.mark.parametrize(("value", "unit", "expected"), [
    (0, "bytes", "0 B"), (999, "bytes", "999 B"), (1000, "bytes", "1.0 kB"), (999_600, "bytes", "1.0 MB"), (31e6, "bytes", "31 MB"),
    (5e15, "bytes", "5000 TB"), (3, "rows", "3 rows"),
])
def test_amounts(value: float, unit: str, expected: str) -> None:
    assert progress_line.amount(value, unit) == expected


def test_hours_are_told_as_hours() -> None:
    assert progress_line.clock_time(3725) == "1:02:05"


@pytest.mark.parametrize(("text", "running"), [
    ('{"started": true, "finished": false, "ansible_job_id": "j1.2"}', True),
    ('{"started": 1, "finished": 0, "ansible_job_id": "j1.2"}', True),
    ('{"started": true, "finished": false, "changed": true}', False),
    ('{"changed": false}', False),
])
def test_a_result_is_told_from_a_running_job(text: str, running: bool) -> None:
    assert bool(RUNNING.match(text)) is running


@pytest.mark.parametrize(("args", "found"), [
    ({"source": {"host": "x", "password": "p"}}, True), ({"all": [{"password": "p"}]}, True),
    ({"source": {"password": None, "passfile": "/p"}}, False),
])
def test_a_password_is_found_wherever_it_stands(args: dict[str, Any], found: bool) -> None:
    assert has_password(args) is found
