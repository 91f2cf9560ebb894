# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``mobile_info``: reads what it is asked to read, and returns everything that stands against publishing at once."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._mobile import judge, reading, translations
from ansible_collections.dihya.migration.plugins.module_utils._mobile.packages import read_package
from ansible_collections.dihya.migration.plugins.module_utils._mobile.repository import read_repository, read_tree

Options = dict[str, Any]
ROOM = 300  # of a summary, in characters
PACKAGE, REPOSITORY, PUBLISHED = "mobile_apk", "mobile_source_path", "mobile_published_apk"


class Looked:
    """What was found, by check; a check without a finding has passed."""

    def __init__(self) -> None:
        self.checks: dict[str, list[Finding]] = {}

    def add(self, check: str, findings: list[Finding]) -> None:
        """Note the findings of a check, none when it passed."""
        self.checks.setdefault(check, []).extend(findings)

    def read(self, check: str, subject: str, read: Callable[[], dict[str, Any]], remedy: str) -> dict[str, Any] | None:
        """The facts that ``read`` returns, None with a finding when it cannot."""
        try:
            return read()
        except MigrationError as error:
            self.add(check, [finding(subject, error.message, remedy)])
            return None

    def findings(self) -> list[Finding]:
        """All findings, in the order of the checks."""
        return [item for found in self.checks.values() for item in found]

    def tests(self) -> list[dict[str, Any]]:
        """The checks as tests of the journal."""
        return [
            {"name": name, "verdict": "failed" if found else "passed", "passed": int(not found), "failed": len(found), "skipped": 0}
            for name, found in self.checks.items()
        ]


def info(options: Options) -> dict[str, Any]:
    """Read and compare what ``options`` of the module name. Raises nothing for what it finds."""
    looked = Looked()
    _programs(options, looked)
    _secrets(options, looked)
    asked = options["translations"]
    if asked:
        looked.add("translations", translations.check(asked["subject"], asked["directory"], asked["template"], asked["languages"]))
    package = published = repository = None
    planned = _planned(options)
    if options["package"]:
        package = looked.read("package", options["subject"], lambda: read_package(options["package"]), "give the path of a signed package")
    if options["repository"]:
        repository = looked.read(
            "repository", REPOSITORY,
            lambda: read_repository(options["repository"], options["application"] or "", options["verify_signature"]),
            "correct the path: it is the directory that clients fetch index-v1.jar from")
    if options["published_package"]:
        published = looked.read("published package", PUBLISHED, lambda: read_package(options["published_package"]), "correct the path")
    if repository is not None and "listed" not in options["compare"]:
        looked.add("repository", judge.sound(REPOSITORY, repository))
    if package is not None:
        looked.add("signature", judge.identity(options["subject"], package, options["application"] or ""))
        if planned is not None:
            looked.add("planned version", judge.planned(options["subject"], package["version_code"], planned))
    if "update" in options["compare"]:
        _update(options, looked, package, published or options["published"], planned)
    if "listed" in options["compare"] and package is not None and repository is not None:
        looked.add("index", judge.listed("mobile_fdroid_path", package, repository, options["repository_certificate"] or "")
                   + judge.kept("mobile_fdroid_path", repository, options["before"]))
    tree = read_tree(options["tree"]) if options["tree"] else None
    if tree and tree["staged_sha256"] not in ("", tree["tree_sha256"]):
        looked.add("tree", [finding(options["tree"], "it is no longer what was staged", "run the rollback, then the migration again")])
    return _result(looked, package, published, repository, tree)


def _programs(options: Options, looked: Looked) -> None:
    for item in options["programs"]:
        path = item["name"] if "/" in item["name"] else shutil.which(item["name"])
        if not path or not os.access(path, os.X_OK):
            text = f"the program {item['name']} cannot be executed on this host"
            looked.add("programs", [finding(item["subject"], text, item["remedy"])])


def _secrets(options: Options, looked: Looked) -> None:
    for item in options["secret_files"]:
        looked.add("secrets", secret_problems(item["subject"], item["path"]))
    base = options["fdroid_path"]
    if not base:
        return
    config = os.path.join(base, "config.yml")
    found = secret_problems("mobile_fdroid_path", config)
    if not found:
        with open(config, encoding="utf-8", errors="replace") as stream:
            found = config_problems(stream.read(), base)
    if options["application"] and not os.path.isfile(os.path.join(base, "metadata", f"{options['application']}.yml")):
        text = f"metadata/{options['application']}.yml is missing: the index would leave the application out"
        found.append(finding("mobile_fdroid_path", text, "write it, or let fdroid update --create-metadata write it once"))
    looked.add("fdroidserver", found)


def secret_problems(subject: str, path: str) -> list[Finding]:
    """Findings about a file that holds a secret: this user reads it, and nobody but its owner does."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = 0
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        return [finding(subject, f"{path} is no readable file on this host", "correct the path, or give the user read permission")]
    if mode & 0o077:
        return [finding(subject, f"{path} can be read by others", f"chmod 600 {path}")]
    return []


def config_problems(config: str, base: str) -> list[Finding]:
    """Findings about the text of fdroidserver's ``config.yml`` in the directory ``base``."""
    found = []
    keystore = reading.setting(config, "keystore")
    if not keystore or not reading.setting(config, "repo_keyalias"):
        found.append(finding("mobile_fdroid_path", "config.yml names no keystore or no repo_keyalias: the index could not be signed",
                             "set both, they are those of the published repository"))
    elif keystore != "NONE":
        found += secret_problems("mobile_fdroid_path", os.path.join(base, keystore))
    if reading.setting(config, "archive_older") not in ("", "0"):
        found.append(finding("mobile_fdroid_path", "config.yml moves older versions to an archive: a rollback could not offer them",
                             "set archive_older: 0 while the migration lasts"))
    return found


def _update(options: Options, looked: Looked, package: dict[str, Any] | None, published: dict[str, Any] | None,
            planned: tuple[str, int] | None) -> None:
    if not published:
        if not options["first_publication"]:
            looked.add("published version", [finding(PUBLISHED, "there is no published version to compare with",
                                                     "name it, or set mobile_first_publication to true")])
        return
    if package is not None:
        looked.add("certificate", judge.certificate(options["subject"], package, published))
        looked.add("version code", judge.version(options["subject"], package["version_code"], published))
        looked.add("permissions", judge.permissions(options["subject"], package, published, options["allowed_permissions"]))
    elif planned is not None:
        looked.add("version code", judge.version("mobile_project", planned[1], published))


def _planned(options: Options) -> tuple[str, int] | None:
    try:
        with open(options["pubspec"] or "", encoding="utf-8", errors="replace") as stream:
            return reading.planned_version(stream.read())
    except OSError:
        return None


def _told(findings: list[Finding]) -> str:
    """The findings in one line, as many as it holds whole: what is cut could not be said in the reader's language."""
    lines = [f"{row['subject']}: {row['finding']}" for row in findings]
    while True:
        line = f"{len(findings)} things must be corrected: {'; '.join(lines)}"
        if len(line) <= ROOM or len(lines) == 1:
            return line
        lines.pop()


def _result(looked: Looked, package: Any, published: Any, repository: Any, tree: Any) -> dict[str, Any]:
    findings = looked.findings()
    good = f"{len(looked.checks)} checks passed"
    if package is not None:
        good = f"{package['application']} {package['version_name']} ({package['version_code']}), {good}"
    summary = cut(_told(findings) if findings else good)
    journal: dict[str, Any] = {"summary": summary, "changed": False}
    if looked.checks:
        journal["tests"] = looked.tests()
    if package is not None:
        journal["versions"] = {"package": f"{package['version_name']} ({package['version_code']})"[:300]}
        journal["digests"] = {"package": package["sha256"]}
        if package["certificates"]:
            journal["digests"]["certificate"] = package["certificates"][0]
    if repository is not None:
        journal.setdefault("digests", {})["repository"] = repository["tree_sha256"]
        if repository["certificate"]:
            journal["digests"]["repository_certificate"] = repository["certificate"]
    if tree is not None and tree["tree_sha256"]:
        journal.setdefault("digests", {})["tree"] = tree["tree_sha256"]
    if findings:
        first = findings[0]
        journal["error"] = {"message": summary, "subject": first["subject"][:300], "remedy": cut(first["remedy"])}
    return {"changed": False, "msg": summary, "findings": findings, "package": package, "published": published, "repository": repository,
            "tree": tree, "journal": journal}
