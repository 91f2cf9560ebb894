# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight says of a host that is to run an image by Compose; a script stands in for docker."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look

DOCKER = """#!/bin/sh
case "$1" in
  compose) [ -n '{version}' ] || {{ echo 'docker: unknown command: docker compose' >&2; exit 1; }}; echo '{version}' ;;
  info) [ -n '{storage}' ] || {{ echo 'Cannot connect to the Docker daemon' >&2; exit 1; }}; echo '{storage}' ;;
  images) echo '{{"ID": "sha256:{image}", "Digest": "<none>"}}' ;;
esac
"""


def look(made: str | None = None, size: int = 0) -> Look:
    return Look("compose", "backend_container_form", "compose", [], size, None, None, {}, made=made)


@pytest.mark.parametrize(("version", "storage", "finding", "remedy"), [
    (None, "", "docker is not installed on this host", "install docker and Docker Compose 2"),
    ("", "/", "docker has no Compose on this host", "install Docker Compose 2.20 or later"),
    ("1.29.2", "/", "Docker Compose 1.29 is too old", "install Docker Compose 2.20 or later"),
    ("v2.20.0", "", "no daemon of docker answers this user", "run `docker info`"),
    ("2.40.3-3", "/no/such", "docker's daemon keeps its images elsewhere than on this host", "DOCKER_HOST"),
])
def test_what_keeps_compose_from_running_an_image_is_named_with_its_remedy(tmp_path, monkeypatch, version, storage, finding, remedy):
    monkeypatch.setenv("PATH", str(tmp_path))
    if version is not None:
        (tmp_path / "docker").write_text(DOCKER.format(version=version, storage=storage, image=""))
        (tmp_path / "docker").chmod(0o755)
    [found] = inspect([look()])
    assert found["finding"] == finding and remedy in found["remedy"] and found["blocking"]


def test_an_image_that_docker_has_already_is_known_by_its_id_and_room_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "docker").write_text(DOCKER.format(version="2.20.0", storage=tmp_path, image="a" * 64))
    (tmp_path / "docker").chmod(0o755)
    seen = look(f"api@sha256:{'a' * 64}")
    assert inspect([seen]) == [] and seen.facts["made"] is True and seen.facts["compose"] == "2.20"
    [found] = inspect([look(size=1 << 60)])
    assert "MiB are free for images" in found["finding"]
