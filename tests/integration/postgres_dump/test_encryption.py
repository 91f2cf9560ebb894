# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An encrypted backup: each recipient restores it, nobody else reads a row of it, not even while it is made."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import time

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._age import Seal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import read_manifest, sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump import find_reusable
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import DumpRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.proved_backup import keep_proof, known_of

from tests.integration.postgres_dump.conftest import Module

CANARY = b"canary-row-of-somebody"
SECRET = b"canary-setting"


@pytest.fixture(scope="session")
def encrypt(identities, tmp_path_factory):
    """The option for two people, the second named in a file."""
    listed = tmp_path_factory.mktemp("recipients") / "operators.txt"
    listed.write_text(f"# the second operator\n{identities[1][1]}\n")
    return {"recipients": [identities[0][1]], "recipients_files": [str(listed)]}


@pytest.fixture(scope="module")
def secret(old):
    """A database with a canary in a row, in a view and in a setting, large enough that its dump takes a moment."""
    old.execute("CREATE DATABASE secret")
    old.execute(f"ALTER DATABASE secret SET app.key TO '{SECRET.decode()}'")
    old.execute(f"COMMENT ON DATABASE secret IS '{SECRET.decode()}'")
    old.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "secret")
    old.execute(f"INSERT INTO t SELECT n, '{CANARY.decode()}' || n FROM generate_series(1, 200000) n", "secret")
    old.execute(f"CREATE VIEW v AS SELECT '{CANARY.decode()}' AS c", "secret")
    yield old
    old.execute("DROP DATABASE secret WITH (FORCE)")


def below(directory: pathlib.Path, source, tools: str) -> dict:
    """Options of a dump that keeps everything below ``directory``."""
    return {
        "source": source.endpoint,
        "databases": ["secret"],
        "dest": str(directory / "b"),
        "bin_dir": tools,
        "digests": True,
        "compression": "none",
        "progress_file": str(directory / "progress.json"),
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Directory of backups, logs and temporary files, all of which is searched."""
    (tmp_path / "place" / "tmp").mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "place" / "tmp"))
    return tmp_path / "place"


@pytest.fixture
def options(secret, tools, place):
    return below(place, secret, tools)


@pytest.fixture(scope="module")
def sealed(secret, tools, encrypt, tmp_path_factory):
    """An encrypted backup, made once."""
    directory = tmp_path_factory.mktemp("sealed")
    result = Module(directory).run("pg_dumpall", encrypt=encrypt, **below(directory, secret, tools))
    assert result.get("changed"), result
    assert clear_files(directory) == []
    return pathlib.Path(result["path"])


@pytest.fixture
def copy(sealed, place):
    """A copy of it that a test may damage."""
    return pathlib.Path(shutil.copytree(sealed, place / "copy"))


@pytest.fixture
def restoring(new, tools, place):
    return {"target": new.endpoint, "created_file": str(place / "created.json"), "bin_dir": tools}


def clear_files(place: pathlib.Path) -> list[str]:
    """Files in which a canary can be read."""
    found = []
    for path in place.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        found += [str(path.relative_to(place))] if CANARY in data or SECRET in data else []
    return found


def test_a_backup_that_is_not_encrypted_shows_what_the_search_finds(module, options, place):
    assert module.run("pg_dumpall", **options)["changed"]
    assert len(clear_files(place)) >= 3  # else the other tests would prove nothing


@pytest.mark.parametrize("number", [0, 1])
def test_each_recipient_restores_and_proves_it(module, sealed, identities, new, place, restoring, number):
    identity, before = identities[number][0], new.names()
    result = module.run("pg_restore_cluster", backup=str(sealed), identity=identity, **restoring)
    try:
        assert result.get("changed"), result
        assert new.execute("SELECT count(*), min(v) FROM t", "secret") == [(200000, CANARY.decode() + "1")]
        assert new.execute("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'secret'") == [(SECRET.decode(),)]
        differences = str(place / "differences.json")
        proof = module.run(
            "pg_verify", manifest=str(sealed), identity=identity, target=new.endpoint, databases=["secret"], differences_file=differences
        )
        assert proof.get("equal") and proof["not_proved"] == [], proof
    finally:
        module.run("pg_restore_cluster", state="absent", **restoring)
    assert new.names() == before and clear_files(place) == []


def test_what_is_proved_of_its_source_later_is_kept_beside_it_for_the_same_people(copy, identities, place):
    made = read_manifest(str(copy))
    made.update(digests={}, digest_algorithm=None)
    (copy / "manifest.json").write_text(json.dumps(made))
    kept = {"secret": {"own": "pg_default", "used": {}, "objects": {"view": {"public.v": {"definition": CANARY.decode()}}}}}
    for rows in (1, 2):  # a run that is resumed proves it again
        (copy / ".proof.json.age").write_text("of a run that was killed")
        keep_proof(str(copy), {"secret": {"public.t": {"rows": rows}}}, kept)
    for identity, _recipient in identities[:2]:
        assert known_of(str(copy), made, identity) == (ALGORITHM, {"secret": {"public.t": {"rows": 2}}}, kept)
    with pytest.raises(MigrationError, match="cannot be decrypted"):
        known_of(str(copy), made, identities[2][0])
    assert clear_files(place) == [] and (copy / "proof.json.age").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("server", ["throwaway", "scratch"])
def test_a_drill_opens_it_with_the_lent_identity_and_leaves_nothing_in_clear(module, copy, identities, new, tools, place, server):
    drill = {"backup": str(copy), "target": new.endpoint, "work_dir": str(place / "drill"), "server": server, "bin_dir": tools}
    before = new.names()
    refused = module.run("pg_restore_drill", **drill)
    assert refused["failed"] and "is encrypted: lend the identity" in refused["msg"], refused
    passed = module.run("pg_restore_drill", identity=identities[1][0], **drill)
    assert passed.get("server") == server and passed["rows"] == 200000, passed
    assert json.loads((copy / "manifest.json").read_text())["restorable_on"] == [18]
    assert new.names() == before and clear_files(place) == []


def test_preflight_tells_at_once_that_the_identity_opens_nothing_or_is_missing(module, secret, encrypt, identities, new, tools):
    def told(**options) -> list[str]:
        looked = module.run("pg_preflight", source=secret.endpoint, target=new.endpoint, databases=["secret"], bin_dir=tools, **options)
        return [found["finding"] for found in looked["findings"] if found["subject"].startswith("postgresql_backup_")]

    assert told() == told(encrypt=encrypt, identity=identities[0][0]) == told(encrypt=encrypt, restores=False) == []
    assert told(encrypt=encrypt) == ["backups are encrypted, and to restore them here an identity is needed"]
    assert told(encrypt=encrypt, identity=identities[2][0]) == [f"{identities[2][0]} opens nothing that is encrypted for the recipients"]


def test_nobody_else_restores_it(module, sealed, identities, new, place, restoring):
    before = new.names()
    for identity, reason in ((identities[2][0], "lend the identity of one of the backup's recipients"), (None, "is encrypted")):
        refused = module.run("pg_restore_cluster", backup=str(sealed), identity=identity, **restoring)
        assert refused["failed"] and reason in refused["msg"]
    assert new.names() == before and not os.path.exists(restoring["created_file"]) and clear_files(place) == []


@pytest.fixture
def held(secret):
    """Lets a dump go on behind the rows only, where the large objects are, once it is rolled back."""
    (number,), = secret.execute("SELECT lo_from_bytea(0, 'x')", "secret")
    with contextlib.closing(secret.server.connect("secret")) as holder:
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE pg_largeobject")
        yield holder
    secret.execute(f"SELECT lo_unlink({number})", "secret")


def test_no_row_lies_in_clear_while_it_is_made_nor_after_a_kill(module, options, encrypt, place, held):
    process = module.start("pg_dumpall", encrypt=encrypt, **options)
    stage, until = None, time.monotonic() + 60
    while process.poll() is None and stage is None and time.monotonic() < until:
        stage = next((path for path in (place / "b").glob(".partial-*/databases/*.age") if path.stat().st_size > 1_000_000), None)
        assert clear_files(place) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert stage is not None, "the dump was over before it could be killed"
    time.sleep(0.5)
    assert stage.exists() and clear_files(place) == []
    held.rollback()
    again = module.run("pg_dumpall", encrypt=encrypt, **options)
    assert again["changed"] and len(again["stale_removed"]) == 1 and clear_files(place) == []


@pytest.mark.parametrize("resealed", [False, True])
def test_a_truncated_ciphertext_is_refused(module, copy, identities, new, restoring, resealed):
    victim = copy / "databases" / "1.dump.age"
    os.truncate(victim, victim.stat().st_size - 70_000)
    if resealed:  # as if the manifest had been made for it: age itself must object
        manifest = json.loads((copy / "manifest.json").read_text())
        entry = next(one for one in manifest["files"] if one["path"] == "databases/1.dump.age")
        entry.update(size=victim.stat().st_size, sha256=sha256_file(str(victim)))
        (copy / "manifest.json").write_text(json.dumps(manifest))
    before = new.names()
    refused = module.run("pg_restore_cluster", backup=str(copy), identity=identities[0][0], **restoring)
    assert refused["failed"] and ("age" in refused["msg"] if resealed else refused["damaged"] == ["databases/1.dump.age"]), refused
    assert new.names() == before and not os.path.exists(restoring["created_file"])


def test_a_restore_that_fails_keeps_no_row_in_its_log(module, old, options, encrypt, identities, new, place, restoring):
    old.execute("CREATE DATABASE faulty")
    try:
        # The setting comes after the rows, so the target refuses them, and says in its message which row.
        old.execute("ALTER DATABASE faulty SET app.key TO 'x'")
        old.execute("CREATE TABLE t (v text CHECK (current_setting('app.key', true) IS NOT NULL))", "faulty")
        old.execute(f"INSERT INTO t VALUES ('{CANARY.decode()}')", "faulty")
        made = module.run("pg_dumpall", encrypt=encrypt, **dict(options, databases=["faulty"]))
        before = new.names()
        failed = module.run("pg_restore_cluster", backup=made["path"], identity=identities[0][0], **restoring)
        assert failed["failed"] and "TABLE DATA t" in failed["msg"], failed
        assert "(withheld)" in pathlib.Path(failed["log"]).read_text()
        assert new.names() == before and clear_files(place) == []
    finally:
        old.execute("DROP DATABASE faulty WITH (FORCE)")


def test_a_disk_that_is_full_for_age_ends_the_dump_and_leaves_nothing(module, options, encrypt, place):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1]))  # what a program may write to one file; inherited
    try:
        process = module.start("pg_dumpall", encrypt=encrypt, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    failed = json.loads(process.communicate(timeout=120)[0])
    assert failed["failed"] and "age of database secret failed" in failed["msg"], failed
    assert os.listdir(place / "b") == [] and clear_files(place) == []


def test_everything_that_stands_against_encryption_is_told_before_anything_is_made(module, options, identities, place):
    secret_key = next(line for line in pathlib.Path(identities[0][0]).read_text().splitlines() if line.startswith("AGE-SECRET"))
    wrong = identities[0][1][:-1] + ("q" if identities[0][1][-1] != "q" else "p")
    refused = module.run("pg_dumpall", encrypt={"recipients": [secret_key, wrong], "recipients_files": ["/nowhere"]}, **options)
    assert refused["failed"] and len(refused["findings"]) == 3 and secret_key not in str(refused)
    nobody = module.run("pg_dumpall", encrypt={}, **options)
    assert nobody["failed"] and "no recipient" in nobody["msg"]
    plain = module.run("pg_dumpall", encrypt={"recipients": [identities[0][1]]}, format="plain", **options)
    assert plain["failed"] and "format directory" in plain["msg"]
    assert not (place / "b").exists()


def test_an_encrypted_backup_is_only_reused_for_the_same_recipients(sealed, encrypt, identities):
    server = json.loads((sealed / "manifest.json").read_text())["server"]
    for wanted, reused in ((encrypt, True), ({"recipients": [identities[0][1]], "recipients_files": []}, False), (None, False)):
        request = DumpRequest(Endpoint("h", "u"), ["secret"], "/b", seal=Seal.from_options(wanted), reuse=str(sealed))
        assert bool(find_reusable(request, {"server": server, "databases": ["secret"]})) is reused
