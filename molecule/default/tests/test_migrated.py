# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After the migration: the new site serves the data, the old one takes no writes, and no key or password of the run is left."""

from __future__ import annotations

import json
import os

from tests.support.canaries import find_secrets
from tests.support.machines import WORK, machine

AUTHORITY = "/opt/site/tls/ca.pem"
COUNTS = "SELECT (SELECT count(*) FROM catalogue.book), (SELECT count(*) FROM catalogue.author), (SELECT count(*) FROM lending.loan)"

PLACES = "/var/lib/dihya-migration /root/.ansible /root/.ansible_async"
KINDS = "-path '*/run/*' -o -name 'id_*' -o -name 'j[0-9]*' -o -name '*.pgpass'"


def query(name, sql, database="dihya_demo"):
    return machine(name).check_output(f"runuser -u postgres -- psql -XAtq -h /srv/postgresql -d {database} -c \"{sql}\"")


def test_the_public_address_serves_the_new_release_over_verified_tls():
    answer = machine("mover").check_output(f"curl -sf --cacert {AUTHORITY} https://mover/api/health")
    assert json.loads(answer) == {"status": "ok", "version": "2.0.0", "database_major": 18, "schema": "0004"}
    headers = machine("mover").check_output(f"curl -sfI --cacert {AUTHORITY} https://mover/")
    assert "X-Public-Side: new" in headers


def test_a_write_at_the_public_address_lands_on_the_new_site_alone():
    before = {name: int(query(name, "SELECT count(*) FROM lending.loan")) for name in ("old", "new")}
    book, member = query("new", "SELECT (SELECT min(id) FROM catalogue.book), (SELECT min(id) FROM lending.member)").split("|")
    body = json.dumps({"book_id": int(book), "member_id": int(member)})
    status = machine("mover").check_output(
        f"curl -s -o /dev/null -w '%{{http_code}}' --cacert {AUTHORITY} -H 'Content-Type: application/json'"
        f" -H \"Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)\" -d '{body}' https://mover/api/loans")
    after = {name: int(query(name, "SELECT count(*) FROM lending.loan")) for name in ("old", "new")}
    assert status == "201"
    assert after == {"old": before["old"], "new": before["new"] + 1}


def test_old_and_new_hold_the_same_books_and_authors():
    old, new = (query(name, COUNTS).split("|")[:2] for name in ("old", "new"))
    assert old == new and int(old[0]) > 1000


def test_words_have_the_order_of_their_collation_by_the_icu_of_the_new_server():
    versions = {name: query(name, "SELECT collversion, pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'readers'")
                for name in ("old", "new")}
    recorded, actual = versions["new"].split("|")
    assert recorded == actual and versions["old"].split("|")[0] != recorded  # it moved to another ICU, and no stale version with it
    ordered = "SET enable_seqscan = off; SELECT string_agg(word, ' ') FROM (SELECT word FROM words.title ORDER BY word) w"
    assert {query(name, ordered) for name in ("old", "new")} == {"cote Côte coté côté école Zoé بيت كتاب ⴰⴷⵍⵉⵙ ⵜⴰⵎⵓⵔⵜ"}
    assert query("new", "SET enable_seqscan = off; SELECT word FROM words.title WHERE word = 'CÔTÉ'") == "côté"
    assert query("new", "BEGIN; CREATE EXTENSION amcheck; SELECT bt_index_check('words.by_word', true); ROLLBACK") == ""
    doubled = "runuser -u postgres -- psql -XAtq -h /srv/postgresql -d dihya_demo -c \"INSERT INTO words.title VALUES ('COTE')\""
    assert "by_word" in machine("new").run(doubled).stderr


def test_uploaded_files_are_on_the_new_site():
    old, new = (machine(name).check_output(f"cd {path} && find . -type f -exec sha256sum {{}} +")
                for name, path in (("old", "/srv/demo/uploads"), ("new", "/srv/demo/backend/shared/uploads")))
    assert old == new and "./2026/cover.jpg" in old


def test_every_step_is_in_the_journal_and_the_migration_is_complete():
    lines = machine("mover").check_output("cat /var/lib/dihya-migration/journal/molecule-default/journal.jsonl").splitlines()
    events = [json.loads(line) for line in lines]
    done = {(event["stack"], event["verb"]) for event in events if event["status"] in ("ok", "not_applicable")}
    verbs = ("preflight", "backup", "freeze", "migrate", "verify", "commit")
    assert {(stack, verb) for stack in ("postgresql", "backend", "frontend", "traffic") for verb in verbs} <= done
    assert [event["facts"]["outcome"] for event in events if event["verb"] == "end"] == ["ok"]


def test_every_backup_of_the_databases_is_encrypted_and_was_restored_for_trial():
    command = "find /var/backups/dihya-migration/molecule-default -path '*/postgresql*' -name manifest.json"
    found = {path: json.loads(machine("mover").check_output(f"cat {path}")) for path in machine("mover").check_output(command).splitlines()}
    assert any(manifest["restorable_on"] == [18] for manifest in found.values())
    for path, manifest in found.items():
        archives = [entry["path"] for entry in manifest["files"]]
        assert manifest["encryption"]["recipients"] and archives and all(name.endswith(".age") for name in archives), path
        for name in archives:
            assert machine("mover").check_output(f"head -c 21 {os.path.dirname(path)}/{name}") == "age-encryption.org/v1", name


def test_secrets_of_the_old_release_are_encrypted_in_its_copy():
    places = "/var/backups/dihya-migration /var/lib/dihya-migration"
    assert machine("mover").run(f"grep -r canary-of-the-old-release {places}").rc == 1
    copied = machine("mover").check_output("find /var/backups/dihya-migration -path '*/backend_*/tree/.env*'").splitlines()
    assert copied and all(path.endswith("/.env.age") for path in copied)
    opened = machine("mover").check_output(f"age --decrypt --identity /root/operator.age {copied[0]}")
    assert opened == "SMTP_PASSWORD=canary-of-the-old-release"
    assert machine("old").run("grep -q canary-of-the-old-release /srv/demo/backend/current/.env").rc == 0


def test_no_key_or_file_of_the_run_is_left():
    for name in ("mover", "old", "new"):
        assert machine(name).check_output("grep -c . /root/.ssh/authorized_keys") == "1", name
        left = machine(name).check_output(f"find {PLACES} \\( {KINDS} \\) 2>/dev/null || true")
        assert left == "", name


def test_no_password_is_in_journal_report_or_scratch(tmp_path):
    secrets = json.loads((WORK / "artefacts" / "secrets.json").read_text(encoding="utf-8"))
    for name in ("mover", "old", "new"):
        packed = machine(name).run("tar -C / --ignore-failed-read -czf - var/lib/dihya-migration root/.ansible 2>/dev/null | base64 -w 0")
        (tmp_path / f"{name}.b64").write_text(packed.stdout, encoding="ascii")
    assert find_secrets([tmp_path, WORK / "reports"], secrets) == []


def test_the_report_still_tells_of_the_migration_after_a_second_run_that_found_it_complete():
    report = json.loads((WORK / "reports" / "molecule-default" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "OK" and report["committed"]
    assert "migrate" in {step["verb"] for step in report["steps"]}


def test_one_database_moves_with_the_smallest_inventory_by_its_defaults():
    rows = "SELECT count(*), min(name), max(id), current_setting('server_version_num')::int / 10000 FROM client"
    assert (query("old", rows, "crm"), query("new", rows, "crm")) == ("1000|ⵉⵙⵎ 1|1000|15", "1000|ⵉⵙⵎ 1|1000|18")
    # The application was stopped where the inventory says, and stays so.
    assert {name: machine(name).run("test -e /run/crm.stopped").rc for name in ("mover", "old", "new")} == {"mover": 1, "old": 0, "new": 1}
    report = json.loads((WORK / "crm" / "reports" / "crm-2026-11-28" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "OK" and report["committed"]
    # The backup was restored for trial, although nobody said where the server's programs are, and lies where backups lie by default.
    assert {row["verdict"] for row in report["checklist"] if row["item"] == "rollback_plan"} == {"proved"}
    assert machine("mover").check_output("ls /var/backups/dihya-migration") == "crm-2026-11-28\nmolecule-default"
