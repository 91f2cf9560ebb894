# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands against publishing a package; pure: facts in, findings out.

Facts of a package are those of :func:`packages.read_package`, facts of a published one at least ``version_code``,
``certificates`` and ``permissions``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding

Facts = Mapping[str, Any]


def identity(subject: str, package: Facts, application: str) -> list[Finding]:
    """It is the application meant, signed, and no debug build."""
    found = []
    if application and package["application"] != application:
        text = f"it is {package['application']}, not {application}"
        found.append(finding(subject, text, "correct mobile_application, or give the right package"))
    if not package["certificates"]:
        remedy = "sign it with the key of the published version, and change nothing afterwards"
        found.append(finding(subject, "its signature does not verify", remedy))
    if package["debuggable"]:
        found.append(finding(subject, "it is a debug build", "build it with --release"))
    return found


def certificate(subject: str, package: Facts, published: Facts) -> list[Finding]:
    """Devices refuse an update that is signed by somebody else."""
    if not package["certificates"] or list(package["certificates"]) == list(published["certificates"]):
        return []
    shown = [", ".join(digest[:16] for digest in facts["certificates"]) or "none" for facts in (package, published)]
    return [finding(subject, f"its certificate {shown[0]}… is not the published one {shown[1]}…: devices would refuse the update",
                    "sign it with the key of the published version")]


def version(subject: str, version_code: int, published: Facts) -> list[Finding]:
    """Devices refuse an update whose version code is not greater."""
    if version_code > published["version_code"]:
        return []
    return [finding(subject, f"its version code {version_code} is not greater than the published {published['version_code']}",
                    f"raise it to at least {published['version_code'] + 1} (version: NAME+CODE in pubspec.yaml) and build again")]


def planned(subject: str, version_code: int, pubspec: tuple[str, int]) -> list[Finding]:
    """A build that ended well and did not make the version that was planned has made something else."""
    if version_code == pubspec[1]:
        return []
    return [finding(subject, f"its version code is {version_code}, and pubspec.yaml plans {pubspec[1]} ({pubspec[0]})",
                    "build anew after flutter clean; where another file sets it, name it in mobile_build_arguments (--build-number=CODE)")]


def permissions(subject: str, package: Facts, published: Facts, allowed: Sequence[str]) -> list[Finding]:
    """A permission that the published version does not have must be wanted by name."""
    new = sorted(set(package["permissions"]) - set(published["permissions"]) - set(allowed))
    if not new:
        return []
    remedy = "remove them, or allow each by name in mobile_allowed_permissions"
    return [finding(subject, f"it asks for new permissions: {', '.join(new)}", remedy)]


def sound(subject: str, repository: Facts) -> list[Finding]:
    """A repository that is there already: its indexes, signatures (where they were verified) and files belong together."""
    remedy = "mend the published repository first (fdroid update), so that a rollback has something to come back to"
    return [finding(subject, problem, remedy) for problem in repository["problems"]]


def listed(subject: str, package: Facts, repository: Facts, expected_certificate: str) -> list[Finding]:
    """The repository's index is signed, by the key that clients know, and lists exactly this package."""
    remedy = "run the migration again, or correct fdroidserver's config.yml"
    found = [finding(subject, problem, remedy) for problem in repository["problems"]]
    if not repository["certificate"]:
        found.append(finding(subject, "its index is not signed", "correct keystore and repo_keyalias in fdroidserver's config.yml"))
    elif expected_certificate and repository["certificate"] != expected_certificate:
        found.append(finding(subject, "its index is not signed with the key of the published repository: clients would refuse it",
                             "use the published repository's keystore and repo_keyalias"))
    entry = next((row for row in repository["versions"] if row["version_code"] == package["version_code"]), None)
    if entry is None:
        found.append(finding(subject, f"its index does not list version code {package['version_code']}",
                             f"fdroidserver needs metadata/{package['application']}.yml; read its log"))
    elif entry["sha256"] != package["sha256"] or list(entry["certificates"]) != list(package["certificates"]):
        found.append(finding(subject, "its index lists another package under this version code", "remove the other package and run again"))
    return found


def kept(subject: str, repository: Facts, before: Sequence[Facts]) -> list[Finding]:
    """Versions that the published repository offers stay: clients may be fetching them."""
    gone = sorted({row["version_code"] for row in before} - {row["version_code"] for row in repository["versions"]})
    if not gone:
        return []
    text = f"its index no longer lists version code {', '.join(map(str, gone))}"
    return [finding(subject, text, "set archive_older: 0 in fdroidserver's config.yml")]
