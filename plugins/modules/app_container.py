#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run an application's image, pinned by digest, in podman or by Docker Compose."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_container
short_description: Fetch, start, stop and bring back the container of an application
description:
  - Runs an image that is already built in podman or by Docker Compose, with the network of its host. The image is named by digest,
    and what runs is what that digest proves, a tag is refused.
  - The record file also keeps what ran before, its image and its unit, so that O(state=reverted) brings exactly that back.
  - Secrets come from O(env_file) and are kept as secrets of podman (readable by the owner of podman's storage only), one a
    variable. They never are arguments of a command. C(podman inspect) shows names and, to who may control podman on this host, values
    of variables inside the container, as C(/proc/PID/environ) does. With O(form=compose) they stand in two files of Compose beside
    O(record_file), mode 0600, one for the application and one for its tools; docker alone keeps no secrets.
extends_documentation_fragment: [dihya.migration.app, dihya.migration.app.serving]
options:
  state:
    description:
      - V(present) brings the image to this host, from O(archive) or from its registry, and proves its digest. With O(name) it also
        stores the secrets, and returns how a tool is run inside the image.
      - V(started) runs it; a container with another image, command or content of O(env_file) is replaced.
      - V(stopped) ends it and its tools; it no longer starts with the machine. Its record stays.
      - V(resumed) starts it as it was when V(stopped) has ended it, and lets it start with the machine.
      - V(reverted) removes it and its secrets, and starts again what it replaced.
      - V(enabled) lets it start with the machine.
      - V(observed) changes nothing and says whether it runs.
    type: str
    choices: [present, started, stopped, resumed, reverted, enabled, observed]
    default: observed
  record_file:
    description: Path of the 0600 record of the container; what podman printed is kept beside it.
    type: path
    required: true
  name:
    description:
      - Name of the container, best with the release in it. Required for O(state=started).
      - With O(state=stopped), O(state=reverted) and O(state=enabled), a recorded container of another name is left alone.
    type: str
  service:
    description: Name of the systemd unit, O(name) by default.
    type: str
  form:
    description:
      - V(quadlet) installs a unit of systemd that podman 4.6 and later generates from C(/etc/containers/systemd); needs root.
      - V(podman) starts it without systemd. Podman itself starts it again after a failure, nobody does after a restart of the machine.
      - V(compose) makes it the one service of a project of Docker Compose. The daemon starts it again after a failure, and with itself
        from O(state=enabled) on. What it printed is copied to O(log_file) when it stops and when M(dihya.migration.run_checks) searches it.
      - A container is always stopped and brought back in the form in which it was started.
    type: str
    choices: [quadlet, podman, compose]
    default: quadlet
  image:
    description:
      - The image as C(NAME@sha256:…). The digest is that of its manifest or its id.
      - Required for O(state=present) and O(state=started).
    type: str
  archive:
    description: Path of an archive (C(podman save)) on this host that holds the image; without it the registry is asked.
    type: path
  timeout:
    description: Seconds in which the image must be here.
    type: float
    default: 1800
  command:
    description: Arguments for the image's entry point in place of its own. Never put a secret here, other users see it.
    type: list
    elements: str
  user:
    description: User inside the container, that of the image by default.
    type: str
  volumes:
    description: Volumes as C(HOST:CONTAINER[:OPTIONS]); of options, V(compose) takes C(ro) and C(rw).
    type: list
    elements: str
    default: []
  environment:
    description: Additional variables that are no secrets.
    type: dict
    default: {}
  env_file:
    description: Path of a file of C(KEY=VALUE) lines, mode 0600; its values are secrets and appear nowhere.
    type: path
  log_file:
    description:
      - Path of the file to which the application's output is appended, each line after C(TIME STREAM F).
      - Required for O(state=started).
    type: path
  health_url:
    description: Address that answers 200, three times in a row, when the application serves.
    type: str
  stop_timeout:
    description: Seconds between TERM and KILL.
    type: float
    default: 15
requirements:
  - podman 4.0, or 4.6 for O(form=quadlet)
  - docker with Compose 2.20 for O(form=compose)
"""

EXAMPLES = r"""
- name: Bring the image here, before the freeze
  dihya.migration.app_container:
    state: present
    image: registry.example.org/shop/api@sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a
    record_file: /srv/api/shared/run/container.json

- name: Start it
  dihya.migration.app_container:
    state: started
    name: api-2026-11-28
    service: api
    image: registry.example.org/shop/api@sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a
    env_file: /srv/api/shared/.env
    record_file: /srv/api/shared/run/container.json
    log_file: /srv/api/shared/log/api.log
    health_url: http://127.0.0.1:8000/health

- name: Bring back what ran before
  dihya.migration.app_container:
    state: reverted
    name: api-2026-11-28
    record_file: /srv/api/shared/run/container.json
"""

RETURN = r"""
msg:
  description: Why something was done or not.
  returned: always
  type: str
running:
  description: Whether the recorded container runs, from the recorded image.
  returned: success, except with O(state=present)
  type: bool
name:
  description: Name of the recorded container, empty when there is none.
  returned: success, except with O(state=present)
  type: str
image_id:
  description: Id of the image.
  returned: success
  type: str
inside:
  description:
    - The first arguments of a command that runs a tool inside the image.
    - Further options of podman or Compose, RV(inside_of) and the tool follow.
  returned: with O(state=present) and O(name)
  type: list
  elements: str
inside_of:
  description: Where the tool runs, for podman the image, for Compose the service.
  returned: with O(state=present) and O(name)
  type: str
port:
  description: Who listens on O(port), one of V(free), V(own), V(foreign).
  returned: when O(port) is given
  type: str
log_file:
  description: Where its output is.
  returned: success, except with O(state=present)
  type: str
log_offset:
  description: Size of that file in bytes when the container was started.
  returned: success, except with O(state=present)
  type: int
health:
  description: The last answer of O(health_url), without its body.
  returned: when a container was made or found healthy
  type: dict
journal:
  description: Facts for the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.contain import contain
from ansible_collections.dihya.migration.plugins.module_utils._app.container_plan import FORMS, STATES
from ansible_collections.dihya.migration.plugins.module_utils._app.process import SERVING_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

ARGUMENTS = {
    **SERVING_SPEC,
    "state": {"type": "str", "choices": list(STATES), "default": "observed"},
    "record_file": {"type": "path", "required": True, "no_log": False},
    "name": {"type": "str"},
    "service": {"type": "str"},
    "form": {"type": "str", "choices": list(FORMS), "default": "quadlet"},
    "image": {"type": "str"},
    "archive": {"type": "path"},
    "timeout": {"type": "float", "default": 1800},
    "command": {"type": "list", "elements": "str"},
    "user": {"type": "str"},
    "volumes": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
    "env_file": {"type": "path"},
    "log_file": {"type": "path"},
    "stop_timeout": {"type": "float", "default": 15},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "present", ("image",)), ("state", "started", ("name", "image", "log_file"))],
    )
    try:
        result = contain(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
