# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The language to write in, and one member an address."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """New column, narrower column."""

    dependencies = [("loans", "0002_loans")]
    operations = [
        migrations.AddField("Member", "language", models.CharField(default="fr", max_length=3)),
        migrations.AlterField("Member", "email", models.EmailField(max_length=254, unique=True)),
    ]
