"""The settings of rateguard: `RATEGUARD = {...}` in Django's settings, checked and typed.

    from rateguard.conf import conf
    conf().gate_timeout_ms

Every key has a default. An unknown key, a wrong type or a value out of range raises ConfigurationError with the key and the remedy.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import functools
import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from rateguard.engine.breaker.rule import BreakerRule
from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.compatible.presets import Preset, parse_preset

ENVIRONMENT_PREFIX = "RATEGUARD_"
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_NEW_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


@dataclasses.dataclass(frozen=True, slots=True)
class _Whole:
    """A whole number in a range, with its unit."""

    least: int
    most: int
    unit: str
    is_optional: bool = False

    def read(self, key: str, value: object) -> int | None:
        if value is None and self.is_optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ConfigurationError(
                f'RATEGUARD["{key}"] is {value!r}: write a whole number of {self.unit} from {self.least} to {self.most}'
                f"{', or None' if self.is_optional else ''}"
            )
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class _Word:
    """A text of a form; None where that is allowed."""

    form: str
    remedy: str
    is_optional: bool = False

    def read(self, key: str, value: object) -> str | None:
        if value is None and self.is_optional:
            return None
        if not isinstance(value, str) or re.fullmatch(self.form, value) is None:
            raise ConfigurationError(f'RATEGUARD["{key}"] is {value!r}: write {self.remedy}')
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class _Switch:
    """True or False."""

    def read(self, key: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise ConfigurationError(f'RATEGUARD["{key}"] is {value!r}: write True or False')
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class _Words:
    """A list of texts of a form."""

    form: str
    remedy: str

    def read(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) and re.fullmatch(self.form, one) for one in value):
            raise ConfigurationError(f'RATEGUARD["{key}"] is {value!r}: write a list of {self.remedy}')
        return tuple(value)


@dataclasses.dataclass(frozen=True, slots=True)
class _Networks:
    """A list of networks of addresses."""

    def read(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise ConfigurationError(f'RATEGUARD["{key}"] is {value!r}: write a list of networks, like 10.0.0.0/8')
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError as error:
                raise ConfigurationError(f'RATEGUARD["{key}"] holds {one!r}: {error}; write networks, like 10.0.0.0/8') from None
        return tuple(value)


@dataclasses.dataclass(frozen=True, slots=True)
class _Keys:
    """A list of Fernet keys. The message never repeats a value."""

    def read(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) and _FERNET_KEY.fullmatch(one) for one in value):
            raise ConfigurationError(f'RATEGUARD["{key}"] is not a list of Fernet keys: make one with {_NEW_KEY}')
        return tuple(value)


@dataclasses.dataclass(frozen=True, slots=True)
class _Providers:
    """Providers by name: the dotted path of a class, or a preset. What lies at a path is looked at by the checks."""

    def read(self, key: str, value: object) -> Mapping[str, str | Preset] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                f'RATEGUARD["{key}"] is {value!r}: write {{"name": "dotted.path.ProviderClass"}}, or a preset by a name'
            )
        return {name: self._one(key, name, given) for name, given in value.items()}

    def _one(self, key: str, name: object, given: object) -> str | Preset:
        from rateguard.engine.providers.registry import PROVIDERS  # noqa: PLC0415 - only who has providers of his own pays for it

        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name):
            raise ConfigurationError(f'RATEGUARD["{key}"] names a provider {name!r}: write at most 32 small letters, digits, - and _')
        if name in PROVIDERS:
            raise ConfigurationError(f'RATEGUARD["{key}"] names a provider {name!r}, which comes along: take another name')
        if isinstance(given, str):
            if re.fullmatch(_DOTTED, given) is None:
                raise ConfigurationError(f'RATEGUARD["{key}"]["{name}"] is {given!r}: write the dotted path of a class of providers')
            return given
        try:
            return parse_preset(name, given)
        except ConfigurationError as error:
            raise ConfigurationError(f'RATEGUARD["{key}"]: {error}') from None


BREAKER_RANGES = {
    "failures": (1, 10_000),
    "failure_permille": (0, 1_000),
    "window_ms": (1_000, 3_600_000),
    "open_ms": (100, 86_400_000),
    "slow_ms": (0, 3_600_000),
    "slow_permille": (1, 1_000),
    "probes": (1, 100),
}
"""What a breaker's rule may be: the least and the most of each part."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Breaker:
    """A breaker's rule by its parts; those that are not named keep their default."""

    def read(self, key: str, value: object) -> BreakerRule:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f'RATEGUARD["{key}"] is {value!r}: write its parts, like {{"failures": 10, "open_ms": 60000}}')
        for name, part in value.items():
            if name not in BREAKER_RANGES:
                near = difflib.get_close_matches(str(name), BREAKER_RANGES, n=1, cutoff=0.0)[0]
                raise ConfigurationError(f'RATEGUARD["{key}"]["{name}"] is no part of a breaker; the nearest is "{near}"')
            least, most = BREAKER_RANGES[name]
            if isinstance(part, bool) or not isinstance(part, int) or not least <= part <= most:
                raise ConfigurationError(f'RATEGUARD["{key}"]["{name}"] is {part!r}: write a whole number from {least} to {most}')
        return BreakerRule(**value)


def _whole(default: int, least: int, most: int, unit: str) -> Any:
    return dataclasses.field(default=default, metadata={"rule": _Whole(least, most, unit)})


def _ms(default: int, least: int = 1, most: int = 3_600_000) -> Any:
    return _whole(default, least, most, "milliseconds")


_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"


def _words(form: str, remedy: str) -> Any:
    return dataclasses.field(default=(), metadata={"rule": _Words(form, remedy)})


def _word(default: str | None, form: str, remedy: str, *, is_optional: bool = False) -> Any:
    return dataclasses.field(default=default, metadata={"rule": _Word(form, remedy, is_optional)})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """All settings of rateguard. The key of a field in `RATEGUARD` and in the environment (`RATEGUARD_…`) is its name in capitals."""

    partition: str = _word("default", r"[A-Za-z0-9_-]{1,40}", "1 to 40 letters, digits, - or _")
    """The gate's name: part of every Redis key, so that several gates share one Redis."""
    gate_timeout_ms: int = _ms(250)
    """How long a call to the gate may take before it counts as lost."""
    worker_slots: int = _whole(500, 1, 100_000, "jobs")
    """Jobs that one worker process runs at once."""
    unsent_per_worker: int = _whole(100, 1, 100_000, "jobs")
    """Granted jobs whose request has not left yet, at most, for each live worker."""
    send_by_ms: int = _ms(5_000)
    """A grant that nobody claimed for so long goes back to the waiting room."""
    heartbeat_ms: int = _ms(3_000)
    """How often a process that holds reservations says that it lives."""
    alive_file: str | None = _word(None, r"/.{1,250}", "the absolute path of a file, or None", is_optional=True)
    """A file that a worker touches as often while its event loop turns, for a supervisor to look at; gone when it has ended."""
    dead_after_ms: int = _ms(12_000)
    """A process silent for so long, while the gate answered, is dead."""
    max_tries: int = _whole(5, 1, 100, "tries")
    """Failures of a job that the retry policy counts before the job fails."""
    retry_base_ms: int = _ms(500)
    """The upper end of the first retry's random wait; it doubles with each try."""
    retry_max_ms: int = _ms(60_000, most=86_400_000)
    """The longest wait before a retry that no provider asked for."""
    retry_policy: str | None = _word(None, _DOTTED, "the dotted path of a function, or None", is_optional=True)
    """A function in place of the retry policy: see `rateguard.engine.retry.decide`, whose arguments and result are its own."""
    retryable_errors: tuple[str, ...] = _words(_DOTTED, "dotted paths of exception classes")
    """Exceptions of a provider of your own that a retry may help, beside those of the retry policy."""
    middleware: tuple[str, ...] = _words(_DOTTED, "dotted paths of middleware")
    """What may change, refuse or redact requests and answers, in this order: see [middleware.md](middleware.md)."""
    quota_cooldown_s: int = _whole(900, 1, 31 * 86_400, "seconds")
    """How long an account whose money or quota is spent takes nothing, where its provider does not say until when."""
    auth_cooldown_s: int = _whole(300, 0, 31 * 86_400, "seconds")
    """How long an account that does not take our credentials takes nothing; 0: it is asked by each call."""
    retry_budget_percent: int = _whole(10, 0, 1_000, "percent")
    """Retries of all jobs together are at most so many for each hundred calls; the others wait."""
    connect_timeout_s: int = _whole(5, 1, 3_600, "seconds")
    """How long the connection to a provider may take, unless a job says otherwise."""
    first_token_timeout_s: int = _whole(120, 1, 86_400, "seconds")
    """How long a provider may be silent: until its answer's first token, and between two pieces of it; unless a job says otherwise."""
    default_max_tokens: int = _whole(1_024, 1, 10_000_000, "tokens")
    """Sent as max_tokens where the caller named none, because a budget reserves the most that a call can cost."""
    jobs_per_message: int = _whole(25, 1, 1_000, "jobs")
    """Job ids in one Celery message."""
    encryption_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False, metadata={"rule": _Keys()})
    """Fernet keys for secrets at rest: the first encrypts, all decrypt. In development alone one is derived from SECRET_KEY."""
    idempotency_hours: int = _whole(24, 1, 8_760, "hours")
    """How long an Idempotency-Key answers with the job that it made."""
    guard_ms: int = _ms(100, least=0, most=10_000)
    """Time added to a window for the way of a request to the provider."""
    call_timeout_s: int = _whole(600, 1, 86_400, "seconds")
    """The longest that one call at a provider may take."""
    on_redis_loss: str = _word("reject", "reject", '"reject"')
    """What a synchronous call gets while the gate is away: `reject` refuses it with a time to come back."""
    transport_wait_s: int = _whole(30, 0, 3_600, "seconds")
    """How long a call of an official client under `rateguard.transport` may wait at the gate, where the client says nothing itself."""
    default_tenant: str | None = _word(None, r"[-a-zA-Z0-9_]{1,64}", "a tenant's name, or None", is_optional=True)
    """The tenant of `.delay()` calls that name none."""
    request_context: str | None = _word(None, _DOTTED, "the dotted path of a function, or None", is_optional=True)
    """A function of a web request that says the context of what it submits, as `rateguard.context` does; None: who is signed in."""
    max_waiting: int = _whole(1_000_000, 1, 100_000_000, "jobs")
    """Jobs of one tenant that may wait at once, unless the tenant has a number of its own; the next is refused with `queue_full`."""
    max_waiters: int = _whole(10_000, 0, 1_000_000, "requests")
    """Requests that wait for a job's end, and live pages, at once in one web process; beyond that the answer comes at once."""
    max_waiting_in_all: int = _whole(10_000_000, 1, 1_000_000_000, "jobs")
    """Jobs of all tenants together that may wait at once; the next is refused with `queue_full`."""
    max_bytes_in_flight: int = _whole(256 * 2**20, 2**20, 2**40, "bytes")
    """Bodies of requests and answers that one process holds at once, at most; beyond that web refuses and a worker claims nothing."""
    encrypt_bodies: bool = dataclasses.field(default=False, metadata={"rule": _Switch()})
    """Requests and answers are encrypted at rest with ENCRYPTION_KEYS."""
    keep_bodies_days: int | None = dataclasses.field(default=None, metadata={"rule": _Whole(1, 36_500, "days", is_optional=True)})
    """After so many days the requests and answers of ended jobs are removed, unless the tenant has a number of its own; None: never."""
    event_keep_s: int = _whole(600, 1, 86_400, "seconds")
    """How long after a job's end its stream of events can still be read piece by piece; later the answer comes as one piece."""
    event_bytes: int = _whole(1_000_000, 1_000, 100_000_000, "bytes")
    """The most that a job's stream of events keeps; what a long answer has beyond it comes as one piece."""
    webhook_hours: int = _whole(24, 1, 720, "hours")
    """How long a webhook message is sent again until it is dead."""
    webhook_timeout_s: int = _whole(10, 1, 300, "seconds")
    """How long a webhook endpoint may take to answer."""
    webhook_networks: tuple[str, ...] = dataclasses.field(default=(), metadata={"rule": _Networks()})
    """Private networks that webhooks may be sent to; every other private address is refused."""
    batch_lines: int = _whole(50_000, 1, 10_000_000, "lines")
    """Lines of one batch, at most."""
    batch_bytes: int = _whole(256 * 2**20, 2**20, 2**40, "bytes")
    """Bytes of one batch, unpacked, at most."""
    caretaker_period_ms: int = _ms(1_000, least=10)
    """How often the caretaker compares gate and rows."""
    group_commit_ms: int = _ms(10, least=0, most=1_000)
    """How long a finished job waits for others to commit with it."""
    providers: Mapping[str, str | Preset] | None = dataclasses.field(default=None, metadata={"rule": _Providers()})
    """Providers of your own by name: the dotted path of a `Provider` class, or a preset as in providers/adding.md."""
    breaker: BreakerRule = dataclasses.field(default=BreakerRule(), metadata={"rule": _Breaker()})
    """When a deployment that fails is left alone, unless it has a rule of its own: see "The breaker" in tenants.md."""


_RULES: dict[str, Any] = {field.name.upper(): field.metadata["rule"] for field in dataclasses.fields(Conf)}


def parse(given: Mapping[str, object]) -> Conf:
    """The typed settings of a `RATEGUARD` mapping. Raises ConfigurationError, which names the key and the remedy."""
    for key in given:
        if key not in _RULES:
            near = difflib.get_close_matches(str(key).upper(), _RULES, n=1, cutoff=0.0)[0]
            raise ConfigurationError(f'RATEGUARD["{key}"] is no setting; the nearest is "{near}"')
    read = {key.lower(): _RULES[key].read(key, value) for key, value in given.items()}
    result = Conf(**read)
    if result.dead_after_ms < 2 * result.heartbeat_ms:
        raise ConfigurationError('RATEGUARD["DEAD_AFTER_MS"] must be at least twice "HEARTBEAT_MS": one late heartbeat is no death')
    return result


def from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    """The keys that the environment sets (`RATEGUARD_<KEY>`), as values for `RATEGUARD`.

    Lists are separated by commas, and so are the parts of a breaker: `failures=10,open_ms=60000`. Providers are a JSON object.

    A number that is none stays a text, so that `parse` names it.
    """
    return {key: _from_text(rule, environment[name]) for key, rule in _RULES.items() if (name := ENVIRONMENT_PREFIX + key) in environment}


def _from_text(rule: object, text: str) -> object:
    if isinstance(rule, _Keys | _Words | _Networks):
        return [one.strip() for one in text.split(",") if one.strip()]
    if isinstance(rule, _Switch):
        return _SWITCHES.get(text.strip().lower(), text)
    if isinstance(rule, _Providers):
        return _from_json(text)
    if isinstance(rule, _Breaker):
        pairs = (one.partition("=") for one in text.split(",") if one.strip())
        return {name.strip(): _number(value) for name, _, value in pairs}
    return _number(text) if isinstance(rule, _Whole) else text


_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _from_json(text: str) -> object:
    """What is no JSON stays a text, so that `parse` names it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str) -> object:
    return int(text) if re.fullmatch(r"-?\d+", text.strip()) else text


def is_production() -> bool:
    """Whether the settings claim to be production: RATEGUARD_ENV says so, or, where it is absent, DEBUG is off."""
    default = "development" if settings.DEBUG else "production"
    return bool(getattr(settings, "RATEGUARD_ENV", default) == "production")


@functools.cache
def conf() -> Conf:
    """The settings in force; parsed once, and again after a test overrides them. Raises ConfigurationError."""
    given = getattr(settings, "RATEGUARD", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("RATEGUARD is not a dict: write RATEGUARD = {...}")
    result = parse(given)
    if result.encryption_keys or is_production():
        return result
    return dataclasses.replace(result, encryption_keys=(_development_key(),))


def _development_key() -> str:
    digest = hashlib.sha256(b"rateguard encryption key\0" + settings.SECRET_KEY.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"RATEGUARD", "RATEGUARD_ENV", "SECRET_KEY", "DEBUG"}:
        conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="rateguard.conf")
