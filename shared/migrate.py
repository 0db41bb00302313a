"""The command `migrate`: bring the schema to this version, or say what is pending."""

# ruff: noqa: T201 - a command speaks to a person

from __future__ import annotations

import argparse
import sys

from shared.command import OK, Call, Command, imports
from shared.settings import MigrateSettings, SchemaSettings

_LONGEST_WAIT = 86_400


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--check", action="store_true", help="change nothing; exit 1 when something is pending")
    add(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="wait so long for a database that is not there yet",
    )
    add(
        "--roles",
        action="store_true",
        help="print the SQL that gives each program a role with exactly what it needs; change"
        " nothing",
    )


def _needs(arguments: argparse.Namespace) -> type[SchemaSettings]:
    return SchemaSettings if arguments.roles else MigrateSettings


def _execute(call: Call[SchemaSettings]) -> int:
    with imports():
        from shared.database.migrations import bring_up_to_date, require_up_to_date
        from shared.database.roles import roles

    arguments, settings = call.arguments, call.settings
    if not isinstance(settings, MigrateSettings):
        print(roles(settings.stripe_schema), end="")
        return OK
    url, schema = settings.database_url.reveal(), settings.stripe_schema
    if arguments.check:
        require_up_to_date(url, schema, seconds=arguments.wait)
    else:
        for name in bring_up_to_date(url, schema, seconds=arguments.wait):
            print(f"applied {name}")
    print("the schema is current")
    return OK


def _seconds(text: str) -> float:
    """Read a number of seconds, a day at most."""
    seconds = float(text)
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be between 0 and {_LONGEST_WAIT} seconds")
    return seconds


main = Command[SchemaSettings](
    name="migrate",
    summary="Bring the schema of DATABASE_URL to this version: `stripe`, or the one that"
    " STRIPE_SCHEMA names.",
    settings=MigrateSettings,
    needs=_needs,
    add_arguments=_add_arguments,
    execute=_execute,
    exit_status="0 done or current; 1 failed or pending; 2 wrong usage or settings",
)


if __name__ == "__main__":
    sys.exit(main())
