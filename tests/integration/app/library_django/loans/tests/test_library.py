# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loans and answers."""

from __future__ import annotations

import datetime
import os

from django.db import IntegrityError
from django.test import TestCase

from loans.models import Book, Loan, Member


class LibraryTest(TestCase):
    """On a scratch database, which is what the release was told."""

    def setUp(self) -> None:
        self.member = Member.objects.create(name="ⵜⵉⵏⵀⵉⵏⴰⵏ", email="t@example.org", language="tzm")
        self.book = Book.objects.create(title="Le Fils du pauvre", isbn="9782020261098")
        self.loan = Loan.objects.create(member=self.member, book=self.book, since=datetime.date(2026, 1, 5))

    def test_a_second_copy_is_refused(self) -> None:
        with self.assertRaises(IntegrityError):
            Loan.objects.create(member=self.member, book=self.book, since=datetime.date(2026, 1, 6))

    def test_the_state_of_the_library_is_told(self) -> None:
        answer = self.client.get("/health", headers={"host": "127.0.0.1"})
        self.assertEqual(answer.json()["languages"], {"tzm": 1})
        self.assertEqual(os.environ["TEST_TARGET"], "scratch_database")

    def test_a_stranger_is_not_found(self) -> None:
        self.assertEqual(self.client.get("/members/0", headers={"host": "127.0.0.1"}).status_code, 404)
