# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds, below the directory given, both releases of the demo's React page, and one with another page in front of it."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> None:
    """Make everything anew."""
    work = pathlib.Path(sys.argv[1])
    os.environ["DEMO_STATE"] = str(work / "sources")
    sys.path.insert(0, str(ROOT))
    from demo import releases

    releases.assemble()
    # A name with letters and a size that matter on the way from machine to machine.
    public = releases.SOURCE / "frontend-2.0" / "public"
    public.mkdir()
    (public / "ⴰⵡⴰⵍ-été.bin").write_bytes(os.urandom(4 << 20))
    for release, source in (("first", "frontend-1.0"), ("second", "frontend-2.0")):
        shutil.copytree(releases.build_page(releases.SOURCE / source), work / release, dirs_exist_ok=True)
    shutil.copytree(work / "second", work / "bad", dirs_exist_ok=True)
    (work / "bad" / "index.html").write_text("<title>something went wrong</title>\n", encoding="utf-8")
    shutil.rmtree(work / "sources")


if __name__ == "__main__":
    main()
