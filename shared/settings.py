"""The environment as typed settings, checked whole: every fault is named at once.

A setting is declared once, as the annotation of its field. `NAME_FILE` reads the value of `NAME`
from a file; an empty value counts as unset. Anything secret is a `Secret`, which never prints.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar, get_type_hints

from shared.database.url import database_url
from shared.errors import SettingsError
from shared.setting_readers import (
    BLANK,
    Secret,
    api_base,
    given,
    log_level,
    proxy_address,
    require_clean,
    schema_name,
    share,
    statuses,
    stripe_key,
    web_address,
    webhook_secrets,
    whole_number,
)
from shared.stripe.proxy import Proxy


@dataclass(frozen=True)
class Setting:
    """How a setting is called, read and explained; `read` raises ValueError with the cure.

    A `default` of None makes it required, an empty one optional.
    """

    name: str
    default: str | None
    read: Callable[[str], Any]
    help: str


_POSTGRES = "the database, postgresql://user:password@host:5432/database; TLS unless local"
_KEY = "Stripe's API key; a restricted, read-only key is enough"
_BASE = "where Stripe's API is; another host for tests"
_SIGNING = "the endpoint's signing secret; several, comma-separated, while one is rolled"
_PORT = partial(whole_number, least=1, most=65_535)
_COUNT = partial(whole_number, least=1, most=64)
_KEEPALIVE = partial(whole_number, least=1, most=3_600)
_BODY = partial(whole_number, least=1_024, most=64 * 1024 * 1024)
_TOLERANCE = partial(whole_number, least=1, most=3_600)
_LEASE = partial(whole_number, least=10, most=3_600)
_PAYLOAD = partial(whole_number, least=1, most=36_500)
_GRACE = partial(whole_number, least=0, most=600)
_RATE = partial(whole_number, least=1, most=1_000)
_DEADLINE = partial(whole_number, least=0, most=86_400)


@dataclass(frozen=True, kw_only=True)
class SchemaSettings:
    """What everything that speaks SQL needs, and all that `migrate --roles` needs."""

    stripe_schema: Annotated[
        str,
        Setting(
            "STRIPE_SCHEMA", "stripe", schema_name, "the database schema in which everything lies"
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class MigrateSettings(SchemaSettings):
    """What every command needs, and all that `migrate` needs."""

    database_url: Annotated[Secret, Setting("DATABASE_URL", None, database_url, _POSTGRES)]
    log_level: Annotated[str, Setting("LOG_LEVEL", "INFO", log_level, "the least level logged")]


@dataclass(frozen=True, kw_only=True)
class StripeSettings(MigrateSettings):
    """What every command that talks to Stripe needs."""

    stripe_secret_key: Annotated[Secret, Setting("STRIPE_SECRET_KEY", None, stripe_key, _KEY)]
    stripe_api_base: Annotated[
        str, Setting("STRIPE_API_BASE", "https://api.stripe.com", api_base, _BASE)
    ]

    https_proxy: Annotated[
        Secret | None,
        Setting(
            "HTTPS_PROXY",
            "",
            proxy_address,
            "the proxy for all that goes out over TLS: http://user:password@host:port",
        ),
    ]
    no_proxy: Annotated[
        str | None,
        Setting("NO_PROXY", "", str, "hosts and domains for which it is not used, comma-separated"),
    ]

    def proxy_to(self, url: str) -> Proxy | None:
        """Return the proxy on the way to `url`, None where there is none."""
        return Proxy.to(url, self.https_proxy, self.no_proxy)

    @property
    def livemode(self) -> bool:
        """True when the key is a live one."""
        return self.stripe_secret_key.reveal().startswith(("sk_live_", "rk_live_"))


@dataclass(frozen=True, kw_only=True)
class WebhookSettings(StripeSettings):
    """What `webhook` needs."""

    stripe_webhook_secret: Annotated[
        tuple[Secret, ...], Setting("STRIPE_WEBHOOK_SECRET", None, webhook_secrets, _SIGNING)
    ]
    port: Annotated[int, Setting("PORT", "8080", _PORT, "the TCP port to serve on")]
    web_concurrency: Annotated[int, Setting("WEB_CONCURRENCY", "1", _COUNT, "worker processes")]
    web_threads: Annotated[
        int, Setting("WEB_THREADS", "4", _COUNT, "threads of a worker, an event in hand each")
    ]
    keepalive_seconds: Annotated[
        int,
        Setting(
            "KEEPALIVE_SECONDS",
            "75",
            _KEEPALIVE,
            "how long an idle connection is kept; longer than a balancer in front keeps it",
        ),
    ]
    max_body_bytes: Annotated[
        int, Setting("MAX_BODY_BYTES", "2097152", _BODY, "the largest body read, in bytes")
    ]
    signature_tolerance: Annotated[
        int,
        Setting(
            "SIGNATURE_TOLERANCE",
            "300",
            _TOLERANCE,
            "how far a signature's time may be from now, in seconds",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class ReconcileSettings(StripeSettings):
    """What `reconcile` needs."""

    stripe_rate_limit: Annotated[
        int | None,
        Setting(
            "STRIPE_RATE_LIMIT",
            "",
            _RATE,
            "Stripe's limit on all requests a second; unset: 100 live, 25 in a sandbox",
        ),
    ]
    stripe_endpoint_rate_limit: Annotated[
        int,
        Setting(
            "STRIPE_ENDPOINT_RATE_LIMIT",
            "25",
            _RATE,
            "Stripe's limit on requests a second to one endpoint",
        ),
    ]
    heartbeat_url: Annotated[
        Secret | None,
        Setting("HEARTBEAT_URL", "", web_address, "told of each nightly run's start and end"),
    ]
    lease_seconds: Annotated[
        int,
        Setting(
            "LEASE_SECONDS",
            "120",
            _LEASE,
            "how long after its last sign of life a run is taken for dead",
        ),
    ]
    grace_seconds: Annotated[
        int,
        Setting(
            "GRACE_SECONDS", "10", _GRACE, "how old a difference must be to count, not in flight"
        ),
    ]
    max_repairs: Annotated[
        str,
        Setting("MAX_REPAIRS", "10%", share, "how many existing rows a run may change, 10% or 50"),
    ]
    deadline_seconds: Annotated[
        int,
        Setting(
            "DEADLINE_SECONDS",
            "270",
            _DEADLINE,
            "when a run that repairs stops between windows; 0 for never",
        ),
    ]
    event_payload_days: Annotated[
        int,
        Setting(
            "EVENT_PAYLOAD_DAYS", "90", _PAYLOAD, "how long the ledger keeps an event's payload"
        ),
    ]
    no_progress: Annotated[
        bool | None,
        Setting("NO_PROGRESS", "", bool, "anything: log lines, no progress bar, on a terminal too"),
    ]
    access_statuses: Annotated[
        frozenset[str],
        Setting(
            "ACCESS_STATUSES",
            "active,trialing,past_due",
            statuses,
            "statuses that let a customer in",
        ),
    ]


Settings = TypeVar("Settings", bound=SchemaSettings)
_MAX_FILE_BYTES: Final = 65_536


def load(
    kind: type[Settings],
    environ: Mapping[str, str],
    flags: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Settings:
    """Return the settings of one kind; raises SettingsError naming every fault.

    `flags`: what was typed in place of a setting, by the setting's name: the flag and its text.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field, setting in declared(kind).items():
        try:
            values[field] = _value(setting, environ, flags.get(setting.name))
        except ValueError as fault:
            faults.append(str(fault))
    if faults:
        raise SettingsError(faults)
    return kind(**values)


def monitor(environ: Mapping[str, str]) -> tuple[Secret, Proxy | None] | None:
    """Return whom to tell that settings are wrong, and the proxy on the way there.

    None where that is not set, or wrong itself.
    """
    settings = declared(ReconcileSettings)
    fields = ("heartbeat_url", "https_proxy", "no_proxy")
    try:
        url, proxy, direct = (_value(settings[field], environ) for field in fields)
    except ValueError:
        return None
    return (url, Proxy.to(url.reveal(), proxy, direct)) if url else None


def declared(kind: type[SchemaSettings]) -> dict[str, Setting]:
    """Return the settings of one kind by field name, the required ones first."""
    hints = get_type_hints(kind, include_extras=True)
    settings = {field: hint.__metadata__[0] for field, hint in hints.items()}
    return dict(sorted(settings.items(), key=lambda entry: entry[1].default is not None))


def describe(kind: type[SchemaSettings]) -> str:
    """Return the settings of one kind as text for a command's --help."""
    lines = [
        "settings, from the environment, or from the file that NAME_FILE names; in development",
        "also from the project's .env, elsewhere from one that ENV_FILE names:",
    ]
    for setting in declared(kind).values():
        note = "required" if setting.default is None else setting.default or "none"
        lines.append(f"  {setting.name:<22} {setting.help} ({note})")
    return "\n".join(lines)


def _value(
    setting: Setting, environ: Mapping[str, str], typed: tuple[str, str] | None = None
) -> Any:
    name = setting.name
    if name.endswith("_PROXY") and given(environ, name.lower()):
        name = name.lower()  # it goes first, as with curl
    if typed is None:
        text = _text(name, environ) or setting.default
    else:
        name, text = typed[0], typed[1].strip(BLANK)
        if not text:
            raise ValueError(f"{name} is empty: {setting.help}")
    if text is None:
        raise ValueError(f"{name} is not set: {setting.help}")
    if not text:
        return None
    try:
        require_clean(setting.name, text)
        return setting.read(text)
    except ValueError as fault:
        raise ValueError(f"{name} {fault}") from None


def _text(name: str, environ: Mapping[str, str]) -> str:
    text, path = given(environ, name), given(environ, f"{name}_FILE")
    if text and path:
        raise ValueError(f"{name} and {name}_FILE are both set: keep one")
    if not path:
        return text
    try:
        with Path(path).open(encoding="utf-8") as file:
            content = file.read(_MAX_FILE_BYTES).strip(BLANK)
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not text"
        raise ValueError(f"{_file(name, path)}, which cannot be read: {reason}") from None
    if not content:
        raise ValueError(f"{_file(name, path)}, which is empty")
    return content


def _file(name: str, path: str) -> str:
    """Name the file, unless it is the value itself that was given in its place."""
    is_path = re.fullmatch(r"[\w./ +-]{1,200}", path, re.ASCII) and not re.match(
        r"[srp]k_|whsec_", path
    )
    return f"{name}_FILE names {path}" if is_path else f"{name}_FILE names a file"
