"""How the shop asks: its own row and the job commit together, or neither does."""

from __future__ import annotations

from django.db import transaction

from rateguard import complete
from rateguard.demo.shop.models import Question
from rateguard.demo.workload import MODEL, Call


@transaction.atomic
def ask(call: Call) -> Question:
    """Store a question and submit the job that answers it."""
    answer = complete.delay(
        call.prompt,
        model=MODEL,
        max_tokens=call.max_tokens,
        tenant=call.tenant,
        lane=call.lane,
        user=call.user,
        team=call.team,
        labels={"feature": "shop"},
    )
    question = Question(customer=call.user, text=call.prompt, job_id=answer.id)
    question.save()
    return question
