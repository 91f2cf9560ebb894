# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tree of 10,000 files, 140 MB, in 500 directories. `build_copy` makes a manifest and reads the copy again from the disk, `cp -a && sync`
does neither. Modules run in processes of their own; what an Ansible task adds is in the row of the re-run alone."""

from __future__ import annotations

import functools
import os
import pathlib
import random
import shutil
import sys
from typing import Any

from tests.benchmarks.measure import Bench, MeasurementFailed, Ran, Result, Row, Tool, run_module, run_tools, timed
from tests.support.playbook import Playbook

ROUNDS = 5
SAMPLE = 10
"""Files that ansible.builtin.copy has to copy: it takes as long for each of them as build_copy for many."""


def measure(bench: Bench) -> Result:
    """All rows of the area."""
    files, size = (200, 2_800_000) if bench.quick else (10_000, 140_000_000)
    source = make_tree(bench.directory / "source", files, size)
    what = f"{files:,} files, {size / 1e6:.0f} MB"
    copies: dict[str, list[Any]] = bench.alternate(bench.rounds(ROUNDS), {
        "build_copy": lambda: copy_ours(bench, source), "cp -a": lambda: copy_peer(bench, source)})
    ours = [ran.seconds for ran in copies["build_copy"]]
    rows = [
        Row(f"`build_copy` against `cp -a && sync`: {what} (s)", ours, copies["cp -a"], 2.0),
        *against_tools(bench, source, what),
        against_copy(bench, files, ours),
        rerun(bench, source, what),
        *switches(bench, source, what),
    ]
    quickest = min(ran.result["duration"] for ran in copies["build_copy"])
    memory = max(ran.peak_mb for ran in copies["build_copy"])
    return Result(rows, [f"Peak memory of the `build_copy` process: {memory:.0f} MB.",
                         f"`build_copy` by its own clock, without starting Python, at best: {quickest:.2f} s."])


def make_tree(root: pathlib.Path, files: int, size: int) -> pathlib.Path:
    """``files`` files of random bytes, many small and few large, ``size`` bytes in all, always the same."""
    chance = random.Random(14)
    weights = [chance.paretovariate(1.2) for _ in range(files)]
    total = sum(weights)
    for number, weight in enumerate(weights):
        path = root / f"part{number % 50:02}" / f"section{number // 50 % 10}" / f"file{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(max(1, int(size * weight / total))))
    os.sync()
    return root


def against_tools(bench: Bench, source: pathlib.Path, what: str) -> list[Row]:
    """Other ways to copy a tree, each ended with a sync; none of them reads the copy again. rsync is what `synchronize` runs."""
    target = bench.directory / "peer"
    peers = {"rsync -a && sync": ["rsync", "-a", f"{source}/", str(target)],
             "tar | tar && sync": ["sh", "-c", 'mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xpf -', "sh", str(source), str(target)]}
    if shutil.which("rsync") is None:
        peers.pop("rsync -a && sync")

    def run(argv: list[str]) -> float:
        seconds = run_tools(Tool(argv), Tool(["sync"]))
        shutil.rmtree(target)
        os.sync()
        return seconds
    found: dict[str, list[Any]] = bench.alternate(bench.rounds(ROUNDS), {
        "build_copy": lambda: copy_ours(bench, source).seconds, **{name: functools.partial(run, argv) for name, argv in peers.items()}})
    goals = {"rsync -a && sync": 1.0}
    return [Row(f"`build_copy` against `{name}`: {what} (s)", found["build_copy"], found[name], goals.get(name))
            for name in peers]


def copy_ours(bench: Bench, source: pathlib.Path) -> Ran:
    """One backup copy; removed again."""
    ran = run_module("build_copy", bench.directory, src=str(source), dest=str(bench.directory / "ours"), name="tree", reuse=False)
    shutil.rmtree(ran.result["path"])
    os.sync()
    return ran


def copy_peer(bench: Bench, source: pathlib.Path) -> float:
    """Seconds of ``cp -a && sync``; the copy is removed again."""
    target = bench.directory / "peer"
    seconds = run_tools(Tool(["cp", "-a", str(source), str(target)]), Tool(["sync"]))
    shutil.rmtree(target)
    os.sync()
    return seconds


def against_copy(bench: Bench, files: int, ours: list[float]) -> Row:
    """Milliseconds a file: ours over the whole tree, ansible.builtin.copy over a sample of it."""
    number = 2 if bench.quick else SAMPLE
    sample = make_tree(bench.directory / "sample", number, number * 14_000)
    arguments = {"src": f"{sample}/", "dest": str(bench.directory / "copied"), "mode": "preserve"}
    each = []
    for _ in ours[:bench.rounds()]:
        bench.say(f"ansible.builtin.copy of {number} files")
        each.append(max(0.0, task(bench, "ansible.builtin.copy", arguments) - task(bench, "ansible.builtin.ping", {})) * 1000 / number)
        shutil.rmtree(bench.directory / "copied")
    return Row(f"`build_copy` against `ansible.builtin.copy`, the latter over {number} files (ms a file)",
               [seconds * 1000 / files for seconds in ours[:len(each)]], each, 0.01)


def rerun(bench: Bench, source: pathlib.Path, what: str) -> Row:
    """A play whose one task finds the copy unchanged, beside a play whose one task is empty."""
    arguments = {"src": str(source), "dest": str(bench.directory / "again"), "name": "tree", "reuse_by": "change_time"}
    task(bench, "dihya.migration.build_copy", arguments)
    found = bench.alternate(bench.rounds(ROUNDS), {
        "unchanged re-run": lambda: task(bench, "dihya.migration.build_copy", arguments),
        "empty task": lambda: task(bench, "ansible.builtin.ping", {})})
    if len(list((bench.directory / "again").glob("tree_*"))) != 1:
        raise MeasurementFailed("the re-run of build_copy made another copy")
    return Row(f"play of one unchanged `build_copy` by `change_time` against one of `ping`: {what} (s)", found["unchanged re-run"],
               found["empty task"], 0.5, "difference")


def task(bench: Bench, action: str, arguments: dict[str, Any]) -> float:
    """Seconds of a play of one task on this machine."""
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"name": "Measure", action: arguments}]}]
    book = bench.directory / "play.yml"
    book.write_text(repr(play), encoding="utf-8")  # YAML reads what Python prints of these types
    hosts = {"all": {"hosts": {"here": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}}
    controller = Playbook(bench.directory / "controller")

    def run() -> None:
        done = controller.run(book, hosts)
        if done.rc:
            raise MeasurementFailed(f"{action} failed: {done.output[-600:]}")

    return timed(run)


def switches(bench: Bench, source: pathlib.Path, what: str) -> list[Row]:
    """Activate and roll back by the module's own clock, until the link is on the disk; a release of one file is the peer."""
    small = bench.directory / "one"
    small.mkdir()
    (small / "file").write_text("one", encoding="utf-8")
    whole, little = site(bench, "whole", source), site(bench, "little", small)
    found = bench.alternate(bench.rounds(), {"the tree": lambda: switch(bench, whole, source),
                                                   "one file": lambda: switch(bench, little, small)})
    names = {"activate": f"`release` activated: {what} against one file (ms in the module)",
             "back": "the same, rolled back (ms in the module)"}
    return [Row(name, [each[step] for each in found["the tree"]], [each[step] for each in found["one file"]], 20, "ours")
            for step, name in names.items()]


def site(bench: Bench, name: str, source: pathlib.Path) -> pathlib.Path:
    """An application with a current release."""
    path = bench.directory / name
    release(bench, path, "1", "present", source)
    release(bench, path, "1", "activated")
    return path


def switch(bench: Bench, path: pathlib.Path, source: pathlib.Path) -> dict[str, float]:
    """Milliseconds of one switch and of its undoing; staging before and removal afterwards are not in them."""
    release(bench, path, "2", "present", source)
    return {"activate": release(bench, path, "2", "activated"), "back": release(bench, path, "2", "rolled_back")}


def release(bench: Bench, path: pathlib.Path, name: str, state: str, source: pathlib.Path | None = None) -> float:
    """Run the module ``release``; milliseconds of the switch itself."""
    options = {"src": str(source)} if source else {}
    result = run_module("release", bench.directory, path=str(path), name=name, state=state, **options).result
    return result.get("switch_duration", 0) * 1000
