"""The side bar by sections, for whoever may see what is in them; the colours of our pages; the links under a person's name."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse

BLUES: Final = {
    "50": "#eff4fd",
    "100": "#dce7fb",
    "200": "#bfd3f7",
    "300": "#a6c2f6",
    "400": "#8db0f2",
    "500": "#6a94ea",
    "600": "#2456c4",
    "700": "#1f479f",
    "800": "#1e3d82",
    "900": "#1d356c",
    "950": "#152145",
}
"""The pages' blue, #2456c4, from light to dark."""

TENANTS, JOBS = "rateguard_tenants", "rateguard_jobs"
SECTIONS: Final = (
    ("Quotas", ((TENANTS, "limit", "Limits", "speed"), (TENANTS, "budget", "Budgets", "payments"))),
    (
        "Tenants",
        (
            (TENANTS, "tenant", "Tenants", "apartment"),
            (TENANTS, "member", "Members", "group"),
            (TENANTS, "apikey", "API keys", "key"),
            (TENANTS, "scope", "Weights of users", "balance"),
            (TENANTS, "run", "Runs", "account_tree"),
            (JOBS, "batch", "Batches", "stacks"),
            (TENANTS, "pause", "Pauses", "pause_circle"),
            (TENANTS, "webhookendpoint", "Webhooks", "webhook"),
        ),
    ),
    (
        "Providers",
        (
            (TENANTS, "provideraccount", "Provider accounts", "cloud"),
            (TENANTS, "deployment", "Deployments", "dns"),
            (TENANTS, "modelroute", "Models", "route"),
            (TENANTS, "price", "Prices", "sell"),
        ),
    ),
    (
        "Work",
        (
            (JOBS, "job", "Jobs", "work"),
            (JOBS, "attempt", "Attempts", "replay"),
            (JOBS, "jobevent", "Events of jobs", "timeline"),
            (JOBS, "webhookmessage", "Webhook messages", "outgoing_mail"),
            (TENANTS, "ledgerentry", "Ledger", "receipt_long"),
            (TENANTS, "gateevent", "Notices", "notifications"),
            (TENANTS, "auditentry", "Audit", "history"),
        ),
    ),
)


def blues(_request: HttpRequest) -> dict[str, str]:
    """The scale of the admin's main colour."""
    return dict(BLUES)


def mark(_request: HttpRequest) -> str:
    """The picture in the browser's tab: that of the pages."""
    return static("rateguard/mark.svg")


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The sections with the pages that who is signed in may see."""
    found = [{"title": "", "items": _pages()}]
    for title, entries in SECTIONS:
        items = [item for entry in entries if (item := _item(request, *entry))]
        found.append({"title": title, "items": items})
    people = [item for entry in (("auth", "user", "Users", "person"),) if (item := _item(request, *entry))]
    return [section for section in (*found, {"title": "Sign-in", "items": people}) if section["items"]]


def account(_request: HttpRequest) -> list[dict[str, Any]]:
    """What stands under a person's name."""
    found = [("Dashboard", "dashboard:now"), ("Change password", "dashboard:password")]
    return [{"title": title, "link": link} for title, name in found if (link := _address(name))]


def _pages() -> list[dict[str, Any]]:
    link = _address("dashboard:now")
    return [{"title": "Dashboard", "icon": "monitoring", "link": link, "active": False}] if link else []


def _item(request: HttpRequest, app: str, model: str, title: str, icon: str) -> dict[str, Any] | None:
    """A page of the side bar; None where there is no such page, or not for this person."""
    for known, found in admin.site._registry.items():  # noqa: SLF001 - Django has no other way to ask by name
        if (known._meta.app_label, known._meta.model_name) == (app, model):  # noqa: SLF001 - a model's public description
            link = reverse(f"admin:{app}_{model}_changelist")
            item = {"title": title, "icon": icon, "link": link, "active": request.path.startswith(link)}
            return item if found.has_module_permission(request) else None
    return None


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
