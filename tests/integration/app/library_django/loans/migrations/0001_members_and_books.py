# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Members and books."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first tables."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Member", [
            ("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=200)),
            ("email", models.EmailField(max_length=254)),
        ]),
        migrations.CreateModel("Book", [
            ("id", models.BigAutoField(primary_key=True)), ("title", models.CharField(max_length=300)),
            ("isbn", models.CharField(max_length=13, unique=True)),
        ]),
    ]
