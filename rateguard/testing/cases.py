"""`WithAnswers`: canned answers for unittest and Django's TestCase."""

from __future__ import annotations

import unittest

from rateguard.testing.canned import Answers, answers


class WithAnswers(unittest.TestCase):
    """Gives each test `self.llm`. Put it before Django's TestCase: `class Asking(WithAnswers, TestCase)`."""

    llm: Answers

    def setUp(self) -> None:
        """Open the block around the test."""
        super().setUp()
        self.llm = self.enterContext(answers())
