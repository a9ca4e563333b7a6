"""The machine's lists, rows and verbs in Django's own admin, without unfold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
VISIT = """
import django; django.setup()
from django.apps import apps
from django.core.management import call_command
from django.test.utils import setup_test_environment
setup_test_environment()
call_command("migrate", verbosity=0)
assert not apps.is_installed("unfold")
from tenants.models import Tenant
from tests.integration.test_admin_machine import LISTS, fill, list_of, page_of, signed_in
job = fill(Tenant.objects.create(name="acme"))
boss = signed_in("boss")
for name, model in LISTS.items():
    text = boss.get(list_of(name)).content.decode()
    assert "the newest first" in text and "rg-pager" in text, name
    assert boss.get(page_of(model.objects.first())).status_code == 200, name
text = boss.get(page_of(job)).content.decode()
assert "rg-related" in text and "Retry…" in text and "MARK-asked" in text
told = {"action": "cancel_jobs", "_selected_action": [str(job.pk)], "index": "0"}
text = boss.post(list_of("rateguard_jobs_job"), told).content.decode()
assert "The chosen job cannot be cancelled." in text and "1 has ended already (failed)." in text
assert boss.get(list_of("rateguard_jobs_job", q=str(job.pk)[:13])).content.decode().count("action-select") == 1
print("all is well")
"""


@pytest.mark.long
def test_the_machines_lists_work_without_unfold():
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.integration.plain_admin"}
    done = subprocess.run([sys.executable, "-c", VISIT], cwd=PROJECT, env=env, capture_output=True, text=True, check=False, timeout=110)
    assert "all is well" in done.stdout, done.stderr[-3_000:]
