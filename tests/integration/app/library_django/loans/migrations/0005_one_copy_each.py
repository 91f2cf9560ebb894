# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A member has one copy of a title at a time."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A partial unique index."""

    dependencies = [("loans", "0004_language_of_names")]
    operations = [migrations.AddConstraint("Loan", models.UniqueConstraint(
        fields=["member", "book"], condition=models.Q(back=None), name="one_copy_each"))]
