"""The admin in a project that has Django's own: no unfold, and the project's own rule of who enters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
VISIT = """
import django; django.setup()
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test.utils import setup_test_environment
setup_test_environment()
call_command("migrate", verbosity=0)
assert not apps.is_installed("unfold") and type(admin.site._wrapped) is admin.AdminSite
from tenants.models import Limit, Member, Tenant
from tests.signedin import Person, errors_of
acme, globex = Tenant.objects.create(name="acme"), Tenant.objects.create(name="globex")
users = get_user_model().objects
adam, vera = Person(users.create_user("adam", is_staff=True)), Person(users.create_user("vera", is_staff=True))
Member.objects.create(user=users.get(username="adam"), tenant=acme, role="admin")
adam.told(adam.make("limit", on="team", tenant=acme.pk, name="ml", limit="600/min"))
limit = Limit.objects.get()
assert list(errors_of(adam.make("limit", on="team", tenant=globex.pk, name="ml", limit="600/min"))) == ["tenant"]
root = Person(users.create_superuser("root"))
for one in ("limit", "budget", "tenant", "member", "apikey", "provideraccount", "deployment", "modelroute", "price"):
    assert root.list(one).status_code == 200, one
    assert root.client.get(f"/admin/rateguard_tenants/{one}/add/").status_code == 200, one
page = root.see(acme).content.decode()
assert page.count("Refuse its new work") == 1 and "object-tools" in page
root.told(root.do(acme, "close"))
assert "rg-secret" in root.make("apikey", tenant=globex.pk, name="a", permissions=["read"]).content.decode()
assert vera.list("limit").status_code == 403
assert root.see(limit).status_code == 200 and "600/min" in adam.text("limit")
print("all is well")
"""


@pytest.mark.long
def test_everything_works_without_unfold_and_in_another_projects_site():
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.integration.plain_admin", "PYTHONWARNINGS": "error::UserWarning:rateguard"}
    done = subprocess.run([sys.executable, "-c", VISIT], cwd=PROJECT, env=env, capture_output=True, text=True, check=False, timeout=110)
    assert "all is well" in done.stdout, done.stderr[-3_000:]
