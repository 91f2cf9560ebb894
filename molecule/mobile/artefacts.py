# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts together, in the directory given, what the machines of this scenario start from: real packages, keys and repositories.

``shop`` is for the mover, ``repo`` is the repository that the old machine publishes, with version code 7.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.support.packages import APPLICATION, Workshop, publish

PLACE = pathlib.Path("/srv/shop")
RSA = ("RSA", "-keysize", "2048")


def main() -> None:
    """Make everything anew."""
    root = pathlib.Path(sys.argv[1])
    for name in ("shop", "repo"):
        shutil.rmtree(root / name, ignore_errors=True)
    shop = root / "shop"
    shop.mkdir(parents=True, mode=0o700)
    workshop = Workshop(shop)
    owner = workshop.keystore("owner")
    old = workshop.apk("seven", 7, owner)
    for code, name in ((8, "eight"), (9, "nine")):
        workshop.apk(name, code, owner)
    for name in ("fdroid", "strange"):
        base = workshop.fdroid(name, workshop.keystore(f"{name}-key", RSA))
        if name == "fdroid":
            published = publish(base, (f"{APPLICATION}_7.apk", old))
            shutil.move(published, root / "repo")
            shutil.rmtree(base)
            base = workshop.fdroid(name, shop / f"{name}-key.p12")
        settings = (base / "config.yml").read_text(encoding="utf-8")
        (base / "config.yml").write_text(settings.replace(str(shop), str(PLACE)), encoding="utf-8")
    workshop.flutter()
    project = shop / "project"
    messages = project / "lib" / "l10n"
    messages.mkdir(parents=True)
    (project / "pubspec.yaml").write_text("name: shop\nversion: 1.8.0+8\n", encoding="utf-8")
    (project / "key.properties").write_text("storePassword=canary-of-the-project\n", encoding="utf-8")
    shutil.copy(owner, project / "upload.jks")
    for language, text in {"en": "{count} books", "fr": "{count} livres", "ar": "{count} كتب", "tzm": "{count} ⵉⴷⵍⵉⵙⵏ"}.items():
        (messages / f"app_{language}.arb").write_text(json.dumps({"@@locale": language, "books": text}), encoding="utf-8")


main()
