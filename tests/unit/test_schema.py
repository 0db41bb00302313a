"""The schema's name: written `stripe` in every statement, put in where another one is meant."""

import re

import pytest

from shared.database.migrations import migrations
from shared.database.roles import roles
from shared.database.schema import in_schema
from shared.repository.__main__ import statements
from shared.setting_readers import schema_name

TEXTS = {
    **{migration.name: migration.sql for migration in migrations()},
    "roles": roles(),
    **{name: statement.text for name, statement in statements().items()},
}
# A word of our own in the counts of a run: the side on which something was seen.
SIDE = re.compile(r"'stripe'(?!::)")
PROSE = re.compile(r"--.*|\bIS\s+'(?:[^']|'')*'")


@pytest.mark.parametrize("name", TEXTS)
def test_no_statement_means_the_default_schema_where_another_one_is_set(name: str) -> None:
    text = in_schema(TEXTS[name], "order")
    assert not re.search(r"\bstripe\b", SIDE.sub("", PROSE.sub("", text)))
    assert '"order".' in text or "stripe." not in TEXTS[name]
    assert in_schema(TEXTS[name], "stripe") == TEXTS[name]


def test_what_only_looks_like_the_schema_stays() -> None:
    text = "SELECT 'api.stripe.com', 'stripe', my_stripe.x, stripes.y FROM stripe.events"
    assert in_schema(text, "billing") == text.replace("FROM stripe.", 'FROM "billing".')


@pytest.mark.parametrize(
    "name",
    [
        *("Billing", "1st", "a-b", 'a"b', "a.b", "a b", "x;--", "é", "a" * 64),
        *("pg_mirror", "information_schema", "public"),
    ],
)
def test_name_that_would_need_quotes_or_is_not_for_us_alone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a schema's name"):
        schema_name(name)
