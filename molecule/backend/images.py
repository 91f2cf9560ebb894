# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes, from what ``artefacts.py`` put into the directory given, an image of each release of the library in Django.

Below ``site/images``, by release: ``image.tar``, in a directory of its own as every archive of an image, and its ``digest``.
"""

from __future__ import annotations

import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.support.images import podman, python_image

RECIPE = """FROM {base}
COPY django-packages /packages
COPY django/{release} /application
WORKDIR /application
ENTRYPOINT ["python", "-m", "gunicorn"]
"""


def main() -> None:
    """Make them anew."""
    work = pathlib.Path(sys.argv[1])
    site = work / "site"
    base = python_image(work / "image", ("psycopg2-binary",))
    context = work / "context"
    shutil.rmtree(context, ignore_errors=True)
    # The driver is the base's own: this one is for Debian's Python.
    shutil.copytree(site / "django-packages", context / "django-packages", ignore=shutil.ignore_patterns("psycopg2*", "bin"))
    shutil.copytree(site / "django", context / "django")
    for release in ("zero", "one", "two"):
        (context / "Containerfile").write_text(RECIPE.format(base=base, release=release), encoding="ascii")
        tag = f"localhost/dihya-test-library:{release}"
        podman("build", "--quiet", "--isolation=chroot", f"--tag={tag}", str(context))
        place = site / "images" / release
        place.mkdir(parents=True, mode=0o755)
        podman("save", "--quiet", f"--output={place / 'image.tar'}", tag)
        (place / "digest").write_text("sha256:" + podman("image", "inspect", "--format={{.Id}}", tag), encoding="ascii")
        podman("rmi", tag)


if __name__ == "__main__":
    main()
