"""The admin: what people set by forms, and what the machine did. Django's admin finds it by its name where it is installed."""

from rateguard.admin import accounts, catalogue, keys, machine, quotas, routes, tenants, webhooks, weights

__all__ = ["accounts", "catalogue", "keys", "machine", "quotas", "routes", "tenants", "webhooks", "weights"]
