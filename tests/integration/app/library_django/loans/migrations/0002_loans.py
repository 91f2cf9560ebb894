# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loans."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The table between the two."""

    dependencies = [("loans", "0001_members_and_books")]
    operations = [
        migrations.CreateModel("Loan", [
            ("id", models.BigAutoField(primary_key=True)),
            ("member", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="loans.member")),
            ("book", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="loans.book")),
            ("since", models.DateField()), ("back", models.DateField(null=True)),
        ]),
    ]
