"""People at the admin: `signed_in("root")` an operator, `signed_in("adam", acme="admin")` of a tenant."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tenants.models import Member, Tenant

__all__ = ["Person", "signed_in"]

BACKEND = "django.contrib.auth.backends.ModelBackend"


class Person:
    """Somebody at the admin's forms. Rows are named by their model: `limit`, `apikey`, …"""

    def __init__(self, user: Any) -> None:
        self.client = Client()
        self.client.force_login(user, backend=BACKEND)

    def list(self, model: str, /, **asked: str) -> HttpResponse:
        return self.client.get(_at(model, "changelist"), asked)

    def text(self, model: str, /, **asked: str) -> str:
        return self.list(model, **asked).content.decode()

    def see(self, row: Any) -> HttpResponse:
        return self.client.get(_at(row._meta.model_name, "change", row.pk))

    def make(self, model: str, /, **fields: Any) -> HttpResponse:
        return self.client.post(_at(model, "add"), fields)

    def change(self, row: Any, /, **fields: Any) -> HttpResponse:
        return self.client.post(_at(row._meta.model_name, "change", row.pk), fields)

    def delete(self, row: Any) -> HttpResponse:
        return self.client.post(_at(row._meta.model_name, "delete", row.pk), {"post": "yes"})

    def do(self, row: Any, deed: str, /, **fields: Any) -> HttpResponse:
        return self.client.post(_at(row._meta.model_name, "deed", row.pk, deed), fields)

    def told(self, response: HttpResponse) -> str:
        """What the page after a change says."""
        assert response.status_code == 302, errors_of(response)
        return " ".join(str(message) for message in self.client.get(response.headers["Location"]).context["messages"])


def signed_in(name: str, **roles: str) -> Person:
    users = get_user_model().objects
    user = users.create_user(name) if roles else users.create_superuser(name)
    for tenant, role in roles.items():
        Member.objects.create(user=user, tenant=Tenant.objects.get(name=tenant), role=role)
    return Person(user)


def errors_of(response: HttpResponse) -> dict[str, list[str]]:
    """By field what is wrong with a form; of a page without a form nothing."""
    form = response.context and response.context.get("adminform")
    return {name: [str(one) for one in found] for name, found in form.form.errors.items()} if form else {}


def _at(model: str, what: str, *parts: Any) -> str:
    return reverse(f"admin:rateguard_tenants_{model}_{what}", args=[str(part) for part in parts])
