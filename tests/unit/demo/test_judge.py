# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The judge of the demo finds every broken promise."""

from __future__ import annotations

import pytest

from demo.judge import Window, judge, read_lines, window_of

FREEZE = Window(100.0, 110.0)


def read(began=50.0, status=200):
    return {"kind": "read", "path": "/", "began": began, "ended": began + 0.01, "status": status, "retry_after": None, "error": None}


def write(key="a", began=50.0, status=201, retry_after=None):
    return {"kind": "write", "path": "/api/loans", "key": key, "began": began, "ended": began + 0.01, "status": status,
            "retry_after": retry_after, "error": None}


def test_an_untroubled_public_breaks_nothing():
    requests = [read(), write("a"), write("b", 105.0, 503, "5"), write("b", 112.0, 201)]
    verdict = judge(requests, FREEZE, {"a": 1, "b": 1})
    assert verdict.broken == []
    assert verdict.figures["writes refused with 503 and Retry-After"] == 1


@pytest.mark.parametrize(("requests", "rows", "complaint"), [
    ([read(status=502), write()], {"a": 1}, "1 reads failed"),
    ([read(status=0), write()], {"a": 1}, "1 reads failed"),
    ([read(), write(), write("b", 105.0, 503, None)], {"a": 1}, "without a clear 503"),
    ([read(), write(), write("b", 105.0, 500)], {"a": 1}, "without a clear 503"),
    ([read(), write(), write("b", 90.0, 503, "5")], {"a": 1}, "outside the freeze"),
    ([read(), write(), write("b", 111.0, 503, "5")], {"a": 1}, "outside the freeze"),
    ([read(), write()], {}, "acknowledged writes are lost"),
    ([read(), write()], {"a": 2}, "more than once"),
    ([read(), write(), write("b", 105.0, 503, "5")], {"a": 1, "b": 1}, "refused are in the database"),
    ([write()], {"a": 1}, "nothing is proved"),
    ([read()], {}, "nothing is proved"),
])
def test_each_broken_promise_is_named(requests, rows, complaint):
    broken = judge(requests, FREEZE, rows).broken
    assert len(broken) == 1
    assert complaint in broken[0]


def test_a_write_without_any_answer_may_be_there_once_or_not_but_is_a_failure():
    requests = [read(), write(), write("b", 105.0, 0)]
    for rows in ({"a": 1}, {"a": 1, "b": 1}):
        assert ["without a clear 503" in line for line in judge(requests, FREEZE, rows).broken] == [True]


def test_without_a_freeze_no_write_may_fail():
    assert judge([read(), write(), write("b", 105.0, 503, "5")], window_of([]), {"a": 1}).broken


def test_the_window_reaches_from_the_first_freeze_to_the_last_ending():
    def event(second, verb, status="ok"):
        return {"time": f"2026-11-23T10:00:{second:02}Z", "verb": verb, "status": status}

    window = window_of([event(1, "backup"), event(5, "freeze", "started"), event(6, "freeze", "started"), event(9, "commit_point"),
                        event(11, "commit"), event(15, "end")])
    assert window.ends - window.begins == 6


def test_a_line_that_was_cut_is_no_request(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text('{"kind": "read"}\n{"kind": "wri', encoding="utf-8")
    assert read_lines(path) == [{"kind": "read"}]
