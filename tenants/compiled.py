"""A query that every request asks, compiled once: making its SQL anew takes Django several times as long as asking the database.

    _BY_NAME = Compiled(Tenant, lambda name: Tenant.objects.filter(name=name), name=(Tenant._meta.get_field("name"), "an example"))
    tenant = _BY_NAME.one(name="acme")

The example must be a value that stands nowhere else in the query. What comes back is the same row that the query itself would give, with
what `select_related` names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.db import connections, models, router
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=models.Model)


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """What Django's compiler made of the query. slots: the place of each name among the parameters."""

    sql: str
    params: tuple[Any, ...]
    slots: tuple[tuple[int, str], ...]
    converters: tuple[tuple[int, Any, Any], ...]
    names: tuple[str, ...]
    first: int
    related: tuple[Any, ...]


class Compiled(Generic[Row]):
    """The first row of a query. make: the query for named values; asked: for each name its field, which prepares it, and an example."""

    def __init__(self, model: type[Row], make: Callable[..., models.QuerySet[Row]], **asked: tuple[Any, Any]) -> None:
        self._model = model
        self._make = make
        self._asked = asked
        self._plans: dict[str, _Plan] = {}

    def one(self, **values: Any) -> Row | None:
        """The first row for these values, or None."""
        using = router.db_for_read(self._model)
        plan = self._plans.get(using) or self._compile(using)
        connection = connections[using]
        params = list(plan.params)
        for place, name in plan.slots:
            params[place] = self._asked[name][0].get_db_prep_value(values[name], connection)
        with connection.cursor() as cursor:
            cursor.execute(plan.sql, params)
            found = cursor.fetchone()
        return None if found is None else self._row(plan, list(found), using)

    def _row(self, plan: _Plan, row: list[Any], using: str) -> Row:
        for place, convert, expression in plan.converters:
            row[place] = convert(row[place], expression, connections[using])
        made = self._model.from_db(using, plan.names, row[plan.first : plan.first + len(plan.names)])
        for populator in plan.related:
            populator.populate(row, made)
        return made

    def _compile(self, using: str) -> _Plan:
        """Ask Django's compiler as a query set does (`ModelIterable`)."""
        connection = connections[using]
        examples = {name: example for name, (_, example) in self._asked.items()}
        compiler: Any = self._make(**examples).using(using)[:1].query.get_compiler(using)
        sql, params = compiler.as_sql()
        prepared = {name: field.get_db_prep_value(example, connection) for name, (field, example) in self._asked.items()}
        slots = tuple((place, name) for name, value in prepared.items() for place, param in enumerate(params) if param == value)
        known = compiler.klass_info
        columns = known["select_fields"]
        converters = compiler.get_converters([column for column, *_ in compiler.select])
        plan = self._plans[using] = _Plan(
            sql=sql,
            params=tuple(params),
            slots=slots,
            converters=tuple((place, one, expression) for place, (some, expression) in converters.items() for one in some),
            names=tuple(compiler.select[place][0].target.attname for place in columns),
            first=columns[0],
            related=tuple(get_related_populators(known, compiler.select, using)),  # type: ignore[call-arg]  # the stubs know a later Django
        )
        return plan
