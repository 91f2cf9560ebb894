# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role backend would run for each framework and schema tool, and what it reads from the tools' real output."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.dihya.migration.plugins.module_utils._app.checks import find, new_errors

from tests.support.backend_role import GIVEN, ROLE, ask, role

TOOLS = yaml.safe_load((ROLE / "vars" / "main" / "schema_tools.yml").read_text(encoding="utf-8"))["backend_schema_tools"]


def planned(**given) -> list[tuple[str, str]]:
    """What each command that moves the schema tells, else its name, and its command line."""
    return [("+".join(item.get("tells", {})) or item["name"], " ".join(item["argv"])) for item in ask(role(**given), "__backend_schema")]


def node(**given) -> dict:
    return {"backend_framework": "node", "backend_node_dir": "/opt/node/bin", **given}


UPGRADE, SETTLED = "schema upgrade", "nothing pending in the schema"


@pytest.mark.parametrize(("given", "wanted"), [
    ({}, [("schema_before", "flask db current"), ("schema_wanted", "flask db heads"), (UPGRADE, "flask db upgrade"),
          ("schema_after", "flask db current")]),
    ({"backend_schema_tool": "flask-script"},
     [("schema_before", "python manage.py db current"), ("schema_wanted", "python manage.py db heads"),
      (UPGRADE, "python manage.py db upgrade"), ("schema_after", "python manage.py db current")]),
    ({"backend_framework": "django"},
     [("schema_before+schema_pending", "python manage.py showmigrations --plan"), (UPGRADE, "python manage.py migrate --no-input"),
      ("schema_after+schema_wanted", "python manage.py showmigrations --plan"), (SETTLED, "python manage.py migrate --check")]),
    (node(backend_schema_tool="prisma"),
     [("schema_pending", "prisma migrate status"), (UPGRADE, "prisma migrate deploy"), (SETTLED, "prisma migrate status")]),
    *[(node(backend_schema_tool=tool, backend_schema_config="src/data.js"),
       [("schema_before+schema_pending", look), (UPGRADE, upgrade), ("schema_after+schema_wanted", look)])
      for tool, look, upgrade in (
          ("knex", "knex migrate:list", "knex migrate:latest"),
          ("sequelize", "sequelize-cli db:migrate:status", "sequelize-cli db:migrate"),
          ("typeorm", "typeorm migration:show -d src/data.js", "typeorm migration:run -d src/data.js"))],
    ({"backend_migrate": False}, []),
])
def test_each_schema_tool_is_asked_before_and_after(given, wanted):
    assert planned(**given) == wanted
    assert ask(role(**given), "__backend_schema_unproved") == [] and ask(role(**given), "__backend_unready") in ([], [scratch()])


@pytest.mark.parametrize(("given", "left_out"), [
    ({}, ["schema after", UPGRADE]), ({"backend_schema_command": ["bin/up"]}, []), ({"backend_schema_tool": "django"}, []),
])
def test_an_upgrade_that_does_nothing_else_is_left_out_where_the_schema_is_the_one_of_the_release(given, left_out):
    commands = ask(role(**given), "__backend_schema")
    assert sorted(one["name"] for one in commands if one.get("unless_same")) == left_out


@pytest.mark.parametrize(("given", "seconds"), [({}, {1800, 3600}), ({"backend_tool_timeout": 7200.0}, {7200.0})])
def test_long_work_is_killed_after_the_time_that_is_set(given, seconds):
    templar = role(**given)
    commands = ask(templar, "__backend_install") + [one for one in ask(templar, "__backend_schema") if one["name"] == UPGRADE]
    assert {one["timeout"] for one in commands} == seconds


def scratch() -> dict:
    """The finding about Django's own tests."""
    return {"subject": "backend_tests_write", "finding": "python manage.py test makes a database of its own on the target server",
            "remedy": "declare scratch_database, or name a backend_test_command that only reads", "blocking": True}


def test_what_a_tool_does_not_tell_is_not_proved_unless_the_users_commands_tell_it():
    make = {"backend_schema_tool": "make"}
    status = {"backend_schema_status_command": ["bin/schema", "now"]}
    wanted = {"backend_schema_wanted_command": ["bin/schema", "newest"]}
    pending = {"backend_schema_pending_command": ["bin/schema", "settled"]}
    assert planned(**make) == [(UPGRADE, "make migrate")]
    assert "backend_schema_pending_command" in ask(role(**make), "__backend_schema_unproved")[0]
    assert planned(**make, **status) == [("schema_before", "bin/schema now"), (UPGRADE, "make migrate"), ("schema_after", "bin/schema now")]
    assert len(ask(role(**make, **status), "__backend_schema_unproved")) == 1
    both = {**make, **status, **wanted}
    assert planned(**both)[1] == ("schema_wanted", "bin/schema newest") and ask(role(**both), "__backend_schema_compared")
    assert planned(**make, **pending)[-1] == (SETTLED, "bin/schema settled")
    for told in (both, {**make, **pending}):
        assert ask(role(**told), "__backend_schema_unproved") == []


def test_the_same_host_moves_the_schema_in_every_run():
    hosts = [f"host{number}" for number in range(40)]
    groups = {**GIVEN["groups"], "backend": hosts, "target": list(reversed(hosts))}
    assert ask(role(groups=groups), "__backend_targets") == hosts
    assert planned(groups=groups, inventory_hostname="host0") and not planned(groups=groups, inventory_hostname="host39")


@pytest.mark.parametrize(("after", "wanted", "reached"), [
    ("b2", "b2", True), ("a1", "b2", False), ("none", "b2", False), ("none", "none", False)])
def test_a_schema_is_reached_when_the_wanted_revision_is_named_and_applied(after, wanted, reached):
    ran = {"told": {"schema_after": after, "schema_wanted": wanted}}
    assert ask(role(__backend_ran=ran), "__backend_schema_reached") is reached


def test_own_commands_replace_those_of_a_tool_and_its_expressions_with_them():
    own = {"backend_schema_command": ["bin/up"], "backend_schema_status_command": ["bin/now"]}
    assert planned(**own, backend_framework="django") == [
        ("schema_before", "bin/now"), (UPGRADE, "bin/up"), ("schema_after", "bin/now"), (SETTLED, "python manage.py migrate --check")]
    assert planned(**own)[1] == ("schema_wanted", "flask db heads")
    before = ask(role(**own), "__backend_schema")[0]
    assert find(before["tells"]["schema_before"], "  step 7\n\nstep 8\n") == "step 7,step 8"


@pytest.mark.parametrize(("given", "subjects"), [
    (node(), ["backend_schema_tool"]),
    (node(backend_migrate=False), []),
    ({"backend_schema_tool": "own"}, ["backend_schema_command"]),
    ({"backend_framework": "django"}, ["backend_tests_write"]),
    ({"backend_framework": "django", "backend_tests_write": "scratch_database"}, []),
    ({"backend_framework": "django", "backend_test_command": ["pytest"]}, []),
    ({"backend_command": []}, ["backend_command"]),
    ({"backend_environment": {"A": "escape \x1b", "B": "a\n\tb"}}, []),
    ({"backend_environment": {"A": "escape \x1b", "B": "a\n\tb"}, "backend_runtime": "systemd"}, ["backend_environment"]),
    ({"backend_environment": {"A": "nul \0"}}, ["backend_environment"]),
    ({"backend_command": [], "backend_runtime": "container", "backend_build_command": ["make"]}, ["backend_build_command"]),
])
def test_what_cannot_work_is_found_beforehand(given, subjects):
    assert [found["subject"] for found in ask(role(**given), "__backend_unready")] == subjects


def test_node_installs_inside_the_release_and_finds_its_programs_there():
    seen = role(**node(backend_build_command=["npm", "run", "build"], backend_schema_tool="knex"))
    install = ask(seen, "__backend_install")
    assert [(item["name"], item["argv"]) for item in install] == [
        ("npm ci", ["npm", "ci", "--include=dev"]), ("build", ["npm", "run", "build"])]
    assert all(item["chdir"] == "/srv/shop/releases/r1" for item in install)
    assert [item["done_file"] for item in install] == ["/srv/shop/releases/r1/.npm-ci.done", "/srv/shop/releases/r1/.build.done"]
    assert install[0]["environment"]["PATH"].startswith("/srv/shop/releases/r1/node_modules/.bin:/opt/node/bin:/usr/local/sbin:")
    assert ask(seen, "__backend_needed") == ["package.json", "package-lock.json"]
    assert [look["value"] for look in ask(seen, "__backend_table")["needs"]] == ["/opt/node/bin/node", "/opt/node/bin/npm"]
    assert ask(seen, "__backend_tests")["argv"] == ["npm", "run", "test"] and ask(seen, "__backend_tests")["expect"] == "tests"


def test_a_ready_environment_is_built_in_but_not_installed_into():
    install = ask(role(backend_framework="django", backend_venv="/opt/venv", backend_build_command=["make", "static"]), "__backend_install")
    assert [item["name"] for item in install] == ["build"] and install[0]["environment"]["PATH"].startswith("/opt/venv/bin:/usr/local/")


DJANGO = "[X]  shop.0001_initial\n[X]  shop.0001_squashed_0002_b (2 squashed migrations)\n[ ]  shop.0003_c\n"
KNEX = "Using environment: live\nFound 1 Completed Migration file/files.\n1_a.js\nFound 2 Pending Migration file/files.\n2_b.js\n3_c.mjs\n"
KNEX_NEW = "No Completed Migration files Found.\nFound 1 Pending Migration file/files.\n1_a.js\n"
KNEX_DONE = "Found 1 Completed Migration file/files.\n1_a.js\nNo Pending Migration files Found.\n"
SEQUELIZE = "\nSequelize CLI [Node: 24.19.0, CLI: 6.6.5, ORM: 6.37.8]\n\nLoaded configuration file \"config.js\".\nup 1-a.js\ndown 2-b.js\n"
TYPEORM = "[X] 1 Members1704877200000\n[ ] Loans1711116900000\n"
PRISMA = "2 migrations found in prisma/migrations\nFollowing migrations have not yet been applied:\n20240110090000_a\n20240322141500_b\n"


@pytest.mark.parametrize(("tool", "output", "applied", "pending", "wanted"), [
    ("django", DJANGO, "shop.0001_initial,shop.0001_squashed_0002_b", "shop.0003_c",
     "shop.0001_initial,shop.0001_squashed_0002_b,shop.0003_c"),
    ("knex", KNEX, "1_a.js", "2_b.js,3_c.mjs", "1_a.js,2_b.js,3_c.mjs"),
    ("knex", KNEX_NEW, "", "1_a.js", "1_a.js"),
    ("knex", KNEX_DONE, "1_a.js", "", "1_a.js"),
    ("sequelize", SEQUELIZE, "1-a.js", "2-b.js", "1-a.js,2-b.js"),
    ("typeorm", TYPEORM, "Members1704877200000", "Loans1711116900000", "Loans1711116900000,Members1704877200000"),
    ("prisma", PRISMA, "", "20240110090000_a,20240322141500_b", ""),
])
def test_revisions_are_cut_from_what_the_tools_print(tool, output, applied, pending, wanted):
    facts = TOOLS[tool]
    assert [find(facts[name], output) if name in facts else "" for name in ("applied", "pending", "wanted")] == [applied, pending, wanted]


@pytest.mark.parametrize(("framework", "lines"), [
    ("flask", ["[2026-11-25 10:00:00 +0000] [7] [ERROR] Error handling request /", "Traceback (most recent call last):"]),
    ("django", ["Internal Server Error: /members/1", "Traceback (most recent call last):", "CRITICAL settings are missing"]),
    ("node", ["TypeError: no mail server", "Uncaught Error: listen EADDRINUSE", '{"level":50,"time":1,"msg":"x"}', '{"level":"error"}',
              "Error [ERR_HTTP_HEADERS_SENT]: Cannot set headers", "(node:7) UnhandledPromiseRejectionWarning: x", "12:00 ERROR lost"]),
])
def test_error_lines_of_each_framework_are_seen_and_others_are_not(framework, lines):
    pattern = ask(role(backend_framework=framework), "__backend_table")["errors"]
    assert new_errors("\n".join(lines), pattern) == len(lines)
    fine = ["GET /errors 200", '{"level":30,"msg":"no error"}', "0 errors found", "[INFO] Listening at: http://[::1]:80", "Not Found: /x"]
    assert new_errors("\n".join(fine), pattern) == 0


def test_scripts_of_packages_do_not_see_the_secrets_of_the_application():
    install = ask(role(**node(backend_build_command=["npm", "run", "build"])), "__backend_install")
    assert [(item["name"], item.get("env_file")) for item in install] == [
        ("npm ci", None), ("build", "/var/lib/dihya-migration/shop/run/build.env")]


@pytest.mark.parametrize(("here", "said"), [
    (None, []), ({"sha256": "a"}, []), ({"sha256": "b"}, ["backend_release_path holds another tree"]),
    ({"msg": "release r1 failed before"}, ["release r1 failed before"]),
])
def test_what_has_the_name_of_the_release_on_a_target_host_is_the_release_or_a_finding(here, said):
    meant = {"seen": {"backend_release_path": {"sha256": "a"}}}
    found = ask(role(__backend_meant=meant, **({} if here is None else {"__backend_found": here})), "__backend_taken")
    assert len(found) == len(said) and all(words in row["finding"] for words, row in zip(said, found))


def test_the_mover_lends_again_what_a_target_host_has_no_longer():
    hosts = {"new": {"__backend_there": {"failed": False}}, "new2": {"__backend_there": {"failed": True}}, "new3": {}}
    groups = {**GIVEN["groups"], "backend": list(hosts), "target": list(hosts)}
    assert ask(role(groups=groups, hostvars=hosts), "__backend_targets_again") == ["new2"]
