# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a container is made of: pins, options and units, and the commands that the role runs inside an image."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
import yaml
from ansible.template import trust_as_template
from ansible_collections.dihya.migration.plugins.module_utils._app import container_plan, process_table
from ansible_collections.dihya.migration.plugins.module_utils._app.checks import scan_log
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

from tests.support.backend_role import ask, role

A, B, C = (letter * 64 for letter in "abc")
PLAIN = container_plan.Definition(
    "api-2", "api", "quadlet", B, "/srv/api/log", ("serve", "50% of $X"), "app", ("/srv/media:/media",), {"MODE": "live"},
    {"TOKEN": "canary", "EMPTY": ""},
)
LISTING: list[dict[str, Any]] = [
    {"Id": A, "Digest": f"sha256:{B}", "RepoDigests": [f"r.example/api@sha256:{C}"]}, {"Id": C, "Digest": "sha256:0", "RepoDigests": None},
]


@pytest.mark.parametrize("image", ["", "api", "api:1.2", "r.example:5000/api:latest", "api@sha256:abc", f"API@sha256:{A}", f"-x@sha256:{A}",
                                   f"api@sha256:{A}\n", f"api@md5:{A}", f" api@sha256:{A}"])
def test_an_image_without_a_whole_digest_is_refused_with_the_remedy(image):
    with pytest.raises(MigrationError, match="write it as NAME@sha256"):
        container_plan.parse_pin(image)


def test_an_image_is_known_by_its_manifest_or_its_id_and_by_nothing_else():
    assert container_plan.parse_pin(f"r.example:5000/shop/api:1.2@sha256:{A}") == ("r.example:5000/shop/api:1.2", f"sha256:{A}")
    assert container_plan.find_image(f"other/name@sha256:{B}", LISTING) == A
    assert container_plan.find_image(f"api@sha256:{A}", LISTING) == A
    assert container_plan.find_image(f"api@sha256:{C}", LISTING[:1]) == A
    assert container_plan.find_image(f"api@sha256:{'d' * 64}", LISTING) is None


def test_no_value_of_a_secret_stands_in_options_tools_or_unit():
    mark = "m1"
    texts = [
        *container_plan.run_arguments(PLAIN, mark), *container_plan.tool_prefix("/usr/bin/podman", PLAIN),
        container_plan.at_boot(container_plan.unit_text(PLAIN, mark)),
    ]
    assert not any("canary" in text for text in texts)
    for text in ("--secret=api-2.TOKEN,type=env,target=TOKEN", "--env=EMPTY=", "--pull=never"):
        assert texts.count(text) == 2
    assert container_plan.run_arguments(PLAIN, mark)[-3:] == [B, "serve", "50% of $X"]


def test_a_unit_starts_with_the_machine_only_once_it_may():
    before = container_plan.unit_text(PLAIN, "m1")
    after = container_plan.at_boot(before)
    assert "[Install]" not in before and after == before + "\n[Install]\nWantedBy=multi-user.target\n"
    assert 'Exec="serve" "50%% of $$X"' in before and f"Image={B}" in before and "Secret=api-2.TOKEN,type=env,target=TOKEN" in before


@pytest.mark.parametrize("change", [
    {"image": C}, {"command": ()}, {"secrets": {"TOKEN": "other"}}, {"environment": {}}, {"user": ""}, {"volumes": ()}, {"form": "podman"},
])
def test_whatever_a_running_container_differs_in_makes_it_another_one(change):
    assert dataclasses.replace(PLAIN, **change).digest() != PLAIN.digest()


def test_compose_is_given_every_value_whole_and_makes_no_directory_and_pulls_nothing():
    service = json.loads(container_plan.compose_text(PLAIN, "m1"))["services"]["app"]
    assert service["environment"] == {"MODE": "live", "TOKEN": "canary", "EMPTY": "", process_table.MARK: "m1"}
    assert service["command"] == ["serve", "50% of $$X"] and service["image"] == f"sha256:{B}" and service["pull_policy"] == "never"
    assert service["volumes"] == [{"type": "bind", "source": "/srv/media", "target": "/media", "read_only": False,
                                   "bind": {"create_host_path": False}}]
    tools = json.loads(container_plan.compose_tools_text(PLAIN))["services"]["app"]
    assert tools["environment"] == {"TOKEN": "canary", "EMPTY": ""}
    assert tools["labels"] == {container_plan.LABEL: "api-2"} and tools["entrypoint"] == [] and "container_name" not in tools


@pytest.mark.parametrize("volume", ["a:/b", "/a", "/a:/b:U", "/a:/b:ro,Z"])
def test_a_volume_that_compose_would_take_for_something_else_is_refused(volume):
    with pytest.raises(MigrationError, match="HOST:CONTAINER"):
        container_plan.compose_text(dataclasses.replace(PLAIN, volumes=(volume,)), "m1")


def test_every_letter_of_a_secret_stands_in_the_file_of_compose_as_yaml_reads_it():
    secret = "é ⵣ 😀 \x7f\x85\u2028\ufeff\uffff $ \" \\ \n"
    text = container_plan.compose_text(dataclasses.replace(PLAIN, secrets={"TOKEN": secret}, volumes=("/a:/b:ro",)), "m1")
    service = yaml.safe_load(text)["services"]["app"]
    assert service["environment"]["TOKEN"] == secret.replace("$", "$$") and service["volumes"][0]["read_only"]
    assert "\\ud" not in text and "😀" in text  # two escapes for one letter are JSON's alone


def test_each_container_has_a_project_of_its_own_whatever_its_name():
    names = ["api-2", "Api-2", "api.2", "api_2"]
    projects = [container_plan.compose_project(name) for name in names]
    assert projects[0] == "api-2" and len(set(projects)) == 4 and all(re.fullmatch(r"[a-z0-9][a-z0-9_-]*", one) for one in projects)
    tool = container_plan.compose_tool("docker", PLAIN, "/f")
    assert tool[2:5] == ["--progress=quiet", "--project-name=api-2-tools", "--file=/f"] and tool[-1] == "--env=MODE=live"


def test_the_log_of_a_container_is_searched_as_the_application_wrote_it(tmp_path):
    log = tmp_path / "log"
    log.write_text("2026-11-25T19:58:46.7+00:00 stderr F Traceback (most recent call last):\n2026-11-25T19:58:46.8+00:00 stdout F fine\n")
    assert scan_log(str(log), 0, "^Traceback ", container=True) == 1 and scan_log(str(log), 0, "^Traceback ") == 0


def contained(**given):
    image = {"inside": ["podman", "run", "--rm"], "inside_of": A}
    return role(**{"backend_runtime": "container", "backend_image": f"api@sha256:{A}", "__backend_image": image, **given})


OPTIONS = ["--env=PYTHONDONTWRITEBYTECODE=1", "--env=PYTEST_ADDOPTS=-p no:cacheprovider", "--env=PGAPPNAME=dihya/shop/check"]


@pytest.mark.parametrize(("given", "options", "inner"), [
    ({}, OPTIONS, ["flask", "db", "upgrade"]),
    ({"backend_framework": "django"}, OPTIONS, ["python", "manage.py", "migrate", "--no-input"]),
    ({"backend_framework": "node", "backend_schema_tool": "knex"}, None,
     ["sh", "-c", 'PATH="$PWD/node_modules/.bin:$PATH" exec "$@"', "sh", "knex", "migrate:latest"]),
])
def test_schema_tools_run_inside_the_image_and_end_with_it(given, options, inner):
    wanted = trust_as_template("{{ __backend_schema }}")
    planned = contained(__backend_wanted=wanted, backend_build_environment={"REGISTRY_AUTH_FILE": "/a"}, **given)
    upgrade = next(item for item in ask(planned, "__backend_to_run") if item["name"] == "schema upgrade")
    at = upgrade["argv"].index(A)
    assert upgrade["argv"][:4] == ["podman", "run", "--rm", "--timeout=3600"] and upgrade["argv"][at + 1:] == inner
    assert options is None or upgrade["argv"][4:at] == options
    assert "env_file" not in upgrade and upgrade["environment"] == {"REGISTRY_AUTH_FILE": "/a"} and upgrade["timeout"] > 3600
    assert not any("PATH=/" in word for word in upgrade["argv"])


def test_an_image_needs_no_tree_no_command_and_nothing_installed():
    planned = contained(backend_command=[], backend_container_form="podman")
    assert ask(planned, "__backend_install") == [] and ask(planned, "__backend_unready") == []
    assert {look["check"] for look in ask(planned, "__backend_looks_target")} == {"writable", "name", "port", "image", "podman"}
    assert [look["check"] for look in ask(contained(migration_site="mover"), "__backend_looks_mover")] == ["name"]


def test_compose_has_no_time_limit_of_its_own_and_is_looked_for_instead_of_podman():
    image = {"inside": ["docker", "compose", "run"], "inside_of": "app"}
    volumes = ["/a:/b", "/a:/b:ro"]
    planned = contained(backend_container_form="compose", backend_container_volumes=volumes, __backend_image=image,
                        __backend_wanted=trust_as_template("{{ __backend_schema }}"))
    upgrade = next(item for item in ask(planned, "__backend_to_run") if item["name"] == "schema upgrade")
    assert upgrade["argv"] == ["docker", "compose", "run", *OPTIONS, "app", "flask", "db", "upgrade"]
    assert {look["check"] for look in ask(planned, "__backend_looks_target")} == {"writable", "name", "port", "image", "compose"}
    assert ask(planned, "__backend_unready") == []
    refused = ask(contained(backend_container_form="compose", backend_container_volumes=[*volumes, "a:/b", "/a:/b:U"]), "__backend_unready")
    assert [(row["subject"], row["finding"]) for row in refused] == [
        ("backend_container_volumes", "a:/b, /a:/b:U cannot be volumes in a file of Compose")]


@pytest.mark.parametrize(("archive", "transport", "mover"), [("", "pull", False), ("/a/i.tar", "pull", True), ("/a/i.tar", "local", False)])
def test_the_image_is_brought_before_the_freeze_and_the_mover_lends_only_an_archive(archive, transport, mover):
    for site, takes_part in (("target", True), ("mover", mover)):
        idle = ask(contained(migration_site=site, backend_image_archive=archive, migration_transport=transport), "__backend_idle")
        assert ("backup" not in idle) is takes_part
