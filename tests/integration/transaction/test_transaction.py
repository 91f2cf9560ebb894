# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The promises of the transaction, independent of what the stacks do."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time

import pytest

from tests.support.playbook import kill_with_forks

VERBS = ["preflight", "backup", "freeze", "migrate", "verify", "commit"]


def last_words(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines below the recap."""
    return done.stdout.replace("\u00a0", " ").partition("PLAY RECAP")[2].partition("\n\n")[2].strip().splitlines()


def message(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the last failed task's message."""
    before = done.stdout.replace("\u00a0", " ").partition("PLAY RECAP")[0]
    return [line.strip() for line in before.rpartition("msg: |-")[2].strip().splitlines()]


def test_all_stacks_finish_a_phase_before_the_next_begins_and_a_second_run_changes_nothing(migration):
    me = f"uid={os.getuid()}({pwd.getpwuid(os.getuid()).pw_name})"
    expected = f"commands run as {me} on mover, old, new1, new2"
    if os.getuid() == 0:  # who may become another is seen to become it; nobody may read our Python, nor write the trace behind it
        tries = "migration_answers is not defined"
        migration.inventory["all"]["children"]["source"]["hosts"]["old"] = {
            "ansible_become": f"{{{{ {tries} }}}}", "ansible_become_user": "nobody", "ansible_become_method": "su",
            "ansible_become_flags": "-s /bin/sh", "ansible_pipelining": True,
            "ansible_python_interpreter": f"{{{{ '/usr/bin/python3' if {tries} else '{sys.executable}' }}}}"}
        expected = f"commands run as {me} on mover, new1, new2; commands run as uid=65534(nobody) on old"
    done = migration.run("migrate")
    assert done.returncode == 0, done.stdout[-2000:]
    assert migration.trace("mover") == [f"{stack} {verb}" for verb in VERBS for stack in ("alpha", "beta")]
    assert migration.trace("new2") == [f"beta {verb}" for verb in VERBS]
    assert migration.outcome() == "ok"
    before = migration.events()
    weighed = next(event["facts"]["checklist"] for event in before if event["verb"] == "checklist")
    (access,) = [(one["verdict"], one["observed"]) for one in weighed if one["item"] == "access"]
    assert access == ("proved", expected)
    again = migration.run("migrate")
    assert again.returncode == 0, again.stdout[-2000:]
    assert migration.events() == before
    assert migration.trace("mover")[len(VERBS) * 2:] == ["alpha probe", "beta probe"]


def test_a_failure_on_one_host_of_two_is_undone_everywhere_in_reverse_order(migration):
    done = migration.run("migrate", fail_at=["beta.migrate.new2"])
    assert done.returncode != 0
    assert migration.trace("mover")[-2:] == ["beta rollback", "alpha rollback"]
    for host in ("old", "new1", "new2"):
        assert migration.trace(host)[-1] == "beta rollback"
    assert migration.outcome() == "rolled_back"
    failed = [event for event in migration.events() if event["status"] == "failed" and event["stack"] != "migration"]
    assert [(event["stack"], event["verb"], event["host"]) for event in failed] == [("beta", "migrate", "new2")]
    assert failed[0]["facts"]["error"]["message"] == "made to fail in beta migrate"


def test_hosts_lost_in_mid_migrate_and_in_the_rollback_and_one_that_fails_stop_no_other_rollback_and_all_are_told(migration):
    # From its freeze on there is nobody at the address of new2, so that it is lost in migrate; old is gone at its next contact.
    for site, host, verb in (("target", "new2", "freeze"), ("source", "old", "migrate")):
        gone = f"'beta {verb}' in lookup('ansible.builtin.file', trace ~ '.{host}', errors='ignore') | default('', true)"
        migration.inventory["all"]["children"][site]["hosts"][host] = {
            "ansible_connection": f"{{{{ 'ansible.builtin.ssh' if {gone} else 'local' }}}}", "ansible_host": "127.0.0.1", "ansible_port": 1}
    done = migration.run("migrate", recorder_touches=True, fail_at=["beta.rollback.new1"])
    assert done.returncode != 0
    assert (migration.trace("old")[-1], migration.trace("new1")[-1]) == ("beta migrate", "beta rollback")
    assert migration.trace("mover")[-2:] == ["beta rollback", "alpha rollback"]
    assert migration.outcome() == "rollback_incomplete"
    undone = {row["stack"] + " " + row["host"]: row["verdict"] for row in migration.events()[-1]["facts"]["rollback"]}
    assert undone == {"beta mover": "ok", "beta old": "owed", "beta new1": "failed", "beta new2": "owed", "alpha mover": "ok"}
    told = {event["host"]: event["status"] for event in migration.events() if (event["stack"], event["verb"]) == ("beta", "rollback")}
    assert told == {"mover": "ok", "old": "failed", "new1": "failed", "new2": "failed"}
    assert (migration.directory / "reports" / "t1" / "report.md").exists()


def test_a_failure_after_the_commit_point_is_not_undone_and_says_so(alone):
    alone.set(migration_stacks=["alpha", "traffic"], migration_stack_roles={"alpha": "recorder", "traffic": "recorder"})
    # The name traffic makes a stack the last one, after the commit point.
    # What fails is the record of its commit: the journal refuses what it hands over.
    done = alone.run("migrate", recorder_tells={"traffic.commit": {"summary": "x" * 400}})
    assert done.returncode != 0 and "it has 400 characters" in done.stdout, done.stdout[-2000:]
    assert "alpha rollback" not in alone.trace("mover")
    assert alone.outcome() == "failed_after_commit"
    assert alone.run("rollback", migration_restore_data=True).returncode == 0
    assert alone.trace("mover")[-2:] == ["traffic rollback", "alpha rollback"]


def test_a_journal_that_cannot_be_used_keeps_no_old_state_from_coming_back(alone):
    spoil = "grep -qs 'alpha migrate' {{ trace }}.mover && echo x >> {{ migration_state_dir }}/t1/journal.jsonl; echo alpha.migrate.mover"
    done = alone.run("migrate", fail_at="{{ [lookup('ansible.builtin.pipe', spoil)] }}", spoil=spoil)
    assert done.returncode != 0
    assert alone.trace("mover")[-3:] == ["alpha migrate", "beta rollback", "alpha rollback"], done.stdout[-3000:]


def test_a_held_migration_waits_and_its_commit_goes_on(alone):
    done = waiting = alone.run("migrate", migration_commit="hold")
    assert done.returncode == 0, done.stdout[-2000:]
    assert alone.outcome() == "waiting"
    assert "alpha commit" not in alone.trace("mover")
    # The last words on the screen are plain lines, whatever the result format; status.yml says them again.
    report = f"Rapport : {alone.directory}/reports/t1/report.md"
    back = f"Pour revenir en arrière : ansible-playbook playbooks/rollback.yml -i {alone.directory}/inventory.json"
    go_on = back.replace("revenir en arrière", "continuer").replace("rollback", "commit")
    assert {go_on, back, report} <= set(last_words(done)), done.stdout[-3000:]
    status = alone.run("status")
    told = status.stdout.replace("\u00a0", " ")
    assert all(line in told for line in (go_on, back, report, "Source : gelée depuis")) and last_words(status) == [], told[-3000:]
    # At night a run that is refused says that users cannot write, and what to do: with the journal, and without its host too.
    before, frozen = alone.events(), next(line for line in last_words(waiting) if line.startswith("Source : gelée depuis"))
    for extra, what, note in (({"migration_window": "tonight"}, "1 entrée(s) à corriger ; rien n’a été changé ; migration_window", []),
                              ({"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
                               "Rien n’a été changé. Hors d’atteinte : mover.", ["Le journal ne peut pas être lu"])):
        refused = alone.run("commit", **extra)
        told = last_words(refused)
        assert refused.returncode != 0 and told[0] == "t1 : KO (refus avant tout changement)", refused.stdout[-3000:]
        assert told[1].startswith(f"Pourquoi : {what}"), told
        assert {frozen, go_on, back, report} < set(told) and len(told) <= 12, told
        assert [line[:30] for line in told if line.startswith("Le journal")] == note, told
        assert not [line for line in told if line.startswith("Sans Ansible")], "only databases leave a script that reopens them"
        assert message(refused) == told, refused.stdout[-3000:]
    assert alone.events() == before
    done = alone.run("commit")
    assert done.returncode == 0, done.stdout[-2000:]
    assert alone.trace("mover")[-2:] == ["alpha commit", "beta commit"]
    assert alone.outcome() == "ok"
    assert last_words(done)[-1] == report and go_on not in last_words(done), done.stdout[-3000:]


def test_a_backup_is_made_again_for_a_second_place_that_is_named_since_and_only_a_copy_there_proves_it(alone):
    first = {"item": "backup", "verdict": "proved", "observed": "copy of alpha"}
    second = {**first, "observed": "second copy of alpha", "elsewhere": True}

    def run(playbook, *evidence, **extra):
        tells = {"alpha.backup": {"evidence": evidence}, "beta.backup": {"not_applicable": "it is empty"}}
        done = alone.run(playbook, recorder_tells=tells, **extra)
        assert done.returncode == 0, done.stdout[-2000:]
        weighed = [event["facts"]["checklist"] for event in alone.events() if event["verb"] == "checklist"]
        return [(one["verdict"], one["observed"]) for items in weighed[-2:] for one in items if one["item"] == "backup"]

    alone.set(migration_commit="hold")
    assert run("backup", first)[-1] == ("not_demonstrated", "no second place was named for the backups")
    assert run("migrate", first, second, migration_backup_copies=[{"path": f"{alone.directory}/second"}]) == [
        ("not_demonstrated", "made and verified by the next step"),
        ("proved", "copy of alpha; second copy of alpha; beta: nothing to back up (it is empty)")]
    assert alone.trace("mover").count("alpha backup") == 2


def test_a_rollback_on_demand_undoes_a_held_migration_and_the_next_run_is_a_new_attempt(alone):
    alone.run("migrate", migration_commit="hold")
    done = alone.run("rollback")
    assert done.returncode == 0 and "Take the permissions of every run away" in done.stdout, done.stdout[-2000:]
    assert alone.outcome() == "rolled_back"
    assert alone.run("backup").returncode == 0
    assert alone.events()[-1]["attempt"] == 2


WHOLE = ("{} : une migration s’exécute en entier ou pas du tout, rien n’a été changé. Retirer l’option ; "
         "choisir les parties de l’application par migration_stacks")
ONE = "Rien n’a été changé. Une migration est une seule transaction, {} en laisserait une partie de côté"


@pytest.mark.parametrize(("option", "value", "why"), [
    ("--limit", "mover", WHOLE), ("--tags", "x", WHOLE), ("--skip-tags", "always", ONE), ("--start-at-task", "Keep the outcome", ONE),
], ids=["limit", "tags", "skip-tags", "start-at-task"])
def test_a_partial_run_is_refused_before_any_change_and_says_how_things_stand(alone, option, value, why):
    run = alone.directory / "work" / "mover" / "run"  # of another run, which is at work
    run.mkdir(parents=True)
    done = alone.run("migrate", option, value)
    assert [done.returncode != 0, alone.events(), alone.trace("mover"), run.exists()] == [True, [], [], True], done.stdout[-3000:]
    assert last_words(done) == [
        "t1 : KO (refus avant tout changement)", f"Pourquoi : {why.format(option)}",
        "Les utilisateurs lisent et écrivent sur l’ancien site.", "Source : ouverte, jamais gelée", "Cible : hors service, intacte",
        f"Pour continuer : ansible-playbook playbooks/migrate.yml -i {alone.directory}/inventory.json"], done.stdout[-3000:]


@pytest.mark.parametrize(("options", "why"), [
    (["--skip-tags", "all,always"], WHOLE.format("--skip-tags")),
    (["--tags", "x", "--skip-tags", "always"], WHOLE.format("--tags, --skip-tags")),
    ([], "Rien n’a été changé. Aucune tâche n’a été exécutée : aucune machine n’est visée. Indiquer l’inventaire de la migration"),
], ids=["skip-tags", "tags", "no host"])
def test_a_run_of_which_not_one_task_is_left_is_no_green_one_and_says_why(alone, options, why):
    if not options:
        alone.inventory["all"]["hosts"] = {}
    done = alone.run("migrate", *options)
    assert done.returncode == 1 and last_words(done) == ["migration : KO (refus avant tout changement)", f"Pourquoi : {why}"], done.stdout
    assert not (alone.directory / "state").exists()


def test_check_mode_shows_the_plan_and_writes_nothing(alone):
    done = alone.run("migrate", "--check", "--diff")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "nothing was changed" in done.stdout
    assert not (alone.directory / "state").exists()


def test_every_malformed_input_is_shown_at_once_and_nothing_is_touched(alone):
    alone.set(migration_id="a/b", migration_stack="typo", migration_backup_dir="/x/../y", migration_strategy="Zq9secret",
                  migration_window={"end": "soon"})
    done = alone.run("migrate")
    assert done.returncode != 0
    for name in ("migration_id", "migration_stack ", "migration_backup_dir", "migration_strategy", "migration_window.end"):
        assert name in done.stdout
    assert "Zq9secret" not in done.stdout
    status, why = last_words(done)  # of what has no name nobody can say how it stands
    assert status == "migration : KO (refus avant tout changement)" and why.startswith("Pourquoi : 5 entrée(s) à corriger ; "), why
    assert not (alone.directory / "state").exists()


def test_hosts_out_of_reach_are_all_named_before_anything_starts(migration):
    for host in ("new1", "new2"):
        migration.inventory["all"]["children"]["target"]["hosts"][host] = {
            "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    migration.inventory["all"]["children"]["source"]["hosts"]["old"] = {
        "ansible_become": True, "ansible_become_user": "nobody", "ansible_become_exe": "/bin/false"}
    done = migration.run("migrate")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "Out of reach: new1, new2." in said and "No command runs on: old. Correct ansible_become" in said, done.stdout[-2000:]
    assert last_words(done)[1].startswith("Pourquoi : Rien n’a été changé. Hors d’atteinte : new1, new2. "), done.stdout[-2000:]
    assert migration.events() == []


def test_what_stopped_a_run_stops_the_next_one_until_it_is_mended(alone):
    obstacle = alone.directory / "obstacle"
    obstacle.touch()
    alone.set(recorder_finds=str(obstacle))
    for run in (alone.run, alone.run_by_runner):
        refused = run("migrate")
        assert refused.returncode != 0 and "made to be found" in refused.stdout, refused.stdout[-2000:]
        assert (alone.outcome(), alone.trace("mover").count("alpha backup")) == ("refused", 0)
        # The whole block has the last word, and is the message of the failed task too, which is what AWX shows of it.
        said, users = refused.stdout, "Les utilisateurs lisent et écrivent sur l’ancien site."
        status, why, now = last_words(refused)[:3]
        assert (status, now) == ("t1, tentative 1 : KO (refus avant tout changement)", users), said
        assert why.startswith("Pourquoi : Made to be found ; ") and "recorded" in why, said
        assert message(refused) == last_words(refused), said[-3000:]
    obstacle.unlink()  # ... what it showed of the checklist is of no account any more either
    done = alone.run("backup")
    assert done.returncode == 0 and alone.outcome() == "ok", done.stdout[-2000:]


def test_a_migration_that_would_outlast_its_window_is_undone_unless_it_may_go_on(alone):
    over = "grep -qs 'alpha migrate' {{ trace }}.mover && date -u -d '1 sec' +%FT%TZ || echo 2099-01-01T00:00:00Z"
    alone.set(migration_window={"start": "2020-01-01T00:00:00Z", "end": "{{ lookup('ansible.builtin.pipe', over) }}"}, over=over)
    begun = time.monotonic()
    stopped = alone.run("migrate", recorder_naps=600)
    assert stopped.returncode != 0 and "before this migration would: it is undone" in stopped.stdout, stopped.stdout[-2000:]
    assert alone.outcome() == "rolled_back" and alone.events()[-1]["facts"]["cause"]["verb"] == "migrate"
    assert time.monotonic() - begun < 600 and list((alone.directory / "work" / "mover" / "async").iterdir()) == []
    (alone.directory / "trace.mover").unlink()
    done = alone.run("migrate", migration_on_overrun="go_on", recorder_naps=2)
    assert done.returncode == 0 and alone.outcome() == "ok", done.stdout[-2000:]


def kill_after_freeze(migration):
    """Start a migration, and kill it once the first stack is frozen."""
    process = subprocess.Popen(migration.command("migrate", fail_at=[]), env=migration.environment(), cwd=migration.root,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 300
    while "alpha freeze" not in migration.trace("mover") and time.monotonic() < until:
        time.sleep(0.05)
    kill_with_forks(process)


def test_a_run_resumed_after_the_end_of_its_window_opens_the_source_again(alone):
    alone.set(migration_window={"start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"})
    kill_after_freeze(alone)
    alone.set(migration_window={"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"})
    stopped = alone.run("migrate", fail_at=[])
    assert stopped.returncode != 0 and "before this migration would: it is undone" in stopped.stdout, stopped.stdout[-2000:]
    trace = alone.trace("mover")
    assert alone.outcome() == "rolled_back" and "alpha rollback" in trace and "alpha migrate" not in trace


def test_a_run_killed_in_mid_phase_is_resumed_without_repeating_what_was_done_and_fails_where_its_secrets_may_be_left(migration):
    kill_after_freeze(migration)
    # Behind its last verb there is nobody at the address of new2.
    gone = "'beta commit' in lookup('ansible.builtin.file', trace ~ '.new2', errors='ignore') | default('', true)"
    migration.inventory["all"]["children"]["target"]["hosts"]["new2"] = {
        "ansible_connection": f"{{{{ 'ansible.builtin.ssh' if {gone} else 'local' }}}}", "ansible_host": "127.0.0.1", "ansible_port": 1}
    # Since when the source is frozen is known to the run that goes on: its progress lines count from there.
    done = migration.run("migrate", fail_at="{{ [] if migration_frozen_since | default(false) else ['alpha.migrate.mover'] }}")
    trace = migration.trace("mover")
    assert trace.count("alpha backup") == 1
    assert trace.count("alpha migrate") == 1
    assert (migration.outcome(), migration.events()[-1]["attempt"]) == ("ok", 1), done.stdout[-2000:]
    left = f"that the secrets and scratch of this run are gone from new2: remove {migration.directory}/work/new2/run there"
    assert migration.events()[-1]["facts"]["not_proved"] == [left]
    assert done.returncode != 0 and f"but not proved is {left}" in " ".join(done.stdout.split()), done.stdout[-2000:]

