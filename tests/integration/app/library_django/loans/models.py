# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from django.db import models


class Member(models.Model):
    """Somebody who borrows; ``language`` is the one to write in."""

    name = models.CharField(max_length=200)
    email = models.EmailField(unique=True)
    language = models.CharField(max_length=3, default="fr")


class Book(models.Model):
    """A title with its copies."""

    title = models.CharField(max_length=300)
    isbn = models.CharField(max_length=13, unique=True)


class Loan(models.Model):
    """A book in a member's hands; ``back`` empty until it is returned."""

    member = models.ForeignKey(Member, models.PROTECT)
    book = models.ForeignKey(Book, models.PROTECT)
    since = models.DateField()
    back = models.DateField(null=True)

    class Meta:
        """One copy of a title for a member at a time."""

        constraints = [models.UniqueConstraint(fields=["member", "book"], condition=models.Q(back=None), name="one_copy_each")]
