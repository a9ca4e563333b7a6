"""The tables of tenants, a file an idea."""

from tenants.models.configuration import ConfigurationModel
from tenants.models.ledger import EntryKind, LedgerEntry, LedgerUnchangeable
from tenants.models.limits import Budget, Limit, LimitKind, Metric, Scope, ScopeKind
from tenants.models.providers import Deployment, ModelRoute, Price, ProviderAccount, RouteTarget
from tenants.models.tenant import ApiKey, Tenant, TenantStatus
from tenants.models.usage import Dimension, Measure, UsageDay, UsageQuarter, UsageQuarterBin
from tenants.models.versions import ConfigVersion, GateEpoch

__all__ = [
    "ApiKey",
    "Budget",
    "ConfigVersion",
    "ConfigurationModel",
    "Deployment",
    "Dimension",
    "EntryKind",
    "GateEpoch",
    "LedgerEntry",
    "LedgerUnchangeable",
    "Limit",
    "LimitKind",
    "Measure",
    "Metric",
    "ModelRoute",
    "Price",
    "ProviderAccount",
    "RouteTarget",
    "Scope",
    "ScopeKind",
    "Tenant",
    "TenantStatus",
    "UsageDay",
    "UsageQuarter",
    "UsageQuarterBin",
]
