# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does every variable that somebody set take effect? Pure: variables in, findings out.

What is set and silently passed over is believed to hold: a colour without the strategy that knows colours, a user whom
nothing runs as.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding

# Variables that count only where another one, the first, has one of these values; True and False: where it is set, or not.
NEEDS: tuple[tuple[str, tuple[Any, ...], tuple[str, ...]], ...] = (
    ("backend_strategy", ("blue_green",), (
        "backend_colour", "backend_live_colour", "backend_live_port", "backend_proxy", "backend_proxy_file", "backend_proxy_name",
        "backend_proxy_config", "backend_proxy_pid_file", "backend_proxy_admin", "backend_proxy_test_command",
        "backend_proxy_reload_command", "backend_proxy_probes")),
    ("backend_strategy", ("rolling",), (
        "backend_balancer", "backend_balancer_socket", "backend_balancer_pool", "backend_balancer_server")),
    ("backend_strategy", ("blue_green", "rolling"), ("backend_drain_timeout",)),
    ("backend_runtime", ("container",), (
        "backend_image", "backend_image_archive", "backend_image_timeout", "backend_container_form", "backend_container_volumes")),
    ("backend_runtime", ("process", "systemd"), (
        "backend_release_path", "backend_shared", "backend_requirements", "backend_python", "backend_venv", "backend_node_dir",
        "backend_keep_failed")),
    ("backend_runtime", ("systemd", "container"), ("backend_user", "backend_service")),
    ("frontend_bucket", (True,), ("frontend_bucket_public", "frontend_bucket_remove_others")),
    ("mobile_distribution", ("fdroid",), (
        "mobile_source_path", "mobile_fdroid_path", "mobile_fdroid_command", "mobile_fdroid_timeout")),
    ("mobile_distribution", ("fdroid", "files"), ("mobile_path", "mobile_url", "mobile_ca")),
    ("mobile_distribution", ("play",), ("mobile_upload_command", "mobile_upload_undo_command", "mobile_upload_timeout")),
    ("mobile_apk", (False,), ("mobile_build_arguments", "mobile_build_output", "mobile_build_timeout", "mobile_signing")),
)
# What the mover and the target hosts must be told alike, or one prepares what the others do not do; these values count as one.
AGREED: dict[str, tuple[str, ...]] = {"backend_strategy": (), "backend_runtime": ("process", "systemd")}


def check_effect(options: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any], host: str) -> list[Finding]:
    """Findings about the variables in ``given``, those that somebody set for ``host``, that do nothing beside the others.

    ``options`` are those of one role in ``argument_specs.yml``. A variable that is empty or has its default is no finding.
    """
    found = []
    for decider, values, names in NEEDS:
        if decider not in options:
            continue
        default = options[decider].get("default")
        value = given.get(decider, default)
        by_presence = isinstance(values[0], bool)
        if (bool(value) if by_presence else value) in values or not by_presence and value not in options[decider]["choices"]:
            continue
        state = ("is set" if value else "is not set") if by_presence else f"is {value}"
        remedy = ("set" if values[0] else "leave out") + f" {decider}" if by_presence else f"set {decider} to {' or '.join(values)}"
        found += [finding(f"{name} ({host})", f"has no effect while {decider} {state}", f"remove it, or {remedy}")
                  for name in names if given.get(name) and given[name] != options[name].get("default")]
    return found


def check_agreement(options: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Findings about what ``given``, the variables of the mover and of the target hosts, by host, says differently."""
    found = []
    for name, alike in AGREED.items():
        told = [variables.get(name, options[name].get("default")) for variables in given.values() if name in options]
        if len({alike if value in alike else value for value in told}) > 1:
            found.append(finding(f"{name} ({', '.join(sorted(given))})", "is not the same on the mover and on all target hosts",
                                 "set it once, in group_vars/all"))
    return found
