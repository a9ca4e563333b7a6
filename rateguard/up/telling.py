"""What `up` says when all is ready: where it is, what it made of the keys, which limits it assumed, and how to call it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rateguard.engine.providers.listing import Listing
from rateguard.up.accounts import SIM
from rateguard.up.catalogue import PROVIDERS, Found, Keys
from rateguard.up.door import Door
from rateguard.up.overview import Account, Served, model_to_try

COMMAND = "python3 manage.py"
OPERATOR = "operator"
"""Whom the link signs in."""


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """All that there is to say. asked: what each provider answered. fresh: accounts made by this start. has_sim: the simulated one runs.

    sign_in: a link to the dashboard.
    """

    url: str
    state: Path
    database: str
    redis: str
    door: Door
    accounts: list[Account]
    keys: Keys
    asked: dict[str, Listing]
    fresh: frozenset[str]
    has_sim: bool
    sign_in: str = dataclasses.field(repr=False)

    def model_to_try(self) -> str | None:
        """One that answers, as far as is known."""
        answering = {name for name, listing in self.asked.items() if listing.is_good} | ({SIM} if self.has_sim else set())
        return model_to_try([one for one in self.accounts if one.name in answering]) or model_to_try(self.accounts)


def as_json(told: Told) -> dict[str, Any]:
    """The same for machines. The key's secret is in the file, readable by its owner alone."""
    return {
        "url": told.url,
        "sign_in_url": told.sign_in,
        "tenant": told.door.tenant,
        "api_key_file": str(told.door.key_file),
        "state": str(told.state),
        "models": [model for account in told.accounts for model in account.models],
        "accounts": [
            {
                "name": account.name,
                "provider": account.provider,
                "base_url": account.base_url,
                "limits": list(account.limits),
                "is_new": account.name in told.fresh,
                "deployments": [
                    {"name": name, "model": model, "limits": list(one.limits)}
                    for one in account.served
                    for model, name in zip(one.models, one.deployments, strict=True)
                ],
            }
            for account in told.accounts
        ],
        "unsupported_keys": [variable for variable, _ in told.keys.unsupported],
    }


def page(told: Told) -> Table:
    """Everything but the commands, which must not be broken into lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("state", f"{shown(told.state)}  (database, keys, logs; nobody else may read it)")
    table.add_row("", Text(f"database: {told.database}; Redis: {told.redis}", "dim"))
    table.add_row(
        "look",
        Text(told.sign_in, "green").append(f"\nthe dashboard; the link signs you in once. Another: {COMMAND} signin {OPERATOR}", "dim"),
    )
    table.add_row("tenant", _tenant(told.door))
    for account in told.accounts:
        table.add_row("account", _account(told, account))
    for line in _keys(told):
        table.add_row("keys", line)
    return table


def commands(told: Told) -> Iterator[str]:
    """What to type next, to be pasted as it stands."""
    model = told.model_to_try()
    bearer = f'-H "Authorization: Bearer $(cat {shlex.quote(str(told.door.key_file))})"'
    if model is None:
        yield f"curl -sS {told.url}/api/v1/limits \\"
        yield f"  {bearer}"
        return
    yield f"curl -sS {told.url}/api/v1/jobs \\"
    yield f"  {bearer} \\"
    yield "  -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\"
    yield f"""  -d '{{"model": "{model}", "max_tokens": 50,"""
    yield """       "messages": [{"role": "user", "content": "Say hello."}]}'"""


def shown(path: Path) -> str:
    """A path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _tenant(door: Door) -> Text:
    text = Text(door.tenant, "bold")
    if door.secret:
        text.append(f"  {door.secret}", "green")
        text.append(f"\nits API key, shown this once; it lies in {shown(door.key_file)}", "dim")
    else:
        text.append(f"  its API key lies in {shown(door.key_file)}", "dim")
    return text


def _account(told: Told, account: Account) -> Text:
    found = next((one for one in told.keys.found if one.provider.name == account.name), None)
    text = Text(account.name, "bold")
    text.append(f"  {account.base_url}", "dim")
    if found is not None:
        text.append(f"  from {found.provider.key_variable}", "dim")
        _append_answer(text, found, told.asked.get(account.name))
    elif account.name == SIM and not told.has_sim:
        text.append(f"\nthe simulated provider does not run: {COMMAND} up --sim", "yellow")
    if account.limits:
        text.append(f"\nthe account: {', '.join(account.limits)}")
    for served in account.served:
        _append_served(text, served)
    if not account.served:
        text.append(f"\nno model leads here: {COMMAND} model create --help", "yellow")
    if account.name in told.fresh and account.served:
        _append_assumed(text, account, found)
    return text


def _append_answer(text: Text, found: Found, listing: Listing | None) -> None:
    title = found.provider.title if not found.is_custom else "the server"
    if listing is None or listing.status == 0:
        reason = "" if listing is None else f" ({listing.reason})"
        text.append(f"\n{title} did not answer{reason}: jobs wait until it does", "yellow")
    elif listing.is_refused:
        text.append(f"\n{title} refuses the key: set {found.provider.key_variable} to a good one and start again", "bold red")


def _append_served(text: Text, served: Served) -> None:
    count = "1 model" if len(served.models) == 1 else f"{len(served.models)} models"
    each = ", each " if len(served.models) > 1 else ", "
    text.append(f"\n{count}{each}{', '.join(served.limits)}: " if served.limits else f"\n{count} without a limit: ")
    for index, model in enumerate(served.models):
        text.append(("  " if index else "") + model, "green")


def _append_assumed(text: Text, account: Account, found: Found | None) -> None:
    name = account.served[0].deployments[0]
    if found is not None and not found.is_custom:
        text.append(f"\nThese limits are assumed: the least of {found.provider.title}'s {found.provider.tier}. Yours stand at\n", "yellow")
        text.append(found.provider.console, "yellow")
        text.append("; change them with", "yellow")
    else:
        text.append("\nThese limits are assumed; change them with", "yellow")
    text.append(f'\n{COMMAND} limit set --deployment {name} "5000/min"', "bold")


def _keys(told: Told) -> Iterator[Text]:
    for variable, title in told.keys.unsupported:
        yield Text(f"{variable}: there is no adapter for {title} yet, so nothing was made of it", "yellow")
    if not told.accounts:
        looked_for = ", ".join(f"{one.key_variable} (and {one.url_variable})" for one in PROVIDERS)
        yield Text(
            f"No provider yet. Set {looked_for} and start again; or try the simulated one: {COMMAND} up --sim; "
            f"or make an account: {COMMAND} account create --help",
            "yellow",
        )
