"""Settings of a project with Django's own admin: no unfold, no site of ours. `test_admin_plain.py` runs them in a process."""

from rateguard.settings import *  # noqa: F403
from rateguard.settings import INSTALLED_APPS as OURS

INSTALLED_APPS = ["django.contrib.admin" if "AdminConfig" in app else app for app in OURS if not app.startswith("unfold")]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {"transaction_mode": "IMMEDIATE"}}}
