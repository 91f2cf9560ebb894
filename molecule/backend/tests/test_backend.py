# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After release one took over and release two failed its own tests: one serves, nothing of two is left, and all of it is on record."""

from __future__ import annotations

import itertools
import json

import pytest

from dev.testing.turns import WAITS
from tests.support.canaries import find_secrets
from tests.support.machines import WORK, machine

PUBLIC = {"django": "http://web/health", "image": "http://box/health", "node": "http://mover:8000/health"}
MACHINES = {"django": ("web",), "image": ("box",), "node": ("app1", "app2")}
LIBRARY = {"release": "one", "languages": {"ar": 1, "fr": 1, "tzm": 1}, "lent": 1}


def query(database, sql):
    return machine("mover").check_output(f"runuser -u postgres -- psql -XAtq -d {database} -c \"{sql}\"").splitlines()


def turns():
    """In which form the image of each release runs, and which applications gave a release ``back`` at once."""
    return json.loads((WORK / "artefacts" / "turns.json").read_text(encoding="utf-8"))


def forms():
    """In which form the image of each release runs."""
    return {release: form for release, form in turns().items() if release != "back"}


@pytest.fixture(name="events")
def fixture_events():
    """Call with an application and a release to get the journal of that migration."""
    def read(application, release):
        text = machine("mover").check_output(f"cat /var/lib/dihya-migration/journal/{application}-{release}/journal.jsonl")
        return [json.loads(line) for line in text.splitlines()]
    return read


@pytest.mark.parametrize("application", PUBLIC)
def test_release_one_serves_what_the_old_site_held(application):
    for _turn in range(4):  # HAProxy asks each machine in turn
        answer = machine("mover").check_output(f"curl -sf --max-time 10 {PUBLIC[application]}")
        assert json.loads(answer) == LIBRARY


def test_django_runs_as_the_one_unit_that_starts_with_the_machine():
    web = machine("web")
    live = web.service("library-blue")
    assert live.is_running and live.is_enabled
    assert web.file("/etc/nginx/public_side").content_string == "map $host $public_side { default blue; }\n"
    assert not web.service("library").is_running and not web.service("library").is_enabled
    assert not web.file("/etc/systemd/system/library-green.service").exists
    assert web.check_output("systemctl show --property=ActiveState --value library-green") == "inactive"


def test_the_image_alone_runs_in_its_form_and_starts_with_the_machine():
    box, compose = machine("box"), [release for release, form in forms().items() if form == "compose"]
    assert box.file("/etc/nginx/public_side").content_string == "map $host $public_side { default blue; }\n"
    # Compose keeps the container of before, systemd its unit; both can be started again, by an operator alone. Of the one that failed
    # there is neither.
    kept = {"library-one running", *(["library-zero exited"] if "zero" in compose else [])}
    assert set(box.check_output("podman ps --all --format '{{.Names}} {{.State}}'").splitlines()) == kept
    def unit(service):
        return set(box.check_output(f"systemctl show --property=LoadState,ActiveState,WantedBy {service}").splitlines()) - {"WantedBy="}
    absent = {"LoadState=not-found", "ActiveState=inactive"}
    assert unit("library-green") == absent
    assert unit("library") == (absent if "zero" in compose else {"LoadState=loaded", "ActiveState=inactive"})
    live = {"LoadState=loaded", "ActiveState=active", "WantedBy=multi-user.target"}
    assert unit("library-blue") == (absent if "one" in compose else live)
    image, policy = box.check_output("podman inspect --format '{{.Image}} {{.HostConfig.RestartPolicy.Name}}' library-one").split()
    assert policy == ("unless-stopped" if "one" in compose else "no")
    assert f"sha256:{image}" == (WORK / "artefacts" / "site" / "images" / "one" / "digest").read_text()


@pytest.mark.parametrize(("name", "pid"), [("web", "systemctl show --property=MainPID --value library-blue"),
                                           ("box", "podman inspect --format '{{.State.Pid}}' library-one")])
def test_a_value_of_several_lines_reaches_the_application_as_it_is(name, pid):
    variables = machine(name).check_output(f"tr '\\0' '\\1' </proc/$({pid})/environ").split("\1")
    assert 'NOTICE=it\'s "closed" on \\n:\n\tFriday, $HOME, %n\n' in variables


def test_secrets_of_the_image_are_podmans_or_in_files_of_their_owner_and_those_of_the_failed_release_are_gone():
    box = machine("box")
    names = box.check_output("podman secret ls --format '{{.Name}}'").split()
    files = box.check_output("find /srv/library/shared/run -name '.env.*.compose.json' -printf '%f %m\\n'").splitlines()
    for release, form in forms().items():
        secret, file = f"library-{release}.PGPASSWORD" in names, f".env.library-{release}.compose.json 600" in files
        assert (secret, file) == ((False, False) if release == "two" else (form == "quadlet", form == "compose")), release


def test_node_runs_on_both_machines_and_both_are_in_rotation():
    for name in MACHINES["node"]:
        record = json.loads(machine(name).file("/srv/library/shared/run/backend.json").content_string)
        assert record["name"] == "backend one"
        running = machine(name).check_output("pgrep -f 'node server[.]js'").splitlines()  # what watches it, and the program
        assert running == [str(record["pid"]), *machine(name).check_output(f"pgrep -P {record['pid']}").splitlines()], name
        assert len(running) == 2, name
    ask = "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); " \
          "s.sendall(b'show stat\\n'); print(s.makefile().read())\""
    rows = [line.split(",") for line in machine("mover").check_output(ask).splitlines() if line.startswith("library,app")]
    assert {row[1]: row[17] for row in rows} == {"app1": "UP", "app2": "UP"}


@pytest.mark.parametrize("application", [name for name in MACHINES if name != "image"])
def test_nothing_of_release_two_is_left_but_its_files_where_they_are_to_be_kept(application):
    kept = ["two"] if application == "node" else []
    for name in MACHINES[application]:
        assert machine(name).file("/srv/library/current").linked_to == "/srv/library/releases/one"
        assert sorted(machine(name).file("/srv/library/releases").listdir()) == ["one", *kept, "zero"]
        assert json.loads(machine(name).file("/srv/library/.releases.json").content_string)["failed"] == kept
        assert machine(name).check_output("pgrep -fc releases/[t]wo || true") == "0"
        assert machine(name).check_output("find /srv/library/shared -name '.two*'") == ""


@pytest.mark.parametrize("application", PUBLIC)
def test_no_request_of_the_public_failed_while_releases_took_each_others_place(application):
    # Node's release two serves on the first machine when it fails on the second one, and both come back.
    for release, shown in (("one", {"zero", "one"}), ("two", {"one", "two"} if application == "node" else {"one"})):
        answers = [line.rpartition(" ") for line in (WORK / "artefacts" / f"{application}-{release}.public").read_text().splitlines()]
        assert len(answers) > 20 and {status for _body, _space, status in answers} == {"200"}, (release, answers)
        assert {json.loads(body)["release"] for body, _space, _status in answers} == shown


@pytest.mark.parametrize("application", ["django", "image"])
def test_a_release_that_is_taken_back_makes_way_for_the_one_that_it_replaced(application):
    if application not in turns()["back"]:
        pytest.skip(WAITS)
    answers = [line.rpartition(" ") for line in (WORK / "artefacts" / f"{application}-back.public").read_text().splitlines()]
    served = [json.loads(body)["release"] for body, _space, status in answers if status == "200"]
    assert [release for release, _same in itertools.groupby(served)] == ["zero", "one", "zero"]
    seen = (WORK / "artefacts" / f"{application}-back.seen").read_text().splitlines()
    compose = application == "image" and forms()["zero"] == "compose"
    assert set(seen[:2]) == ({"ActiveState=inactive", "WantedBy="} if compose else {"ActiveState=active", "WantedBy=multi-user.target"})
    if application == "image":
        digest = (WORK / "artefacts" / "site" / "images" / "zero" / "digest").read_text()
        assert seen[2:] == [f"library-zero running {'unless-stopped' if compose else 'no'} {digest.removeprefix('sha256:')}"]


def test_code_goes_back_and_data_stays():
    # What release two added stands: release one lives with it, and taking it back is nobody's but the operator's.
    for database in ("library_django", "library_image"):
        django = query(database, "SELECT name FROM django_migrations WHERE app = 'loans' ORDER BY id")
        assert [name[:4] for name in django] == ["0001", "0002", "0003", "0004", "0005", "0006"]
    node = query("library_node", "SELECT name FROM knex_migrations ORDER BY id")
    assert len(node) == 5 and node[-1] == "20260414103000_one_copy_each.js"


@pytest.mark.parametrize("application", MACHINES)
def test_the_journal_tells_of_the_success_of_one_and_the_way_back_of_two(events, application):
    def outcomes(release):
        return [event["facts"]["outcome"] for event in events(application, release) if event["verb"] == "end"]
    assert outcomes("one")[0] == "ok" and outcomes("two") == ["rolled_back"]
    failed = [event for event in events(application, "two") if event["status"] == "failed"]
    assert "1 tests failed" in failed[0]["facts"]["error"]["message"]
    back = {event["host"] for event in events(application, "two") if event["verb"] == "rollback" and event["status"] == "ok"}
    assert set(MACHINES[application]) <= back


def test_no_password_is_in_journal_report_or_scratch(tmp_path):
    secrets = json.loads((WORK / "artefacts" / "secrets.json").read_text(encoding="utf-8"))
    for name in ("mover", "web", "box", "app1", "app2"):
        # A restore point is the environment file of before, for root alone: what a way back brings back.
        packed = machine(name).run("tar -C / --exclude='*/snapshots/*' --ignore-failed-read -czf - var/lib/dihya-migration root/.ansible"
                                   " 2>/dev/null | base64 -w 0")
        (tmp_path / f"{name}.b64").write_text(packed.stdout, encoding="ascii")
    assert find_secrets([tmp_path, WORK / "artefacts" / "reports"], secrets) == []
