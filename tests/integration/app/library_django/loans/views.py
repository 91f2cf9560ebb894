# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the library answers."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from loans.models import Loan, Member


def health(_request: HttpRequest) -> JsonResponse:
    """200 while the tables are there."""
    languages = Member.objects.values_list("language").annotate(Count("id"))
    return JsonResponse({"release": settings.RELEASE, "languages": dict(languages), "lent": Loan.objects.filter(back=None).count()})


def member(_request: HttpRequest, number: int) -> JsonResponse:
    """A member by number."""
    found = get_object_or_404(Member, pk=number)
    return JsonResponse({"name": found.name, "language": found.language})
