# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far dump and restore say they are: what is really done, ever more of it, and never all before the end."""

from __future__ import annotations

import time
from types import SimpleNamespace

from ansible_collections.dihya.migration.plugins.module_utils._postgres import meters, tools
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import indexes_in
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress


def test_where_no_server_tells_a_table_counts_when_every_worker_has_begun_another(tmp_path, monkeypatch):
    monkeypatch.setattr(Progress, "INTERVAL", 0.01)
    log = tmp_path / "log"
    log.write_text('pg_dump: dumping contents of table "public.a"\n' * 9)  # of an earlier dump
    relations = [{"schema": "public", "name": name, "bytes": size, "kind": kind}
                 for name, size, kind in (("a", 60, "r"), ('b"', 30, "r"), ("c", 10, "r"), ("seen", 50, "m"))]
    old_server = SimpleNamespace(server_version=130000)
    progress, looks = Progress(None), []
    approach = progress.approach
    monkeypatch.setattr(progress, "approach", lambda done: (approach(done), looks.append(done)))
    meter = meters.DumpMeter([meters.Dumped(meters.Log(str(log)), relations, 2, old_server)], progress)
    assert meter.total == 100
    progress.begin("dump", meter.total)
    with meter:
        for name, done in (("a", 0), ('b"', 0), ("c", 60), ("c", 90), ("c", 99)):  # never more than what the sizes said
            with log.open("a") as stream:
                stream.write(f'pg_dump: dumping contents of table "public.{name}"\n')
            seen, until = len(looks), time.monotonic() + 20
            while len(looks) < seen + 2 and time.monotonic() < until:  # one may have begun before
                time.sleep(0.01)
            assert progress.state["done"] == done


def test_a_restore_counts_what_it_and_its_workers_read_and_the_indexes_behind_them(tmp_path):
    archive, log, progress = tmp_path / "archive", str(tmp_path / "log"), Progress(None)
    archive.write_bytes(bytes(4_000_000))
    script = (f"at() {{ : > {tmp_path}/at-$1; until [ -e {tmp_path}/seen-$1 ]; do sleep 0.1; done; }};"  # goes on once it was looked at
              f" (dd if={archive} of=/dev/null bs=1000000 count=2; at half; true); cat {archive} > /dev/null; at whole;"
              " for name in a b c; do echo \"pg_restore: creating INDEX \\\"public.$name\\\"\"; at $name; done")
    meter = meters.RestoreMeter([meters.Filled(meters.Log(log), 1, 4_000_000, 1000, 300, 3)], progress)
    progress.begin("restore", meter.total)
    seen = []

    def look(running) -> None:
        stages = list(tmp_path.glob("at-*"))
        meter.look(running)
        seen.append(progress.state["done"])
        for stage in stages:
            stage.with_name(stage.name.replace("at-", "seen-")).touch()

    tools.run_all([tools.Work(["sh", "-c", script], {}, log, "x")], 1, look)
    assert seen == sorted(seen) and {1000, 1100, 1200} <= set(seen) and seen[-1] < meter.total == 1300
    assert [one for one in seen if 500 <= one < 600], seen
    assert indexes_in("1; 2 3 INDEX public i o\n2; 2 3 CONSTRAINT public t t_pkey o\n3; 4 5 FK CONSTRAINT public t t_fkey o\n") == 2
