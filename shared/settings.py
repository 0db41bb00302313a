"""The environment as typed settings, checked whole: every fault is named at once.

A setting is declared once, as a field whose name in capitals is the variable's. `NAME_FILE` reads
the value of `NAME` from a file; an empty value counts as unset. Anything secret is a `Secret`,
which never prints.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from shared.database.url import database_url
from shared.errors import SettingsError
from shared.setting_readers import (
    BLANK,
    Secret,
    api_base,
    between,
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


def setting(default: str | None, read: Callable[[str], Any], meaning: str) -> Any:
    """Declare a field as a setting: its `Setting`, without the name."""
    return field(metadata={"setting": (default, read, meaning)})


@dataclass(frozen=True, kw_only=True)
class SchemaSettings:
    """What everything that speaks SQL needs, and all that `migrate --roles` needs."""

    stripe_schema: str = setting(
        "stripe", schema_name, "the database schema in which everything lies"
    )


@dataclass(frozen=True, kw_only=True)
class MigrateSettings(SchemaSettings):
    """What every command needs, and all that `migrate` needs."""

    database_url: Secret = setting(
        None,
        database_url,
        "the database, postgresql://user:password@host:5432/database; TLS unless local",
    )
    log_level: str = setting("INFO", log_level, "the least level logged")


@dataclass(frozen=True, kw_only=True)
class StripeSettings(MigrateSettings):
    """What every command that talks to Stripe needs."""

    stripe_secret_key: Secret = setting(
        None, stripe_key, "Stripe's API key; a restricted, read-only key is enough"
    )
    stripe_api_base: str = setting(
        "https://api.stripe.com", api_base, "where Stripe's API is; another host for tests"
    )

    https_proxy: Secret | None = setting(
        "",
        proxy_address,
        "the proxy for all that goes out over TLS: http://user:password@host:port",
    )
    no_proxy: str | None = setting(
        "", str, "hosts and domains for which it is not used, comma-separated"
    )

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

    stripe_webhook_secret: tuple[Secret, ...] = setting(
        None,
        webhook_secrets,
        "the endpoint's signing secret; several, comma-separated, while one is rolled",
    )
    port: int = setting("8080", between(1, 65_535), "the TCP port to serve on")
    web_concurrency: int = setting("1", between(1, 64), "worker processes")
    web_threads: int = setting("4", between(1, 64), "threads of a worker, an event in hand each")
    keepalive_seconds: int = setting(
        "75",
        between(1, 3_600),
        "how long an idle connection is kept; longer than a balancer in front keeps it",
    )
    max_body_bytes: int = setting(
        "2097152", between(1_024, 64 * 1024 * 1024), "the largest body read, in bytes"
    )
    signature_tolerance: int = setting(
        "300", between(1, 3_600), "how far a signature's time may be from now, in seconds"
    )


@dataclass(frozen=True, kw_only=True)
class ReconcileSettings(StripeSettings):
    """What `reconcile` needs."""

    stripe_rate_limit: int | None = setting(
        "",
        between(1, 1_000),
        "Stripe's limit on all requests a second; unset: 100 live, 25 in a sandbox",
    )
    stripe_endpoint_rate_limit: int = setting(
        "25", between(1, 1_000), "Stripe's limit on requests a second to one endpoint"
    )
    heartbeat_url: Secret | None = setting(
        "", web_address, "told of each nightly run's start and end"
    )
    lease_seconds: int = setting(
        "120", between(10, 3_600), "how long after its last sign of life a run is taken for dead"
    )
    grace_seconds: int = setting(
        "10", between(0, 600), "how old a difference must be to count, not in flight"
    )
    max_repairs: str = setting("10%", share, "how many existing rows a run may change, 10% or 50")
    deadline_seconds: int = setting(
        "270", between(0, 86_400), "when a run that repairs stops between windows; 0 for never"
    )
    event_payload_days: int = setting(
        "90", between(1, 36_500), "how long the ledger keeps an event's payload"
    )
    no_progress: bool | None = setting(
        "", bool, "anything: log lines, no progress bar, on a terminal too"
    )
    access_statuses: frozenset[str] = setting(
        "active,trialing,past_due", statuses, "statuses that let a customer in"
    )


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
    for name, one in declared(kind).items():
        try:
            values[name] = _value(one, environ, flags.get(one.name))
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
    names = ("heartbeat_url", "https_proxy", "no_proxy")
    try:
        url, proxy, direct = (_value(settings[name], environ) for name in names)
    except ValueError:
        return None
    return (url, Proxy.to(url.reveal(), proxy, direct)) if url else None


def declared(kind: type[SchemaSettings]) -> dict[str, Setting]:
    """Return the settings of one kind by field name, the required ones first."""
    settings = {
        one.name: Setting(one.name.upper(), *one.metadata["setting"]) for one in fields(kind)
    }
    return dict(sorted(settings.items(), key=lambda entry: entry[1].default is not None))


def describe(kind: type[SchemaSettings]) -> str:
    """Return the settings of one kind as text for a command's --help."""
    lines = [
        "settings, from the environment, or from the file that NAME_FILE names; in development",
        "also from the project's .env, elsewhere from one that ENV_FILE names:",
    ]
    for one in declared(kind).values():
        note = "required" if one.default is None else one.default or "none"
        lines.append(f"  {one.name:<22} {one.help} ({note})")
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
