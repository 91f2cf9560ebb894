# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Did the public notice? Judges what the poller wrote down against the journal and the database in charge.

Every promise is judged, all broken ones are named:

* no read ever failed, the switch included;
* a write failed only between freeze and reopening, and then with a clear 503 and Retry-After;
* every acknowledged write is exactly once in the database that the public address serves at the end;
* a write that was only ever refused is in no database.
"""

from __future__ import annotations

import collections
import datetime
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACKNOWLEDGED = (200, 201)
ENDINGS = ("commit", "commit_point", "rollback", "reopened")


@dataclass
class Verdict:
    """Figures by name, in the order in which they are shown, and the promises that were broken."""

    figures: dict[str, str | int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """When writes may be refused (epoch seconds); empty when nothing was frozen."""

    begins: float = float("inf")
    ends: float = float("-inf")

    def holds(self, request: dict[str, Any]) -> bool:
        """Whether ``request`` was answered after the freeze began and was sent before it ended."""
        return self.begins <= request["ended"] and request["began"] <= self.ends


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; a line that a killed writer left unfinished is no request."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def window_of(events: list[dict[str, Any]]) -> Window:
    """From the first freeze that began to the last commit or rollback that ended."""
    begins = [moment(event) for event in events if event["verb"] == "freeze" and event["status"] == "started"]
    ends = [moment(event) for event in events if event["verb"] in ENDINGS and event["status"] != "started"]
    if not begins:
        return Window()
    return Window(min(begins), max(ends, default=float("inf")))


def moment(event: dict[str, Any]) -> float:
    """Time of a journal event in epoch seconds."""
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def judge(requests: list[dict[str, Any]], window: Window, rows: dict[str, int]) -> Verdict:
    """``rows``: how often each idempotency key is in the database in charge."""
    verdict = Verdict()
    reads = [request for request in requests if request["kind"] == "read"]
    writes = [request for request in requests if request["kind"] == "write"]
    judge_reads(reads, verdict)
    judge_refusals(writes, window, verdict)
    judge_rows(writes, rows, verdict)
    if not reads or not any(request["status"] in ACKNOWLEDGED for request in writes):
        verdict.broken.append("the poller read or wrote nothing: nothing is proved")
    return verdict


def judge_reads(reads: list[dict[str, Any]], verdict: Verdict) -> None:
    """No read ever failed."""
    failed = [request for request in reads if request["status"] != 200]
    slowest = max((request["ended"] - request["began"] for request in reads), default=0.0)
    verdict.figures.update({"reads": len(reads), "reads failed": len(failed), "slowest read": f"{slowest:.2f} s"})
    if failed:
        verdict.broken.append(f"{len(failed)} reads failed, first: {describe(failed[0])}")


def judge_refusals(writes: list[dict[str, Any]], window: Window, verdict: Verdict) -> None:
    """A write failed only in the window, with a clear 503."""
    failed = [request for request in writes if request["status"] not in ACKNOWLEDGED]
    unclear = [request for request in failed if request["status"] != 503 or not str(request["retry_after"] or "").isdigit()]
    outside = [request for request in failed if not window.holds(request)]
    moments = [request["began"] for request in failed]
    verdict.figures.update({
        "writes acknowledged": len(writes) - len(failed),
        "writes refused with 503 and Retry-After": len(failed) - len(unclear),
        "writes that failed otherwise": len(unclear),
        "writes refused from first to last": f"{max(moments) - min(moments):.1f} s" if moments else "0.0 s",
    })
    if unclear:
        verdict.broken.append(f"{len(unclear)} writes failed without a clear 503, first: {describe(unclear[0])}")
    if outside:
        verdict.broken.append(f"{len(outside)} writes failed outside the freeze, first: {describe(outside[0])}")


def judge_rows(writes: list[dict[str, Any]], rows: dict[str, int], verdict: Verdict) -> None:
    """What was acknowledged is there once; what was only refused is not there."""
    statuses: dict[str, set[int]] = collections.defaultdict(set)
    for request in writes:
        statuses[request["key"]].add(request["status"])
    acknowledged = {key for key, seen in statuses.items() if seen & set(ACKNOWLEDGED)}
    lost = [key for key in acknowledged if rows.get(key, 0) == 0]
    doubled = [key for key in statuses if rows.get(key, 0) > 1]
    slipped = [key for key, seen in statuses.items() if seen == {503} and rows.get(key, 0)]
    verdict.figures.update({"keys acknowledged": len(acknowledged), "acknowledged rows lost": len(lost), "rows twice": len(doubled),
                            "refused writes found in the database": len(slipped)})
    for found, what in ((lost, "acknowledged writes are lost"), (doubled, "rows are there more than once"),
                        (slipped, "writes that were refused are in the database")):
        if found:
            verdict.broken.append(f"{len(found)} {what}, first key: {sorted(found)[0]}")


def describe(request: dict[str, Any]) -> str:
    """One request in a few words."""
    at = datetime.datetime.fromtimestamp(request["began"], datetime.timezone.utc).strftime("%H:%M:%S.%f")[:-3]
    return f"{at} UTC {request['path']} -> {request['status'] or request['error']}"
