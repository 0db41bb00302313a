"""What a value brings along when it is copied is named, in every setting, and never repeated."""

import pytest

from shared.errors import SettingsError
from shared.settings import ReconcileSettings, StripeSettings, WebhookSettings, declared, load

CANARY = "c4n4ry"
GOOD = {
    "DATABASE_URL": f"postgresql://app:{CANARY}@localhost:5432/app",
    "STRIPE_SECRET_KEY": f"rk_test_{CANARY}",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{CANARY}",
    "STRIPE_API_BASE": "https://api.stripe.com",
    "HEARTBEAT_URL": f"https://hc.example/{CANARY}",
    "LOG_LEVEL": "INFO",
    "PORT": "8080",
    "GRACE_SECONDS": "10",
    "MAX_REPAIRS": "10%",
    "ACCESS_STATUSES": "active",
}
KINDS: dict[str, type[StripeSettings]] = {
    **{setting.name: ReconcileSettings for setting in declared(ReconcileSettings).values()},
    **{setting.name: WebhookSettings for setting in declared(WebhookSettings).values()},
}
# What is done to the value, and the word that names it.
CASES = {
    "BOM before": ("\ufeff{}", "byte order mark"),
    "BOM after": ("{}\ufeff", "byte order mark"),
    "zero-width space": ("{}\u200b", "zero-width"),
    "zero-width joiner inside": ("\u200d{}", "zero-width"),
    "soft hyphen": ("{}\u00ad", "zero-width"),
    "right-to-left mark": ("\u200f{}", "zero-width"),
    "no-break space": ("{}\u00a0", "no-break space"),
    "narrow no-break space": ("\u202f{}", "no-break space"),
    "ideographic space": ("\u3000{}", "no-break space"),
    "line break inside": ("{}\nx", "line break"),
    "carriage return inside": ("{}\rx", "line break"),
    "line separator": ("{}\u2028x", "line break"),
    "tab inside": ("{}\tx", "a tab"),
    "control character": ("{}\x07", "control character"),
    "escape": ("\x1b{}", "control character"),
    "not UTF-8": ("{}\udcff", "UTF-8"),
    "single quotes": ("'{}'", "quotes"),
    "double quotes": ('"{}"', "quotes"),
    "curly quotes": ("\u201c{}\u201d", "quotes"),
    "backticks": ("`{}`", "quotes"),
    "quote at one end": ('"{}', "quote"),
    "with its name": ("NAME={}", "its own name"),
    "with its name, spaced": ("NAME = {}", "its own name"),
    "with its name as YAML": ("NAME: {}", "its own name"),
    "exported": ("export NAME={}", "its own name"),
    "Bearer": ("Bearer {}", "Bearer"),
    "header": ("Authorization: Bearer {}", "Bearer"),
    "shell reference": ("$NAME", "placeholder"),
    "template": ("${{NAME}}", "placeholder"),
    "double template": ("{{{{ NAME }}}}", "placeholder"),
    "to be filled in": ("<your {}>", "placeholder"),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("case", CASES)
def test_what_came_along_is_named_and_the_value_is_not_repeated(name: str, case: str) -> None:
    frame, word = CASES[case]
    text = frame.format(GOOD[name]).replace("NAME", name)
    with pytest.raises(SettingsError) as caught:
        load(KINDS[name], GOOD | {name: text})
    (fault,) = caught.value.faults
    assert fault.startswith(f"{name} ")
    assert word in fault
    assert CANARY not in fault


@pytest.mark.parametrize("name", GOOD)
def test_blanks_around_a_value_are_cut_off(name: str) -> None:
    for frame in (" {} ", "{}\n", "\t{}\r\n"):
        load(KINDS[name], GOOD | {name: frame.format(GOOD[name])})


@pytest.mark.parametrize(
    "key, word",
    [
        (f"pk_live_{CANARY}", "publishable"),
        (f"pk_test_{CANARY}", "publishable"),
        (f"sk_org_live_{CANARY}", "organization"),
        (f"sk_org_test_{CANARY}", "organization"),
        (f"rk_org_{CANARY}", "organization"),
        (f"STRIPE_API_KEY=sk_live_{CANARY}", "a name stands in front"),
        (f"api_key: sk_live_{CANARY}", "a name stands in front"),
        (f"whsec_{CANARY}", "STRIPE_WEBHOOK_SECRET"),
        (f"we_{CANARY}", "id of something"),
        (f"acct_{CANARY}", "id of something"),
        (f"ek_live_{CANARY}", "ephemeral"),
        (f"sk_live_{CANARY}...1234", "shortened"),
        (f"sk_live_{CANARY}***1234", "shortened"),
        (f"sk_live_{CANARY}\u20261234", "shortened"),
        (f"sk_live_{CANARY} 1", "space"),
        (f"sk_live_{CANARY},1", "character"),
        (f"postgresql://u:{CANARY}@h/d", "DATABASE_URL"),
    ],
)
def test_what_is_put_in_place_of_a_key_is_named(key: str, word: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WebhookSettings, GOOD | {"STRIPE_SECRET_KEY": key})
    (fault,) = caught.value.faults
    assert fault.startswith("STRIPE_SECRET_KEY must be a Stripe key")
    assert word in fault
    assert CANARY not in fault


@pytest.mark.parametrize(
    "secret, word",
    [
        (f"sk_test_{CANARY}", "STRIPE_SECRET_KEY"),
        (f"rk_live_{CANARY}", "STRIPE_SECRET_KEY"),
        (f"pk_live_{CANARY}", "publishable"),
        (f"we_{CANARY}", "endpoint's id"),
        (f"whsec_{CANARY}...", "shortened"),
        (f"whsec_{CANARY} 1", "space"),
        (f"whsec_{CANARY};whsec_2", "character"),
        (f"whsec_{CANARY},,whsec_2", "two commas"),
    ],
)
def test_what_is_put_in_place_of_a_signing_secret_is_named(secret: str, word: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(WebhookSettings, GOOD | {"STRIPE_WEBHOOK_SECRET": secret})
    (fault,) = caught.value.faults
    assert fault.startswith("STRIPE_WEBHOOK_SECRET must be")
    assert word in fault
    assert CANARY not in fault


def test_file_whose_place_holds_the_secret_itself_is_not_repeated() -> None:
    for secret in (f"sk_live_{CANARY}", f"whsec_{CANARY}", f"postgresql://u:{CANARY}@h/d"):
        with pytest.raises(SettingsError) as caught:
            load(
                WebhookSettings, {**GOOD, "STRIPE_SECRET_KEY": "", "STRIPE_SECRET_KEY_FILE": secret}
            )
        assert CANARY not in str(caught.value)
