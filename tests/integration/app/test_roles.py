# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles backend, frontend and traffic from end to end: a real Flask application moves, a bad release comes back."""

from __future__ import annotations

import pathlib
import re
import shutil
import socket
import sys

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.dihya.migration.plugins.module_utils._manifest import read_manifest

from tests.support.playbook import Outcome
from tests.support.store import Store, endpoint
from tests.support.verbs import CANARY, Verbs

SITE = pathlib.Path(__file__).parent / "site"
VENV = pathlib.Path(sys.executable).parent.parent
SECRET_KEY = "AGE-SECRET-KEY-1CANARYCANARYCANARY"
FORWARD = [f"{stack} {verb}" for verb in ("preflight", "backup", "freeze", "migrate", "verify", "commit")
           for stack in ("backend", "frontend", "traffic")]
PROBES = [f"{stack} probe {verb}" for verb in ("backup", "commit") for stack in ("backend", "frontend", "traffic")]


class World(Verbs):
    """One machine that is mover, old and new site, and a public address that is a file."""

    def __init__(self, root: pathlib.Path, port: int, store: Store) -> None:
        super().__init__(root, port)
        self.store = store
        for name in ("live", "build"):
            shutil.copytree(SITE, root / name)
        (root / "live/page/assets").mkdir()
        (root / "live/page/assets/lazy-4f2a91c0.js").write_text("the old page asks for it")
        self.public = root / "public"
        self.public.write_text("source\n")
        self.vault = root / "vault.yml"
        self.vault.write_bytes(VaultLib([("default", VaultSecret(b"of the vault"))]).encrypt(f"vault_secret: {CANARY}"))
        (root / "vault-password").touch(mode=0o600)
        (root / "vault-password").write_text("of the vault")

    def run(self, steps: list[str], release: str = "one", then=(), arguments=(), **variables) -> Outcome:
        """Run ``steps`` with the application's secret from Ansible's vault."""
        vault = [f"--extra-vars=@{self.vault}", f"--vault-password-file={self.root / 'vault-password'}"]
        return super().run(steps, release, then, [*vault, *arguments], **variables)

    def variables(self, release: str) -> dict:
        build, public = self.root / "build", self.public
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run",
            "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
            "migration_backup_copies": [{"path": str(self.root / "second")}, *self.store.options()],
            "backend_source_path": str(self.root / "live" / "api"), "backend_release_path": str(build / "api"),
            "backend_release_name": release, "backend_path": str(self.root / "new" / "api"), "backend_venv": str(VENV),
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db", "SECRET": "{{ vault_secret }}"},
            "backend_command": ["gunicorn", "--bind", f"127.0.0.1:{self.port}", "app:app"], "backend_port": self.port,
            "backend_health_timeout": 20,
            "frontend_source_path": str(self.root / "live" / "page"), "frontend_release_path": str(build / "page"),
            "frontend_release_name": release, "frontend_path": str(self.root / "new" / "page"), "frontend_keep_assets": ["assets"],
            "frontend_test_command": [str(VENV / "bin" / "node"), "--test", "page.test.js"], "frontend_test_chdir": str(build),
            "traffic_status": ["cat", str(public)], "traffic_switch": f"echo target > '{public}'",
            "traffic_restore": ["sh", "-c", f"echo source > '{public}'"],
            "traffic_probes": [{"url": f"http://127.0.0.1:{self.port}/health", "contains": "visits"}],
        }

    def current(self, stack: str) -> str | None:
        link = self.root / "new" / stack / "current"
        return link.resolve().name if link.is_symlink() else None


def failed_at(outcome: Outcome, task: str) -> bool:
    """Whether a host failed at ``task``, the name of its role before it."""
    return "FAILED!" in outcome.output.partition(f"TASK [dihya.migration.{task}]")[2].partition("TASK [")[0]


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """The application after a whole migration of release ``one``."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    home = tmp_path_factory.mktemp("roles")
    with endpoint(tmp_path_factory.mktemp("s3")) as store, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", store.path())
        world = World(home, port, store.another(home))
        world.first = world.run(FORWARD)
        yield world
        world.stop("api")


def test_everything_is_moved_and_proved(moved):
    assert moved.first.rc == 0, moved.first.output[-4000:]
    assert moved.health() == {"release": "one", "visits": 0} and moved.current("api") == moved.current("page") == "one"
    assert moved.public.read_text() == "target\n"
    preflight = moved.handed_over("traffic preflight", "mover")
    assert preflight["findings"] == [] and {row["stack"] for row in preflight["plan"]} == {"backend", "frontend", "traffic"}
    migrated = moved.handed_over("backend migrate", "new")["facts"]
    assert migrated["versions"]["schema_before"] == "none" and migrated["versions"]["schema_after"] == "a1"
    staged = moved.handed_over("backend backup", "new")["facts"]
    assert {row["kind"] for row in staged["created"] + migrated["created"]} >= {"release", "process"}
    verified = moved.handed_over("backend verify", "new")["facts"]["tests"]
    assert all(test["verdict"] == "passed" for test in verified) and len(verified) == 3
    committed = moved.handed_over("backend commit", "new")["facts"]
    assert "starts again with the machine" in committed["not_proved"][0]
    assert (moved.root / "new/page/current/assets/lazy-4f2a91c0.js").read_text() == "the old page asks for it"
    page = moved.handed_over("frontend verify", "mover")["facts"]
    assert page["tests"][0]["passed"] == 1
    unmeasured = [text.partition(" ")[0] for text in page["not_proved"]]
    assert unmeasured[-3:] == ["frontend_e2e_command", "frontend_pages", "frontend_lighthouse_pages"]
    assert "frontend_pages is not set: accessibility" in moved.first.output  # what is not measured is said on the screen too
    for stack in ("backend", "frontend"):
        for place in ("backup", "second"):
            copies = list((moved.root / place / "shop").glob(f"{stack}_*"))
            assert len(copies) == 1 and read_manifest(str(copies[0]), "tree")["files"]
        assert len(list((moved.store.bucket / "shop").glob(f"{stack}_*/manifest.json"))) == 1


def test_secrets_stand_in_the_environment_file_alone(moved):
    found = [path for path in moved.root.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert [path.name for path in found] == [".env"] and found[0].stat().st_mode & 0o777 == 0o600


def test_run_again_changes_nothing_and_every_result_still_holds(moved):
    again = moved.run([step for step in FORWARD if step.split()[1] in ("backup", "migrate", "commit")] + PROBES)
    assert again.rc == 0, again.output[-4000:]
    assert {counts["changed"] for counts in again.recap().values()} == {0}, again.output[-6000:]


def test_a_failing_release_is_rolled_back_to_what_ran_before(moved):
    bad = moved.root / "build" / "api" / "tests" / "test_bad.py"
    application = moved.root / "build" / "api" / "app.py"
    before = application.read_text()
    bad.write_text("def test_bad(): assert False\n")
    # It lost a service: it answers its health, and its log alone tells.
    answers = "    return jsonify("
    application.write_text(before.replace('"one"', '"two"').replace(answers, f'    app.logger.error("no mail server")\n{answers}'))
    try:
        undo = ["traffic rollback", "frontend rollback", "backend rollback"]
        failed = moved.run(["backend backup", "backend migrate", "frontend migrate", "backend verify"], "two", undo, backend_environment={
            "DATABASE_URL": f"sqlite:///{moved.root}/app.db", "SECRET": "other"})
    finally:
        bad.unlink()
        application.write_text(before)
    assert failed.rc == 2 and "ended by Run its tests and search its log" in failed.output, failed.output[-4000:]
    assert "1 tests failed" in failed.output and re.search(r"two\.log: \d+ lines speak of errors", failed.output)
    assert moved.health()["release"] == "one" and moved.current("api") == moved.current("page") == "one"
    assert CANARY in (moved.root / "new" / "api" / "shared" / ".env").read_text()
    assert [path.name for path in (moved.root / "new" / "api" / "releases").iterdir()] == ["one"]
    assert moved.public.read_text() == "source\n"
    back = moved.handed_over("backend rollback", "new")["facts"]
    assert back["changed"] is True and back["summary"].endswith("; what ran before runs again")
    undone = moved.run(["traffic rollback", "backend rollback"], "two")
    assert undone.rc == 0 and {counts["changed"] for counts in undone.recap().values()} == {0}, undone.output[-4000:]
    assert moved.health()["release"] == "one"


def test_what_comes_late_is_found_an_error_in_the_log_and_another_release_on_the_mover(moved):
    log, page = (moved.root / "new/api/shared/log/one.log", moved.root / "build/api/README")
    before = log.read_bytes()
    log.write_bytes(before + b"ERROR no mail server\n")
    page.write_text("it changed since it was staged")
    late = moved.run(["backend commit"], then=["backend preflight", "backend probe backup"])
    log.write_bytes(before)
    page.unlink()
    assert late.rc == 2 and failed_at(late, "backend : Search its log once more")
    found = {row["subject"]: row["finding"] for row in moved.handed_over("backend preflight", "new")["findings"]}
    assert "backend_release_path holds another tree" in found["backend_release_name"]
    assert failed_at(late, "backend : Prove that the release is still staged")


def test_drift_is_an_error(moved):
    (moved.root / "new" / "page" / "current").unlink()
    copy = next((moved.root / "backup" / "shop").glob("backend_*")) / "tree" / "app.py"
    copy.write_text("damaged")
    drifted = moved.run(["frontend probe migrate"], then=["backend probe backup"])
    assert failed_at(drifted, "frontend : Prove that the release is still current")
    assert failed_at(drifted, "backend : Prove that the copies are intact")
    assert drifted.rc == 2 and moved.current("page") is None and copy.read_text() == "damaged"  # nothing is repaired


def test_preflight_shows_every_finding_at_once_and_writes_nothing(moved):
    (moved.root / "empty").mkdir()
    live = moved.root / "live.env"
    live.write_text(f"SECRET={CANARY}\nMAIL=canary-of-the-mail\nDATABASE_URL=other\n")
    before = sorted(path for path in moved.root.rglob("*") if "ansible" not in path.parts)
    looked = moved.run(["backend preflight", "frontend preflight", "traffic preflight"], "../two", arguments=["--check"], **{
        "backend_path": "/etc", "backend_command": [], "backend_source_path": "/no/such/tree",
        "backend_release_path": str(moved.root / "empty"), "backend_port": 70000, "frontend_release_path": str(moved.root / "build"),
        "traffic_switch": [], "traffic_probes": [], "backend_source_env_file": str(live), "backend_environment_changes": ["MAIL"],
        "backend_backup_recipients": [SECRET_KEY], "migration_backup_dir": str(live),
    })
    assert looked.rc == 0, looked.output[-4000:]
    found = {row["subject"]: row for (step, _host), seen in moved.seen.items() if "preflight" in step for row in seen["findings"]}
    assert set(found) >= {
        "backend_path", "backend_command", "backend_source_path", "backend_release_path", "backend_port",
        "backend_release_name", "backend_environment", "frontend_release_path", "frontend_release_name", "traffic_switch", "traffic_probes",
        "backend_backup_recipients",
    }
    for number, stack in enumerate(("backend", "frontend"), 1):  # what one found stays when the next one looks
        said = moved.handed_over(f"{stack} preflight", "mover")["findings"]
        assert [row["finding"] for row in said if row["subject"] == "migration_backup_dir"] == [f"{live} is no directory"] * number
    assert found["backend_backup_recipients"]["finding"] == "recipient 1 is a secret key" and SECRET_KEY not in looked.output
    assert "is no build: index.html is missing" in found["frontend_release_path"]["finding"]
    assert all(row["remedy"] and row["blocking"] for row in found.values())
    # Names and verdicts of the live environment, no value; the secret that both have is none of them.
    assert found["backend_environment"]["finding"] == "DATABASE_URL differ from the live environment file"
    assert "canary-of-the-mail" not in looked.output
    assert before == sorted(path for path in moved.root.rglob("*") if "ansible" not in path.parts)
