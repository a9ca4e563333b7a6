"""Provider accounts: credentials and a base URL as one unit. Credentials go in and never come out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from rateguard.engine.errors import InvalidRequest
from rateguard.providers import known, names, preset_of
from tenants.changes.actor import Actor
from tenants.changes.limits import create_limit
from tenants.changes.named import check_name
from tenants.changes.options import wrong_with_options
from tenants.changes.problems import as_invalid
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import ProviderAccount, Tenant

MOST_URL_CHARS = 255
MOST_CREDENTIALS_CHARS = 10_000
UNIT = ("provider", "base_url")
FIELDS = ("name", *UNIT, "credentials", "options")
OF_THIS_MACHINE = frozenset({"bedrock", "litellm", "vertex"})
"""With empty credentials these take what the machine has: its role, its profile, its environment. That is the operator's."""
OPERATORS_ALONE = frozenset({"litellm"})
"""Its package reads the machine's environment by itself."""

_UNREADABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


def _shown(row: ProviderAccount) -> dict[str, Any]:
    owner = row.tenant.name if row.tenant else None
    return {"name": row.name, "provider": row.provider, "base_url": row.base_url, "tenant": owner, "options": row.options}


KIND = Kind(
    "account",
    shown=_shown,
    tenant_of=lambda row: row.tenant,
    fields=FIELDS,
    in_use="delete them first, or take them out: is_enabled false",
    skip=frozenset({"provider", "base_url"}),
)


@in_one_transaction
def create_account(
    actor: Actor,
    *,
    name: str,
    provider: str,
    credentials: str,
    base_url: str = "",
    tenant: Tenant | None = None,
    options: dict[str, Any] | None = None,
    limits: Sequence[str] | None = None,
) -> ProviderAccount:
    """A new account, of all tenants or of one. Raises InvalidRequest, NotAllowed.

    base_url: "" for the one that the provider's preset has; it is stored, so that a key stays with its address. limits: in people's words;
    None: those that the preset has.
    """
    actor.check_of(None if tenant is None else tenant.pk, KIND.name)
    preset = preset_of(provider)
    base_url = base_url or preset.base_url
    check_name(name)
    _check(actor, {"provider": provider, "base_url": base_url, "credentials": credentials, "options": options or {}})
    _check_whose(provider, bool(credentials), is_tenants=tenant is not None)
    owner = None if tenant is None else fresh(tenant, "tenant")
    row = ProviderAccount(name=name, provider=provider, base_url=base_url, credentials=credentials, tenant=owner, options=options or {})
    made = insert(actor, KIND, row, secrets=("credentials",) if credentials else ())
    _limit(actor, made, preset.default_limits if limits is None else limits)
    return made


def _limit(actor: Actor, row: ProviderAccount, texts: Sequence[str]) -> None:
    """Put limits on a new account. Raises InvalidRequest, which names the one that is wrong."""
    for place, text in enumerate(texts):
        try:
            create_limit(actor, row, text)
        except InvalidRequest as error:
            raise InvalidRequest(str(error), code=error.code, pointer=f"/limits/{place}") from None


@in_one_transaction
def change_account(actor: Actor, account: ProviderAccount, **fields: Any) -> ProviderAccount:
    """Other values of some of FIELDS. Another provider or base URL takes its credentials with it: the old ones are not sent elsewhere."""
    row = fresh(account, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    check_name(fields.get("name"))
    _check(actor, fields)
    has_credentials = bool(fields.get("credentials", row.credentials))
    _check_whose(fields.get("provider", row.provider), has_credentials, is_tenants=row.tenant_id is not None)
    moved = [name for name in UNIT if name in fields and fields[name] != getattr(row, name)]
    if moved and "credentials" not in fields:
        raise as_invalid(
            [("credentials", f"the credentials belong to the old {' and '.join(moved)}: send those of the new one in the same change")]
        )
    return change(actor, KIND, row, fields, secrets=("credentials",) if "credentials" in fields else ())


@in_one_transaction
def delete_account(actor: Actor, account: ProviderAccount) -> None:
    """Delete an account with its limits. Raises InvalidRequest `in_use` while it has deployments."""
    row = fresh(account, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    remove(actor, KIND, row)


def _check(actor: Actor, fields: dict[str, Any]) -> None:
    wrong = []
    if "provider" in fields and fields["provider"] not in known():
        wrong.append(("provider", f"write one of {', '.join(names())}"))
    if "base_url" in fields and (said := _wrong_with(fields["base_url"], is_shared=actor.is_operator)):
        wrong.append(("base_url", said))
    if "credentials" in fields and not _is_sendable(fields["credentials"]):
        wrong.append(("credentials", f"credentials are at most {MOST_CREDENTIALS_CHARS} visible ASCII characters, or a JSON object"))
    if "options" in fields and (said := wrong_with_options(fields["options"])):
        wrong.append(("options", said))
    if wrong:
        raise as_invalid(wrong)


def _check_whose(provider: str, has_credentials: bool, *, is_tenants: bool) -> None:
    """A tenant's account pays with the tenant's own credentials, never with those of the machine. Raises InvalidRequest."""
    if is_tenants and provider in OPERATORS_ALONE:
        raise as_invalid([("provider", f"{provider} reads this machine's own settings: an account of all tenants alone may have it")])
    if is_tenants and provider in OF_THIS_MACHINE and not has_credentials:
        raise as_invalid([("credentials", f"without credentials {provider} takes this machine's own: a tenant's account needs its own")])


def _wrong_with(url: object, *, is_shared: bool) -> str:
    """What is wrong with a base URL, "" for nothing. A tenant's own is of https, which keeps it from services inside that trust anyone."""
    if not isinstance(url, str) or len(url) > MOST_URL_CHARS or _UNREADABLE.search(url):
        return f"write a URL of at most {MOST_URL_CHARS} characters, such as https://api.openai.com/v1"
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return "this is no URL: write one such as https://api.openai.com/v1"
    if parts.scheme not in {"http", "https"} or not is_whole:
        return "write a URL with http or https and a host, such as https://api.openai.com/v1"
    if parts.username is not None or parts.query or parts.fragment:
        return "a base URL has no user, no ? and no #: secrets go into credentials"
    if not is_shared and parts.scheme != "https":
        return "a tenant's own account is reached by https: whoever runs the service may set up another"
    return ""


def _is_sendable(credentials: object) -> bool:
    """Whether they can stand in a header, or are a JSON object."""
    return isinstance(credentials, str) and len(credentials) <= MOST_CREDENTIALS_CHARS and credentials.isascii() and _clean(credentials)


def _clean(credentials: str) -> bool:
    return not credentials or (credentials.isprintable() and credentials == credentials.strip()) or _is_object(credentials)


def _is_object(credentials: str) -> bool:
    """A file as its provider gives it, over several lines; it is never a header itself."""
    try:
        return isinstance(orjson.loads(credentials), dict)
    except orjson.JSONDecodeError:
        return False
