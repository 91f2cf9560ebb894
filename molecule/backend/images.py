# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes, from what ``artefacts.py`` put into the directory given, an image of each release of the library in Django.

Below ``site/images``, by release: ``image.tar``, in a directory of its own as every archive of an image, and its ``digest``.
"""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.support.images import podman, python_image

RECIPE = """FROM {base}
COPY . /application
WORKDIR /application
ENTRYPOINT ["python", "-m", "gunicorn"]
"""


def main() -> None:
    """Make them anew."""
    work = pathlib.Path(sys.argv[1])
    site = work / "site"
    # Packages are in the base, once; its driver of the database is for its own Python, the other one for Debian's.
    base = python_image(work / "image", ("psycopg2-binary",), site / "django-packages")
    recipe = work / "Containerfile"
    recipe.write_text(RECIPE.format(base=base), encoding="ascii")
    for release in ("zero", "one", "two"):
        tag = f"localhost/dihya-test-library:{release}"
        podman("build", "--quiet", "--isolation=chroot", f"--tag={tag}", f"--file={recipe}", str(site / "django" / release))
        place = site / "images" / release
        place.mkdir(parents=True, mode=0o755)
        podman("save", "--quiet", f"--output={place / 'image.tar'}", tag)
        (place / "digest").write_text("sha256:" + podman("image", "inspect", "--format={{.Id}}", tag), encoding="ascii")
        podman("rmi", tag)


if __name__ == "__main__":
    main()
