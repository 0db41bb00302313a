"""No secret and no e-mail address in any log, answer or error, whatever happens.

Every secret is a canary, every customer has one for an address; real processes at DEBUG go through
all that can happen to them, and everything that they say is searched.
"""

import http.client
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sandbox import product
from sandbox.product import Webhook, wait_until
from sandbox.stripe_double import StripeDouble, sign
from shared.objects.catalogue import MIRRORED
from tests.e2e.reconciling import Ended, reconcile
from tests.integration.lived import Lived

KEY = "rk_test_CanaryKey51Aa9"
SIGNING = "whsec_CanarySigning77"
OLD_SIGNING = "whsec_CanaryRolled78"
PASSWORD = "CanaryPassword#42"
BEAT = "CanaryBeat-6f1c"
MAIL = "canary.bird@leak.example"
# The tail of a key is what Stripe's own messages show; a password also travels percent-encoded.
CANARIES = (KEY, "CanaryKey", SIGNING, "CanarySigning", "CanaryRolled", "CanaryPassword", BEAT)
CANARIES_AND_MAIL = (*CANARIES, MAIL, "canary.bird", quote(MAIL))


@pytest.fixture
def settings(
    database_url: str, connection: psycopg.Connection, stripe_double: StripeDouble
) -> Iterator[dict[str, str]]:
    role = f"canary_{uuid.uuid4().hex[:8]}"
    create = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
    connection.execute(create.format(sql.Identifier(role), sql.Literal(PASSWORD)))
    read = {mirrored.path.removeprefix("/v1/") for mirrored in MIRRORED}
    stripe_double.control.add_key(KEY, permissions={*read, "events"})
    yield product.environment(
        DATABASE_URL=make_conninfo(database_url, user=role, password=PASSWORD),
        STRIPE_API_BASE=stripe_double.url,
        STRIPE_SECRET_KEY=KEY,
        STRIPE_WEBHOOK_SECRET=f"{SIGNING},{OLD_SIGNING}",
        HEARTBEAT_URL=f"http://127.0.0.1:9/{BEAT}",
        GRACE_SECONDS="0",
        LOG_LEVEL="DEBUG",
    )
    connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
    connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def leaks(text: str, canaries: tuple[str, ...] = CANARIES_AND_MAIL) -> list[str]:
    """The lines in which a canary sings."""
    return [
        line
        for line in text.splitlines()
        if any(canary.lower() in line.lower() for canary in canaries)
    ]


class Sender:
    """Posts bodies and keeps every answer, headers too."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = ""

    def post(self, body: bytes, signature: str | None = None, path: str = "/webhook") -> int:
        if signature is None:
            signature = sign(body, SIGNING, int(time.time()))
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        connection.request("POST", path, body, {"Stripe-Signature": signature})
        answer = connection.getresponse()
        self.answers += f"{answer.status} {answer.getheaders()} {answer.read().decode()}\n"
        connection.close()
        return answer.status


def test_webhook_tells_no_secret_and_no_address_on_any_path(  # noqa: PLR0915 (one a path)
    settings: dict[str, str],
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    tmp_path: Path,
) -> None:
    control = stripe_double.control
    log = tmp_path / "webhook.log"

    def next_body(name: str) -> bytes:
        control.advance(60)
        control.update_customer(customer, name=name, phone=MAIL)
        return control.event_body(control.events()[-1]["id"])

    with Webhook(settings, log) as webhook:
        sender = Sender(webhook.port)
        customer = control.create_customer(email=MAIL, name=MAIL, metadata={MAIL: MAIL})
        first = control.event_body(control.events()[-1]["id"])
        assert sender.post(first) == 200
        assert sender.post(first) == 200
        # Refused: forged, a secret for a header, an address for an id, none at all.
        assert sender.post(first, f"t=1,v1={SIGNING},{MAIL}") == 400
        assert sender.post(MAIL.encode()) == 400
        assert sender.post(f'{{"id": "{MAIL}", "object": "{KEY}"}}'.encode()) == 400
        assert sender.post(first.replace(b'"livemode": false', b'"livemode": true')) == 400
        assert sender.post(b"", "", f"/{MAIL}?key={KEY}") == 404
        # Failed: unreadable around the address, of an object that Stripe has not.
        broken = json.loads(first)
        broken["data"]["object"]["id"] = "cus_1Gone"
        for number, value in enumerate([[MAIL], {"a": MAIL}, f"{MAIL}\x00"]):
            broken["id"] = f"evt_1Broken{number}"
            broken["data"]["object"]["email"] = value
            assert sender.post(json.dumps(broken).encode()) == 200
        for mirrored in MIRRORED:
            lived = Lived(control, mirrored, metadata={MAIL: MAIL})
            assert sender.post(lived.body()) == 200
            spoilt = json.loads(lived.body())
            spoilt["id"] = f"evt_1Broken{mirrored.name}"
            spoilt["data"]["object"] |= {"id": "x_1Gone", "created": MAIL}
            assert sender.post(json.dumps(spoilt).encode()) == 200
        # Stripe: 403 and 401 name the account and the key's tail, 500 anything.
        assert sender.post(next_body("one")) == 200
        control.update_customer(customer, name="two, in the same second")
        tied = control.event_body(control.events()[-1]["id"])
        for status in (401, 403, 500):
            control.fault("status", path="/v1/customers", status=status, count=None)
            assert sender.post(tied) == 503
            control.clear_faults()
        control.fault("html", path="/v1/customers", status=200, count=None)
        assert sender.post(tied) == 503
        control.clear_faults()
        # A crash: the server's own text quotes the row.
        connection.execute(
            """
            CREATE FUNCTION stripe.quote_it() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'row of % with %', NEW.email, NEW; END $$;
            CREATE TRIGGER quote_it BEFORE UPDATE ON stripe.customers
                FOR EACH ROW EXECUTE FUNCTION stripe.quote_it();
            """
        )
        crashed = sender.post(next_body("crash"))
        connection.execute("DROP TRIGGER quote_it ON stripe.customers")
        connection.execute("ALTER TABLE stripe.customers RENAME COLUMN email TO mail")
        assert sender.post(next_body("no column")) in {500, 503}
        connection.execute("ALTER TABLE stripe.customers RENAME COLUMN mail TO email")
        # The database refuses the password, or is not there.
        user = conninfo_to_dict(settings["DATABASE_URL"])["user"]
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(str(user))))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user]
        )
        assert sender.post(next_body("no database")) == 503
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(str(user))))
        assert sender.post(tied) == 200
        wait_until(lambda: "event.postponed" in log.read_text(), "the log")
    text = log.read_text(encoding="utf-8")
    names = {json.loads(line)["event"] for line in text.splitlines()}
    assert {name.partition(".")[2] for name in names} >= {
        *("started", "applied", "duplicate", "refused", "failed", "postponed")
    }
    assert crashed in {200, 500, 503}
    assert leaks(text) == []
    assert leaks(sender.answers) == []
    kept = connection.execute("SELECT coalesce(error, '') FROM stripe.events").fetchall()
    assert leaks("\n".join(row[0] for row in kept)) == []


def test_reconcile_tells_no_secret_and_no_address_in_its_log_on_any_path(
    settings: dict[str, str], stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    said: list[Ended] = []

    def run(*arguments: str, **other: str) -> Ended:
        said.append(reconcile({**settings, **other}, *arguments))
        return said[-1]

    customer = control.create_customer(email=MAIL, name=MAIL, metadata={MAIL: MAIL})
    control.create_subscription(customer=customer, metadata={"note": MAIL})
    those = [Lived(control, mirrored, metadata={MAIL: MAIL}) for mirrored in MIRRORED]
    control.advance(3_600)
    assert run().status == 0
    for lived in those:
        lived.become(1, events=0)
    control.update_customer(customer, email=f"new.{MAIL}")
    control.create_customer(email=MAIL, extra={"name": [MAIL]})
    control.advance(3_600)
    assert run("--report", "--format", "json").status == 1
    assert run().status == 1
    assert "object.unreadable" in said[-1].stderr
    assert run("replay").status in {0, 1}
    for status in (401, 403, 500):
        control.fault("status", status=status, count=None)
        assert run("--report", "--deadline", "1").status == 1
        control.clear_faults()
    connection.execute("ALTER TABLE stripe.customers RENAME COLUMN email TO mail")
    assert run("--report").status == 1
    assert "UndefinedColumn" in said[-1].stderr
    connection.execute("ALTER TABLE stripe.customers RENAME COLUMN mail TO email")
    assert run(STRIPE_SECRET_KEY=KEY.replace("test", "live")).status == 1
    nowhere = f"postgresql://canary:{quote(PASSWORD)}@127.0.0.1:9/x"
    assert run("--deadline", "1", DATABASE_URL=nowhere).status == 1
    for name, wrong in (
        ("DATABASE_URL", f"postgresql://canary:{PASSWORD}@[/x"),
        ("STRIPE_SECRET_KEY", f"pk_{KEY}"),
        ("HEARTBEAT_URL", f"ftp://{BEAT}"),
        ("MAX_REPAIRS", KEY),
    ):
        assert run(**{name: wrong}).status == 2
    assert "heartbeat.failed" in said[0].stderr
    assert leaks("\n".join(one.stderr for one in said)) == []
    # The report shows the addresses that differ, to whom it was made for; never a secret.
    assert leaks("\n".join(one.stdout for one in said), CANARIES) == []
    replayed = product.run("migrate", environ={**settings, "DATABASE_URL": nowhere})
    assert replayed.returncode == 1
    assert leaks(replayed.stdout + replayed.stderr) == []
