"""Budgets, as people type them: `$5/day hold`, on a node."""

from __future__ import annotations

from typing import Any

from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import Actor
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.changes.scopes import kept, words_of
from tenants.models import Budget, BudgetPeriod, BudgetUnit, ModelRoute, OnExhausted, Scope
from tenants.notation import BudgetValue, budget_fields, format_budget

LONGEST_TEXT = 400
FIELDS = ("amount", "unit", "period", "on_exhausted", "downgrade_to", "thresholds")


def text_of(row: Budget) -> str:
    """A budget as people type it."""
    cheaper = row.downgrade_to.name if row.downgrade_to else ""
    shares = tuple(row.thresholds)
    return format_budget(
        BudgetValue(row.amount, BudgetUnit(row.unit), BudgetPeriod(row.period), OnExhausted(row.on_exhausted), cheaper, shares)
    )


KIND = Kind(
    "budget",
    shown=lambda row: {"on": words_of(row.scope), "budget": text_of(row)},
    tenant_of=lambda row: row.scope.tenant,
    fields=FIELDS,
    called=dict.fromkeys((*FIELDS, "scope"), "budget"),
    label=lambda row: f"{text_of(row)} on {words_of(row.scope)}",
)


@in_one_transaction
def create_budget(actor: Actor, scope: Scope, text: str) -> Budget:
    """A new budget. Raises InvalidRequest (`bad_budget`, `unknown_model`; `name_taken` for one of the unit and period), NotAllowed."""
    actor.check_scope(scope)
    fields = _parsed(text)
    return insert(actor, KIND, Budget(scope=kept(scope), **fields))


@in_one_transaction
def change_budget(actor: Actor, budget: Budget, text: str) -> Budget:
    """Write a budget anew. What is spent stays spent, where the unit and the period stay."""
    row = fresh(budget, KIND.name)
    actor.check_scope(row.scope)
    return change(actor, KIND, row, _parsed(text))


@in_one_transaction
def delete_budget(actor: Actor, budget: Budget) -> None:
    """Take a budget away. What it held goes on."""
    row = fresh(budget, KIND.name)
    actor.check_scope(row.scope)
    remove(actor, KIND, row)


def _parsed(text: str) -> dict[str, Any]:
    """The fields of the row; the cheaper model is locked, so that it stays until the budget names it."""
    if len(text) > LONGEST_TEXT:
        raise InvalidRequest(f"a budget has at most {LONGEST_TEXT} characters, like $5/day", code="bad_budget", pointer="/budget")
    try:
        fields = budget_fields(text)
        if isinstance(fields["downgrade_to"], ModelRoute):
            fields["downgrade_to"] = fresh(fields["downgrade_to"], "model")
    except InvalidRequest as error:
        raise InvalidRequest(str(error), code=error.code, pointer="/budget") from None
    return fields
