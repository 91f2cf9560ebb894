# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Members get the language of the script in which their name is written."""

from __future__ import annotations

from django.db import migrations


def language_of(name: str) -> str:
    """By the first letter: Arabic, Tifinagh, else French."""
    first = ord(name[0])
    return "ar" if 0x0600 <= first <= 0x06FF else "tzm" if 0x2D30 <= first <= 0x2D7F else "fr"


def fill(apps, _schema_editor) -> None:
    """A data migration: row by row."""
    for member in apps.get_model("loans", "Member").objects.iterator():
        member.language = language_of(member.name)
        member.save(update_fields=["language"])


class Migration(migrations.Migration):
    """Data only."""

    dependencies = [("loans", "0003_language")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
