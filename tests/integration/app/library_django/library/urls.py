# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The addresses."""

from __future__ import annotations

from django.urls import path
from loans import views

urlpatterns = [path("health", views.health), path("members/<int:number>", views.member)]
