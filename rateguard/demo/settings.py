"""The project's settings with the demo's shop beside it, as a host project would have an app of its own."""

from rateguard.settings import *  # noqa: F403 - all of them
from rateguard.settings import INSTALLED_APPS as _OURS

INSTALLED_APPS = [*_OURS, "rateguard.demo.shop.apps.ShopConfig"]
