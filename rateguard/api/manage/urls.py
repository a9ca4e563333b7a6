"""The addresses of management."""

from __future__ import annotations

from django.urls import path

from rateguard.api.manage.accounts import Accounts, OneAccount
from rateguard.api.manage.audit import Audit
from rateguard.api.manage.budgets import Budgets, OneBudget
from rateguard.api.manage.deployments import Deployments, OneDeployment
from rateguard.api.manage.keys import Keys, OneKey, RotateKey
from rateguard.api.manage.limits import Limits, OneLimit
from rateguard.api.manage.members import Members, OneMember
from rateguard.api.manage.models import Models, OneModel
from rateguard.api.manage.prices import OnePrice, Prices
from rateguard.api.manage.tenants import OneTenant, Tenants
from rateguard.api.manage.webhooks import (
    OneWebhook,
    ResendMessage,
    ResendMessages,
    RotateWebhook,
    TryWebhook,
    WebhookMessages,
    Webhooks,
)

urlpatterns = [
    path("tenants", Tenants.as_view(), name="manage-tenants"),
    path("tenants/<str:tenant>", OneTenant.as_view(), name="manage-tenant"),
    path("members", Members.as_view(), name="manage-members"),
    path("members/<int:member>", OneMember.as_view(), name="manage-member"),
    path("keys", Keys.as_view(), name="manage-keys"),
    path("keys/<int:key>", OneKey.as_view(), name="manage-key"),
    path("keys/<int:key>/rotate", RotateKey.as_view(), name="manage-key-rotate"),
    path("limits", Limits.as_view(), name="manage-limits"),
    path("limits/<int:limit>", OneLimit.as_view(), name="manage-limit"),
    path("budgets", Budgets.as_view(), name="manage-budgets"),
    path("budgets/<int:budget>", OneBudget.as_view(), name="manage-budget"),
    path("accounts", Accounts.as_view(), name="manage-accounts"),
    path("accounts/<str:account>", OneAccount.as_view(), name="manage-account"),
    path("deployments", Deployments.as_view(), name="manage-deployments"),
    path("deployments/<str:deployment>", OneDeployment.as_view(), name="manage-deployment"),
    path("models", Models.as_view(), name="manage-models"),
    path("models/<path:model>", OneModel.as_view(), name="manage-model"),
    path("prices", Prices.as_view(), name="manage-prices"),
    path("prices/<int:price>", OnePrice.as_view(), name="manage-price"),
    path("webhooks", Webhooks.as_view(), name="manage-webhooks"),
    path("webhooks/<int:webhook>", OneWebhook.as_view(), name="manage-webhook"),
    path("webhooks/<int:webhook>/rotate", RotateWebhook.as_view(), name="manage-webhook-rotate"),
    path("webhooks/<int:webhook>/test", TryWebhook.as_view(), name="manage-webhook-test"),
    path("webhooks/<int:webhook>/messages", WebhookMessages.as_view(), name="manage-webhook-messages"),
    path("webhooks/<int:webhook>/resend", ResendMessages.as_view(), name="manage-webhook-resend"),
    path("webhooks/<int:webhook>/messages/<uuid:message>/resend", ResendMessage.as_view(), name="manage-webhook-message-resend"),
    path("audit", Audit.as_view(), name="manage-audit"),
]
