# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verbs of stack roles run as the transaction runs them, without journal or lock, on one machine that is every site."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import sys
import urllib.request
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import process
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts

from tests.support.playbook import Outcome, Playbook

PLAYBOOK = pathlib.Path(__file__).parents[1] / "integration" / "app" / "site" / "verbs.yml"
CANARY = "canary-5f1e"


class Verbs:
    """Hosts ``mover``, ``old`` and ``new`` are this machine; what verbs hand over is checked and kept, of each the last in ``seen``."""

    patience = 280  # seconds for one run

    def __init__(self, root: pathlib.Path, port: int) -> None:
        self.root, self.port = root, port
        self.playbook = Playbook(root / "ansible")
        self.seen: dict[tuple[str, str], dict] = {}
        self.rows: list[dict] = []

    def inventory(self) -> dict:
        """Both application groups hold the old and the new host."""
        def hosts(*names: str) -> dict:
            return {"hosts": {name: {} for name in names}}
        return {"all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "children": {
                "mover": {"hosts": {"mover": {"migration_site": "mover"}}},
                "source": {"hosts": {"old": {"migration_site": "source"}}}, "target": {"hosts": {"new": {"migration_site": "target"}}},
                "backend": hosts("old", "new"), "frontend": hosts("old", "new"), "traffic": {"hosts": {}},
            },
        }}

    def variables(self, release: str) -> dict[str, Any]:
        """What every run of ``release`` is given."""
        raise NotImplementedError

    def run(self, steps: list[str], release: str = "one", then=(), arguments=(), **variables) -> Outcome:
        """Run ``steps``, after a failure ``then``; no secret may be in the output or in what was handed over."""
        given = {**self.variables(release), "steps": steps, "then": list(then), **variables}
        outcome = self.playbook.run(PLAYBOOK, self.inventory(), given, arguments, timeout=self.patience)
        for found in re.findall(r"@([A-Za-z0-9+/=]{20,})@", outcome.output):
            row = json.loads(base64.b64decode(found))
            assert CANARY not in json.dumps(row)
            stack, verb = row["step"].split()[:2]
            check_facts(stack, verb, row["facts"])
            self.rows.append(row)
            self.seen[row["step"], row["host"]] = row
        assert CANARY not in outcome.output
        return outcome

    def handed_over(self, step: str, host: str) -> dict:
        """What ``step`` handed over on ``host`` when it last ran there."""
        return self.seen[step, host]

    def health(self) -> dict:
        """What the application itself says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
            return json.load(answer)

    def stop(self, application: str) -> None:
        """End the process of the application below ``new/<application>`` when there is one."""
        record = process.read_record(str(self.root / "new" / application / "shared" / "run" / "backend.json"))
        if record is not None:
            process.stop_processes(record, 5)
