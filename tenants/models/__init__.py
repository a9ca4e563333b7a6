"""The tables of tenants, a file an idea."""

from tenants.models.audit import AuditAction, AuditEntry
from tenants.models.budgets import Budget, BudgetPeriod, BudgetUnit, OnExhausted
from tenants.models.configuration import ConfigurationModel
from tenants.models.events import EventKind, GateEvent
from tenants.models.forgotten import Forgotten, ForgottenKind
from tenants.models.ledger import EntryKind, LedgerEntry, LedgerUnchangeable
from tenants.models.limits import Limit, LimitKind, Metric
from tenants.models.pauses import Pause, PauseKind
from tenants.models.providers import Deployment, ForcedBreaker, ModelRoute, Price, ProviderAccount, RouteFallback, RouteTarget
from tenants.models.runs import Run, RunState
from tenants.models.scopes import EVERY, Scope, ScopeKind
from tenants.models.tenant import ApiKey, Member, MemberRole, Permission, Tenant, TenantStatus
from tenants.models.usage import Dimension, Measure, UsageDay, UsageQuarter, UsageQuarterBin
from tenants.models.versions import ConfigVersion, GateEpoch
from tenants.models.webhooks import WebhookEndpoint, WebhookEvent

__all__ = [
    "EVERY",
    "ApiKey",
    "AuditAction",
    "AuditEntry",
    "Budget",
    "BudgetPeriod",
    "BudgetUnit",
    "ConfigVersion",
    "ConfigurationModel",
    "Deployment",
    "Dimension",
    "EntryKind",
    "EventKind",
    "ForcedBreaker",
    "Forgotten",
    "ForgottenKind",
    "GateEpoch",
    "GateEvent",
    "LedgerEntry",
    "LedgerUnchangeable",
    "Limit",
    "LimitKind",
    "Measure",
    "Member",
    "MemberRole",
    "Metric",
    "ModelRoute",
    "OnExhausted",
    "Pause",
    "PauseKind",
    "Permission",
    "Price",
    "ProviderAccount",
    "RouteFallback",
    "RouteTarget",
    "Run",
    "RunState",
    "Scope",
    "ScopeKind",
    "Tenant",
    "TenantStatus",
    "UsageDay",
    "UsageQuarter",
    "UsageQuarterBin",
    "WebhookEndpoint",
    "WebhookEvent",
]
