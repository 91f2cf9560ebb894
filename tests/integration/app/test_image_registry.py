# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module app_container and a real registry: what the digest names is pulled, whatever became of the tag, and nothing else."""

from __future__ import annotations

import pathlib
import subprocess
import time
import urllib.request

import pytest

from tests.support.images import CONFIGURATION, podman
from tests.support.needs import require_podman, require_program


@pytest.fixture
def registry(tmp_path, free_port, monkeypatch):
    """The address of an empty registry on loopback that podman may reach without TLS."""
    require_podman()
    program, address = require_program("docker-registry"), f"127.0.0.1:{free_port()}"
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}}}\nhttp: {{addr: '{address}'}}\n")
    (tmp_path / "registries.conf").write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_CONF", CONFIGURATION)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    with (tmp_path / "registry.log").open("wb") as log:
        server = subprocess.Popen([program, "serve", str(tmp_path / "registry.yml")], stdout=log, stderr=log)
    try:
        for _attempt in range(100):
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait()


def pushed(root: pathlib.Path, tag: str, release: str) -> tuple[str, str]:
    """Push an image that holds ``release`` as ``tag``: the digest that the registry tells, and the image's id. It is not kept here."""
    (root / "release").write_text(release)
    (root / "Containerfile").write_text("FROM scratch\nCOPY release /release\n")
    podman("build", "--quiet", "--isolation=chroot", f"--tag={tag}", f"--file={root / 'Containerfile'}", str(root))
    made = podman("image", "inspect", "--format={{.Id}}", tag)
    podman("push", "--quiet", f"--digestfile={root / 'digest'}", tag)
    podman("rmi", tag)
    return (root / "digest").read_text(), made


def test_what_the_digest_names_is_pulled_from_its_registry_whatever_became_of_the_tag(registry, tmp_path, run_module):
    name = f"{registry}/shop/api"
    one, image = pushed(tmp_path, f"{name}:live", "one")
    two, other = pushed(tmp_path, f"{name}:live", "two")
    assert one != two and image != other

    def present(digest, check_mode=False):
        return run_module("app_container", check_mode, state="present", form="podman", image=f"{name}@{digest}",
                          record_file=str(tmp_path / "run" / "container.json"))
    try:
        assert present(one, True)["changed"] and not podman("images", "--quiet", name)
        pulled = present(one)
        assert pulled["changed"] and pulled["image_id"] == image and pulled["journal"]["versions"] == {"image": one}
        assert not present(one)["changed"]
        refused = present("sha256:" + "0" * 64)
        assert refused["failed"] and "podman-pull.log" in refused["msg"]
    finally:
        podman("rmi", "--force", image, check=False)
