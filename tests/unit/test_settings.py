"""The environment is checked whole, secrets never print, and nothing starts without a check."""

import re
from pathlib import Path

import pytest
import stripe

from shared.errors import SettingsError
from shared.setting_readers import STATUSES, Secret
from shared.settings import (
    MigrateSettings,
    ReconcileSettings,
    WebhookSettings,
    declared,
    describe,
    load,
)

GOOD = {
    "DATABASE_URL": "postgresql://app:hunter2@localhost:5432/app",
    "STRIPE_SECRET_KEY": "rk_test_canary",
    "STRIPE_WEBHOOK_SECRET": "whsec_canary",
}


def fault_of(**changed: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(WebhookSettings, GOOD | changed)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


@pytest.fixture(autouse=True)
def no_libpq_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)


def test_three_required_settings_are_enough() -> None:
    settings = load(WebhookSettings, GOOD)
    assert settings.database_url.reveal() == GOOD["DATABASE_URL"]
    assert settings.stripe_secret_key.reveal() == "rk_test_canary"
    assert settings.stripe_webhook_secret == (Secret("whsec_canary"),)
    assert settings.stripe_api_base == "https://api.stripe.com"
    assert settings.log_level == "INFO"
    assert (settings.port, settings.web_concurrency, settings.web_threads) == (8080, 1, 4)
    assert (settings.max_body_bytes, settings.signature_tolerance) == (2 * 1024 * 1024, 300)


def test_defaults_of_reconcile_are_the_documented_ones() -> None:
    settings = load(ReconcileSettings, GOOD)
    assert settings.heartbeat_url is None
    assert (settings.lease_seconds, settings.grace_seconds) == (120, 10)
    assert (settings.max_repairs, settings.deadline_seconds) == ("10%", 270)
    assert settings.access_statuses == {"active", "trialing", "past_due"}
    assert (settings.stripe_rate_limit, settings.stripe_endpoint_rate_limit) == (None, 25)


@pytest.mark.parametrize("name", ["STRIPE_RATE_LIMIT", "STRIPE_ENDPOINT_RATE_LIMIT"])
def test_limit_that_stripe_raised_is_taken_up_to_a_thousand(name: str) -> None:
    assert getattr(load(ReconcileSettings, GOOD | {name: "1000"}), name.lower()) == 1_000
    for text in ("0", "1001", "24.5"):
        with pytest.raises(SettingsError, match=f"{name} must be a whole number from 1 to 1000"):
            load(ReconcileSettings, GOOD | {name: text})


def test_migrate_needs_nothing_but_the_database() -> None:
    settings = load(MigrateSettings, {"DATABASE_URL": GOOD["DATABASE_URL"]})
    assert settings.database_url.reveal() == GOOD["DATABASE_URL"]


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(
            WebhookSettings,
            {"PORT": "eighty", "LOG_LEVEL": "LOUD", "STRIPE_SECRET_KEY": "pk_test_1"},
        )
    message = str(caught.value)
    assert message.startswith("5 settings are wrong:")
    for name in ("DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "PORT", "LOG_LEVEL"):
        assert name in message


@pytest.mark.parametrize("blank", ["", "   ", "\n"])
def test_empty_value_counts_as_unset(blank: str) -> None:
    assert load(WebhookSettings, GOOD | {"PORT": blank}).port == 8080
    assert "STRIPE_WEBHOOK_SECRET is not set" in fault_of(STRIPE_WEBHOOK_SECRET=blank)


@pytest.mark.parametrize(
    "secret",
    ["whsec_", "whsec_...", ",", "whsec_a,", "whsec_a,,whsec_b", "sk_test_1", "we_1", "whsec_a b"],
)
def test_no_usable_signing_secret_is_a_refusal_to_start(secret: str) -> None:
    """Trap 19: without a secret anybody could write, and an empty one is known to everybody."""
    assert fault_of(STRIPE_WEBHOOK_SECRET=secret).startswith("STRIPE_WEBHOOK_SECRET must be")


def test_several_signing_secrets_are_read_in_order() -> None:
    settings = load(WebhookSettings, GOOD | {"STRIPE_WEBHOOK_SECRET": " whsec_new , whsec_old "})
    assert [s.reveal() for s in settings.stripe_webhook_secret] == ["whsec_new", "whsec_old"]


@pytest.mark.parametrize(
    "key, livemode",
    [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False), ("rk_test__live_", False)],
)
def test_prefix_of_the_key_tells_the_mode(key: str, livemode: bool) -> None:
    assert load(WebhookSettings, GOOD | {"STRIPE_SECRET_KEY": key}).livemode is livemode


@pytest.mark.parametrize(
    "key", ["pk_live_canary", "sk_live_", "sk_canary", "whsec_canary", "sk_test_canary..."]
)
def test_what_is_no_secret_key_is_refused(key: str) -> None:
    fault = fault_of(STRIPE_SECRET_KEY=key)
    assert fault.startswith("STRIPE_SECRET_KEY must be a Stripe key")
    assert "canary" not in fault


@pytest.mark.parametrize(
    "name, least, most",
    [
        ("PORT", 1, 65_535),
        ("WEB_CONCURRENCY", 1, 64),
        ("WEB_THREADS", 1, 64),
        ("MAX_BODY_BYTES", 1_024, 67_108_864),
        ("SIGNATURE_TOLERANCE", 1, 3_600),
    ],
)
def test_number_is_taken_within_its_range_and_refused_one_beyond(
    name: str, least: int, most: int
) -> None:
    for number in (least, most):
        assert getattr(load(WebhookSettings, GOOD | {name: str(number)}), name.lower()) == number
    for text in (str(least - 1), str(most + 1), "1.5", "+1", "1_0", "٣", "9" * 5_000):
        assert fault_of(**{name: text}) == f"{name} must be a whole number from {least} to {most}"


@pytest.mark.parametrize("text", ["0%", "10%", "12.5 %", "100%", "0", "50"])
def test_largest_repair_is_a_percentage_or_a_number_of_rows(text: str) -> None:
    assert load(ReconcileSettings, GOOD | {"MAX_REPAIRS": text}).max_repairs == text


@pytest.mark.parametrize(
    "text", ["ten", "100.1%", "-1%", "-1", "1e1%", "1e3", "%", "nan%", "inf%", "1.5"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="MAX_REPAIRS must be a percentage"):
        load(ReconcileSettings, GOOD | {"MAX_REPAIRS": text})


def test_statuses_are_those_of_the_pinned_stripe_library() -> None:
    annotation = str(stripe.Subscription.__annotations__["status"])
    assert set(STATUSES) == set(re.findall(r"[\"'](\w+)[\"']", annotation))


@pytest.mark.parametrize(
    "text, meant",
    [
        ("active", {"active"}),
        (" active , trialing ", {"active", "trialing"}),
        ("Active,PAST_DUE", {"active", "past_due"}),
        ("active,active", {"active"}),
        ("active,,trialing,", {"active", "trialing"}),
        ("active,\n trialing", None),
        ("actve,trialing", None),
        ("active,on_ice", None),
        ("cancelled", None),
        ("past due", None),
        ("past-due", None),
        ("active;trialing", None),
        ("active trialing", None),
        ("all", None),
        ("*", None),
        ("Active!", None),
        ("\u0430ctive", None),  # the first letter is Cyrillic
        (",", None),
        (" , ,", None),
    ],
)
def test_word_that_is_no_status_of_stripes_is_refused_with_the_list(
    text: str, meant: set[str] | None
) -> None:
    if meant is not None:
        assert load(ReconcileSettings, GOOD | {"ACCESS_STATUSES": text}).access_statuses == meant
        return
    with pytest.raises(SettingsError) as caught:
        load(ReconcileSettings, GOOD | {"ACCESS_STATUSES": text})
    said = str(caught.value)
    assert "ACCESS_STATUSES" in said
    assert "line break" in said or all(status in said for status in STATUSES)
    assert "actve" not in said


@pytest.mark.parametrize(
    "flag, name, text, fault",
    [
        ("--max-repairs", "MAX_REPAIRS", "ten", "must be a percentage"),
        ("--max-repairs", "MAX_REPAIRS", "", "is empty"),
        ("--deadline", "DEADLINE_SECONDS", "-1", "must be a whole number from 0 to 86400"),
        ("--deadline", "DEADLINE_SECONDS", "5m", "must be a whole number"),
        ("--grace", "GRACE_SECONDS", "601", "must be a whole number from 0 to 600"),
        ("--grace", "GRACE_SECONDS", "'10'", "is in quotes"),
    ],
)
def test_flag_is_named_as_it_was_typed_and_a_setting_by_its_name(
    flag: str, name: str, text: str, fault: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(
            ReconcileSettings, GOOD | {name: "1", f"{name}_FILE": "/nowhere"}, {name: (flag, text)}
        )
    assert len(caught.value.faults) == 1, "what was typed wins over both"
    assert caught.value.faults[0].startswith(f"{flag} {fault}")
    assert name not in str(caught.value)
    if text:
        with pytest.raises(SettingsError) as caught:
            load(ReconcileSettings, GOOD | {name: text})
        assert caught.value.faults[0].startswith(f"{name} {fault}")


@pytest.mark.parametrize(
    "base",
    ["https://api.stripe.com/", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"],
)
def test_api_base_is_taken_without_tls_only_from_this_machine(base: str) -> None:
    settings = load(WebhookSettings, GOOD | {"STRIPE_API_BASE": base})
    assert settings.stripe_api_base == base.rstrip("/")


@pytest.mark.parametrize(
    "base",
    [
        "http://api.stripe.com",
        "http://localhost.example",
        "http://user@localhost",
        "https://api.stripe.com/v1",
        "https://api.stripe.com?x",
        "ftp://localhost",
        "https://",
        "https://h:port",
        "api.stripe.com",
        "https://[",
    ],
)
def test_what_would_leak_the_key_or_is_no_base_is_refused(base: str) -> None:
    assert fault_of(STRIPE_API_BASE=base).startswith("STRIPE_API_BASE must be")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///app",
        "postgresql:///app?host=/tmp/socket&user=app",
        "postgresql://localhost/app?sslmode=disable",
        "postgresql://127.0.0.1,[::1]:5433/app",
        "host=@abstract dbname=app",
    ],
)
def test_database_on_this_machine_needs_no_tls(url: str) -> None:
    assert load(MigrateSettings, {"DATABASE_URL": url}).database_url.reveal() == url


@pytest.mark.parametrize("mode", ["", "?sslmode=prefer", "?sslmode=allow"])
@pytest.mark.parametrize("host", ["db.example", "10.0.0.1", "localhost,db.example"])
def test_database_elsewhere_is_reached_over_tls(host: str, mode: str) -> None:
    url = load(MigrateSettings, {"DATABASE_URL": f"postgresql://u:p@{host}/app{mode}"}).database_url
    assert "sslmode=require" in url.reveal()


def test_host_that_libpq_takes_from_its_own_environment_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    url = load(MigrateSettings, {"DATABASE_URL": "postgresql:///app"}).database_url
    assert "sslmode=require" in url.reveal()


def test_stricter_tls_is_kept() -> None:
    url = "postgresql://u:p@db.example/app?sslmode=verify-full"
    assert load(MigrateSettings, {"DATABASE_URL": url}).database_url.reveal() == url


@pytest.mark.parametrize("mode", ["disable", "none"])
def test_database_elsewhere_without_tls_is_refused(mode: str) -> None:
    fault = fault_of(DATABASE_URL=f"postgresql://u:p@db.example/app?sslmode={mode}")
    assert "sslmode" in fault


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "hunter2", "postgresql://u:hunter2%zz@h"])
def test_unreadable_database_url_is_refused_without_its_password(url: str) -> None:
    fault = fault_of(DATABASE_URL=url)
    assert fault.startswith("DATABASE_URL must be a PostgreSQL URL")
    assert "hunter2" not in fault


def test_value_is_read_from_the_file_without_its_newline(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk_live_from_file\n")
    environ = {name: value for name, value in GOOD.items() if name != "STRIPE_SECRET_KEY"}
    settings = load(WebhookSettings, environ | {"STRIPE_SECRET_KEY_FILE": str(file)})
    assert settings.stripe_secret_key.reveal() == "sk_live_from_file"


def test_value_and_file_at_once_are_refused(tmp_path: Path) -> None:
    fault = fault_of(STRIPE_SECRET_KEY_FILE=str(tmp_path / "key"))
    assert fault == "STRIPE_SECRET_KEY and STRIPE_SECRET_KEY_FILE are both set: keep one"


def test_file_that_cannot_be_used_is_named_by_its_path(tmp_path: Path) -> None:
    binary, empty = tmp_path / "binary", tmp_path / "empty"
    binary.write_bytes(b"\xff\xfe")
    empty.write_text("\n")
    for path in (tmp_path / "missing", tmp_path, binary, empty):
        fault = fault_of(PORT_FILE=str(path))
        assert fault.startswith(f"PORT_FILE names {path}, which ")


def test_no_secret_is_printed_in_any_form() -> None:
    settings = load(WebhookSettings, GOOD)
    heartbeat = load(ReconcileSettings, GOOD | {"HEARTBEAT_URL": "https://hc.example/canary"})
    printed = f"{settings} {settings!r} {heartbeat!r} {settings.stripe_secret_key:>20}"
    printed += str(settings.database_url) + "".join(map(repr, settings.stripe_webhook_secret))
    assert "canary" not in printed
    assert "hunter2" not in printed
    with pytest.raises(TypeError, match="pickled"):
        settings.stripe_secret_key.__reduce__()


@pytest.mark.parametrize("kind", [WebhookSettings, ReconcileSettings])
def test_help_names_every_setting_with_its_default(
    kind: type[WebhookSettings] | type[ReconcileSettings],
) -> None:
    text = describe(kind)
    for setting in declared(kind).values():
        assert setting.name in text
        assert (setting.default or "required") in text or setting.default == ""
