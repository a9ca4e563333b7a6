"""`manage.py test` is ours in this project and Django's in a host's."""

from django.core.management.commands.test import Command as DjangosOwn
from django.test import override_settings

from rateguard.management.commands.test import Command


def test_a_host_projects_test_command_is_djangos(monkeypatch):
    seen = []
    monkeypatch.setattr(DjangosOwn, "run_from_argv", lambda _, argv: seen.append(argv))
    with override_settings(ROOT_URLCONF="shop.urls"):
        Command().run_from_argv(["manage.py", "test", "shop"])
    assert seen == [["manage.py", "test", "shop"]]
