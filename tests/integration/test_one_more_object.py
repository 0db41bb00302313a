"""One more object, added to a copy of the product by its list: nothing else has to know it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble

ROOT = Path(__file__).parents[2]
MIGRATE = "shared.migrate"

COUPON = """
from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject

COUPON = MirroredObject(
    name="coupon",
    table="coupons",
    prefix="coupon",
    path="/v1/coupons",
    columns=(
        Column("id", Type.TEXT, required=True),
        Column("name", Type.TEXT, keeps=True),
        Column("valid", Type.BOOLEAN),
        Column("created", Type.TIMESTAMP, keeps=True),
        Column("deleted", Type.BOOLEAN),
        Column("metadata", Type.METADATA),
    ),
    events=("coupon.created", "coupon.updated", "coupon.deleted"),
    deleted_by="coupon.deleted",
    known_when_deleted=False,
)
"""
COUPONS = """
CREATE TABLE stripe.coupons (
    id text PRIMARY KEY,
    name text,
    valid boolean,
    created timestamptz,
    deleted boolean NOT NULL,
    metadata jsonb NOT NULL,
    missing_in_stripe_since timestamptz,
    as_of tstzrange NOT NULL,
    revision bigint NOT NULL
);
"""
DELIVERY = """
import json, sys, time
from shared.database.pool import Database
from shared.mirror import Mirror
from shared.rehearsal import rehearse
from shared.stripe.api import StripeApi
from shared.stripe.event import decode_event
from shared.stripe.http import WEBHOOK_PATIENCE, StripeHttp

url, stripe = sys.argv[1:]
database = Database(url)
api = StripeApi(StripeHttp(stripe, "sk_test_double", patience=WEBHOOK_PATIENCE), livemode=False)
with database.connection() as connection:
    rehearse(connection, livemode=False)
mirror = Mirror(database, api)
for number, what in enumerate(("created", "updated", "deleted")):
    coupon = {"id": "SUMMER", "object": "coupon", "name": f"Summer {number}", "valid": True}
    body = json.dumps({
        "id": f"evt_{number}", "type": f"coupon.{what}", "created": 1_790_000_000 + 10 * number,
        "livemode": False, "data": {"object": {**coupon, "created": 1_789_000_000}},
    }).encode()
    print(mirror.apply_event(decode_event(body), body, time.monotonic() + 10).outcome)
database.close()
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the product's packages, to be changed as a developer would."""
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=without)
    return tmp_path


def test_one_more_object_is_one_declaration_a_line_and_a_migration(
    house: Path, database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    objects = house / "shared" / "objects"
    (objects / "coupon.py").write_text(COUPON)
    catalogue = (objects / "catalogue.py").read_text()
    for line, added in (
        ("from shared.objects.customer", "from shared.objects.coupon import COUPON"),
        ("    CUSTOMER,", "    COUPON,"),
    ):
        assert catalogue.count(f"\n{line}") == 1
        catalogue = catalogue.replace(f"\n{line}", f"\n{added}\n{line}")
    (objects / "catalogue.py").write_text(catalogue)
    (house / "shared" / "migrations" / "9000_coupons.sql").write_text(COUPONS)

    def python(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=house,
            env={**os.environ, "DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    python("-m", MIGRATE)
    said = python("-c", DELIVERY, database_url, stripe_double.url)
    assert said.split() == ["applied"] * 3
    row = connection.execute(
        "SELECT id, name, valid, deleted, revision FROM stripe.coupons"
    ).fetchone()
    assert row == ("SUMMER", "Summer 2", None, True, 3)
    roles = python("-m", MIGRATE, "--roles")
    assert re.search(r"GRANT SELECT ON [^;]*stripe\.coupons[^;]* TO subscription_sync_app", roles)
    printed = python("-m", "shared.repository")
    assert "stripe.coupons" in printed
