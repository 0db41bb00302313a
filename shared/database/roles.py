"""The roles of the programs, each with exactly what it needs: what `migrate --roles` prints."""

from __future__ import annotations

from importlib import resources

from shared.database.migrations import ROLES
from shared.database.schema import DEFAULT, in_schema
from shared.objects.catalogue import MIRRORED


def roles(schema: str = DEFAULT) -> str:
    """Return the SQL that makes the roles in that schema, for psql and an owner of it.

    The tables of what is mirrored are those of the catalogue.
    """
    text = resources.files("shared").joinpath("migrations", ROLES).read_text(encoding="utf-8")
    items = [mirrored.items.table for mirrored in MIRRORED if mirrored.items]
    objects = [mirrored.table for mirrored in MIRRORED]
    for name, tables in (("{OBJECTS}", [*objects, *items]), ("{ITEMS}", items)):
        text = text.replace(name, ", ".join(f"stripe.{table}" for table in tables))
    return in_schema(text, schema)
