# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Benchmarks: what a row says, who goes first, and that one area never loses the figures of another."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

from dev import bench
from dev.testing import system
from tests.benchmarks import document, traffic
from tests.benchmarks.measure import Bench, MeasurementFailed, Result, Row, Tool, run_tools

ROW = Row("ours against theirs (s)", [1.0, 2.0, 9.0], [2.0, 4.0, 3.0], 0.8)


def test_the_ratio_is_the_median_of_the_ratios_of_each_round():
    # Ratios of 0.5, 0.5 and 3; medians of either side alone would say 2 / 3.
    assert ROW.as_json("trees") == {"area": "trees", "name": "ours against theirs (s)", "ours": 2.0, "peer": 3.0, "ratio": 0.5,
                                    "goal": "ratio ≤ 0.8", "met": True}


@pytest.mark.parametrize(("row", "met"), [
    (Row("r", [9.0], [10.0], 0.9), True), (Row("r", [9.1], [10.0], 0.9), False), (Row("r", [20.0], (), 20, "ours"), True),
    (Row("r", [20.1], (), 20, "ours"), False), (Row("r", [3.4], [3.0], 0.5, "difference"), True),
    (Row("r", [3.6], [3.0], 0.5, "difference"), False), (Row("r", [3.6], [3.0]), None),
])
def test_a_goal_is_an_upper_limit_of_what_it_names(row, met):
    assert row.met() is met


def test_the_contestants_take_turns_at_going_first(tmp_path):
    order: list[str] = []

    def runs(name: str) -> int:
        order.append(name)
        return len(order)

    found = Bench(tmp_path).alternate(3, {name: functools.partial(runs, name) for name in "abc"})
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_tool_that_fails_is_no_measurement():
    with pytest.raises(MeasurementFailed, match="sh failed: no such luck"):
        run_tools(Tool(["sh", "-c", "echo no such luck >&2; exit 3"]))


def test_the_table_has_median_and_spread_and_escapes_bars():
    text = document.section("trees", "What.", Result([Row("`a | b` (s)", [1.0, 3.0, 1250.0], [4.0], 0.8)], ["A note."]), "make bench")
    assert "| `a \\| b` (s) | 3.00 (1.00 – 1,250) | 4.00 | 0.250 | ratio ≤ 0.8 | yes |" in text
    assert text.endswith("\n- A note.\n") and " cores, " in text and " GiB of memory" in text


def test_an_area_measured_again_replaces_its_own_section_only():
    first = document.merged("", {"trees": "## trees\n\nold\n", "report": "## report\n\nkept\n"}, bench.AREAS)
    again = document.merged(first, {"trees": "## trees\n\nnew\n", "migration": "## migration\n\nfirst\n"}, bench.AREAS)
    assert [again.index(word) for word in ("# Benchmarks", "first", "new", "kept")] == sorted(
        again.index(word) for word in ("# Benchmarks", "first", "new", "kept"))
    assert "old" not in again
    assert document.merged(again, {}, bench.AREAS) == again


def test_work_of_others_is_noticed():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            assert bench.busy_cores(0.5) > 0.2
        finally:
            other.kill()


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def root(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bench, "ROOT", tmp_path)
        monkeypatch.delenv("BENCH_MB", raising=False)
        monkeypatch.setattr(bench, "busy_cores", lambda _seconds: 1.25)

    @staticmethod
    def area(monkeypatch, name, work):
        import tests.benchmarks
        module = type("Area", (), {"measure": staticmethod(work), "__doc__": f"About {name}."})
        monkeypatch.setitem(bench.sys.modules, f"tests.benchmarks.{name}", module)
        monkeypatch.setattr(tests.benchmarks, name, module, raising=False)

    def test_a_goal_that_is_missed_is_no_failure(self, monkeypatch, tmp_path):
        self.area(monkeypatch, "trees", lambda _bench: Result([Row("slow", [9.0], [1.0], 0.8)]))
        assert bench.measure(["trees"], False) == 0
        assert [row["met"] for row in json.loads((tmp_path / "build" / "bench.json").read_text())] == [False]
        page = (tmp_path / "docs" / "benchmarks.md").read_text()
        assert "| slow |" in page and "Not a quiet machine: other work took 1.2 cores" in page

    def test_an_area_that_cannot_be_measured_fails_and_the_others_are_written(self, monkeypatch, tmp_path, capsys):
        self.area(monkeypatch, "trees", lambda _bench: 1 / 0)
        self.area(monkeypatch, "report", lambda _bench: Result([ROW]))
        (tmp_path / "build").mkdir()
        earlier = [{"area": "trees", "name": "earlier"}, {"area": "report", "name": "replaced"}, {"area": "gone", "name": "no such area"}]
        (tmp_path / "build" / "bench.json").write_text(json.dumps(earlier))
        assert bench.measure(["trees", "report"], False) == 1
        assert "trees could not be measured: ZeroDivisionError" in capsys.readouterr().out
        assert [row["name"] for row in json.loads((tmp_path / "build" / "bench.json").read_text())] == ["earlier", ROW.name]
        assert not list((tmp_path / "build" / "bench").iterdir())

    def test_an_area_whose_programs_cannot_be_had_has_no_rows_and_takes_no_figure_away(self, monkeypatch, tmp_path, capsys):
        self.area(monkeypatch, "traffic", lambda _bench: Result([ROW]))
        assert bench.measure(["traffic"], False) == 0
        written = [tmp_path / "docs" / "benchmarks.md", tmp_path / "build" / "bench.json"]
        before = [path.read_bytes() for path in written]
        monkeypatch.setattr(traffic.shutil, "which", lambda name, path: None if name == "wrk" else f"{path}/{name}")
        self.area(monkeypatch, "traffic", traffic.measure)
        assert bench.measure(["traffic"], False) == 0
        assert "traffic has no rows here" in (said := capsys.readouterr().out) and "Not installed: `wrk` (package wrk): nothing" in said
        assert [path.read_bytes() for path in written] == before

    @pytest.mark.parametrize(("areas", "wanted"), [(["report", "traffic"], [["haproxy", "nginx-light", "wrk"]]), (["report"], [])])
    def test_what_an_area_needs_of_the_system_is_installed_before_it_is_measured(self, monkeypatch, areas, wanted):
        installed, entered = [], []
        monkeypatch.setattr(bench.subprocess, "run", lambda argv, **_options: subprocess.CompletedProcess(argv, 0))
        monkeypatch.setattr(bench.os, "execv", lambda _program, argv: entered.append(argv))
        monkeypatch.setattr(system, "install", lambda needs: installed.append([need.debian for need in needs]))
        monkeypatch.setattr(bench.sys, "path", list(bench.sys.path))
        monkeypatch.setattr(bench.sys, "argv", ["bench.py", *(f"--area={area}" for area in areas)])
        bench.main()
        assert (installed, len(entered)) == (wanted, 1)

    def test_a_quick_run_leaves_the_figures_alone(self, monkeypatch, tmp_path):
        self.area(monkeypatch, "trees", lambda found: Result([Row("quick", [float(found.rounds(7))])]))
        assert bench.measure(["trees"], True) == 0
        assert not (tmp_path / "docs").exists() and not (tmp_path / "build" / "bench.json").exists()
        assert [row["ours"] for row in json.loads((tmp_path / "build" / "bench-quick" / "bench.json").read_text())] == [1.0]
