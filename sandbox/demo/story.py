"""The demo's chapters. What each of them claims is checked where it is told."""

import json
from collections import Counter

from sandbox.demo.scene import DemoFailed, Scene
from sandbox.product import Webhook, wait_until
from sandbox.stripe_double import DeliveryPlan
from sandbox.telling import heading, say, shell, show, table

REPORT = ("--report", "--exit-code", "--grace", "1")
DRIFT = 3
HOUR = 3_600
SUBSCRIPTIONS = 40
GUESSED = "whsec_guessed"


def tell(scene: Scene) -> int:
    """All chapters; returns 0, or raises DemoFailed where something ends otherwise than told."""
    make_tables(scene)
    fill(scene)
    with start_webhook(scene) as webhook:
        two_in_one_second(scene, webhook)
        busy_morning(scene, webhook)
        bad_letters(scene, webhook)
    let_drift(scene)
    report(scene)
    repair(scene)
    report_again(scene)
    return 0


def make_tables(scene: Scene) -> None:
    heading(
        1,
        "A private PostgreSQL and a double of Stripe",
        f"""Both run on this machine only. The double answers like Stripe's API, at
        {scene.double.url}, and sends signed events. `migrate` makes the tables, in the schema
        `stripe`; nothing else ever does.""",
    )
    scene.command("migrate")


def fill(scene: Scene) -> None:
    heading(
        2,
        "The first run fills the empty database",
        """Stripe has had 40 customers with a subscription for up to two years. `reconcile` brings
        them over, with the products and prices that they pay for; its report goes to a file this
        time, and ends with:""",
    )
    scene.double.control.seed(SUBSCRIPTIONS)
    first = scene.folder / "first-run.txt"
    scene.command("reconcile", "--output", str(first))
    show(first.read_text(encoding="utf-8").splitlines()[-1])
    say("So a query can call plans by their names:")
    plans = scene.query(
        """
        SELECT p.name, count(*)
        FROM stripe.subscription_items i JOIN stripe.products p ON p.id = i.product_id
        GROUP BY p.name ORDER BY count(*) DESC, p.name
        """
    )
    table(("plan", "subscriptions"), plans)
    if sum(count for _, count in plans) != SUBSCRIPTIONS:
        raise DemoFailed("a subscription's product is not in the database")


def start_webhook(scene: Scene) -> Webhook:
    heading(
        3,
        "The webhook starts",
        "It is Stripe's endpoint, served by gunicorn. It is ready once the tables are the right"
        " ones.",
    )
    webhook = scene.start_webhook()
    shell(f"curl http://127.0.0.1:{webhook.port}/readyz")
    status, body = webhook.get("/readyz")
    show(json.dumps(body))
    if status != 200:
        webhook.kill()
        raise DemoFailed(f"/readyz answered {status}")
    return webhook


def two_in_one_second(scene: Scene, webhook: Webhook) -> None:
    heading(
        4,
        "Two events of one second, the later one first, one of them twice",
        """Ada subscribes and pays within a second. Stripe's event times have no finer resolution,
        and the payment's event arrives first. A mirror that believes whatever arrives last would
        lock her out for good.""",
    )
    control = scene.double.control
    control.advance(HOUR)
    customer = control.create_customer(name="Ada", email="ada@example.com")
    ada = control.create_subscription(customer=customer, status="incomplete", price="pro")
    control.activate(ada)
    of_customer, created, activated = control.outbox()
    rows: list[tuple[object, ...]] = []
    for what, name in (
        ("subscription updated: active", activated),
        ("subscription created: incomplete", created),
        ("subscription updated: active", activated),
        ("customer created", of_customer),
    ):
        reply = scene.send(webhook, [name])[0].answers[0]
        rows.append((what, reply.status, reply.body.decode()))
    table(("event, in order of arrival", "HTTP", "answer"), rows)
    status = scene.query("SELECT status FROM stripe.subscriptions WHERE id = %s", ada)[0][0]
    say(f"Ada's row says: {status}.")
    if status != "active":
        raise DemoFailed("Ada ought to be active")


def busy_morning(scene: Scene, webhook: Webhook) -> None:
    control = scene.double.control
    for name in scene.living(8):
        control.advance(60)
        control.update_subscription(name, metadata={"seat": "window"})
        control.update_subscription(name, metadata={"seat": "aisle"})
    control.churn(60, seed=3, seconds=0.5)
    control.clear_requests()
    names = control.outbox()
    plan = DeliveryPlan(seed=1, copies=(1, 3), order="shuffled", senders=8)
    replies = [reply for one in scene.send(webhook, names, plan) for reply in one.answers]
    outcomes = Counter(json.loads(reply.body).get("outcome") for reply in replies)
    asked = control.request_counts().items()
    questions = sum(count for name, count in asked if name.endswith(".retrieve"))
    heading(
        5,
        "A busy morning: shuffled, duplicated, several in one second",
        f"""{len(names)} events, sent {len(replies)} times in random order by 8 senders at once,
        are all answered with 200: {_counted(outcomes)}. Where nothing in two events tells which
        came first, the webhook asks Stripe: here {questions} times.""",
    )
    say("The ledger has one row for each event, however often it was sent:")
    shell('psql -c "SELECT outcome, count(*) FROM stripe.events GROUP BY outcome"')
    ledger = scene.query("SELECT outcome, count(*) FROM stripe.events GROUP BY 1 ORDER BY 2 DESC")
    table(("outcome", "count"), ledger)
    if any(reply.status != 200 for reply in replies) or sum(row[1] for row in ledger) != (
        len(names) + 3
    ):
        raise DemoFailed("an event was refused, or is not in the ledger exactly once")


def bad_letters(scene: Scene, webhook: Webhook) -> None:
    heading(
        6,
        "A forged event and an unreadable one",
        """The first is signed with a secret that somebody guessed. The second is signed well, but
        its subscription has no customer: refusing it would make Stripe send it for three days and
        then switch the endpoint off, so it is kept, with its payload and the reason, and tried
        again by each nightly run.""",
    )
    control = scene.double.control
    honest = control.emit("customer.subscription.updated", control.ids("subscription")[0])
    forged = scene.send(webhook, [honest], secret=GUESSED)[0].answers[0]
    poison = control.emit_object(
        "customer.subscription.updated", {"object": "subscription", "id": "sub_poison"}
    )
    kept = scene.send(webhook, [poison])[0].answers[0]
    table(
        ("event", "HTTP", "answer"),
        [
            ("forged", forged.status, forged.body.decode()),
            ("unreadable", kept.status, kept.body.decode()),
        ],
    )

    def told() -> list[dict[str, object]]:
        return [line for line in webhook.log() if line["event"] == "event.failed"]

    # An answer is sent before its line is written.
    wait_until(lambda: told() != [], "the log tells of the event that failed")
    line = told()[-1]
    say("The log, one JSON object a line and never a payload, says of the second:")
    shown = {name: line[name] for name in ("event", "error")}
    print()
    show(json.dumps(shown))
    if (forged.status, kept.status) != (400, 200):
        raise DemoFailed("the bad letters were answered otherwise")


def let_drift(scene: Scene) -> None:
    heading(
        7,
        "Rows drift",
        """The webhook stops. Some events are lost on their way, and somebody with psql is too sure
        of himself:""",
    )
    control = scene.double.control
    canceled, locked_out, recounted, renamed = scene.living(4)
    control.cancel(canceled)
    unheard = control.create_subscription(price="team", quantity=3)
    control.drop()
    control.advance(HOUR)
    scene.tamper("UPDATE stripe.subscriptions SET status = 'canceled' WHERE id = %s", locked_out)
    scene.tamper(
        "UPDATE stripe.subscription_items SET quantity = quantity + 7 WHERE subscription_id = %s",
        recounted,
    )
    scene.tamper(
        "UPDATE stripe.customers SET email = 'old@example.com'"
        " WHERE id = (SELECT customer_id FROM stripe.subscriptions WHERE id = %s)",
        renamed,
    )
    scene.tamper(
        """
        INSERT INTO stripe.subscriptions
        SELECT (jsonb_populate_record(s, '{"id": "sub_invented"}')).*
        FROM stripe.subscriptions s WHERE id = %s
        """,
        renamed,
    )
    product, price = control.products["pro"], control.prices["team"]
    scene.tamper("UPDATE stripe.products SET name = 'Prowl' WHERE id = %s", product)
    scene.tamper("UPDATE stripe.prices SET unit_amount = 490 WHERE id = %s", price)
    table(
        ("object", "what happened"),
        [
            (canceled, "canceled in Stripe, the event is lost"),
            (unheard, "new in Stripe, the event is lost"),
            (locked_out, "paying, but set to canceled with psql"),
            (recounted, "seven too many, with psql"),
            (renamed, "its customer's old e-mail address restored with psql"),
            ("sub_invented", "inserted with psql; Stripe has never seen it"),
            (product, "a product, its name mistyped with psql"),
            (price, "a price, its amount a tenth of it with psql"),
        ],
    )


def report(scene: Scene) -> None:
    heading(
        8,
        "What drifted? The report",
        """It compares all of Stripe with all of the database and writes nothing. Of each
        difference it says what it does to the customer: a leak lets somebody in for nothing, a
        lockout keeps out somebody who pays. --exit-code makes drift exit status 3, for a monitor;
        --grace 1 waits one second, not ten, for events that may still be on their way.""",
    )
    scene.command("reconcile", *REPORT, expected=DRIFT)
    say("Exit status 3: there is drift.")


def repair(scene: Scene) -> None:
    heading(
        9,
        "The nightly run repairs it",
        """The same comparison; then each row is written at the very revision that was compared. If
        a webhook was quicker, its newer state stands. The events that never arrived (the lost ones
        and the one whose only copy was a forgery) are entered in the ledger.""",
    )
    scene.command("reconcile", "--grace", "1")
    say("Each repair is in stripe.changes too, append-only, with the run that made it:")
    changes = scene.query(
        """
        SELECT c.object_id, f.key, f.value ->> 0, f.value ->> 1
        FROM stripe.changes c CROSS JOIN LATERAL jsonb_each(c.fields) f
        WHERE c.run_id = (SELECT id FROM stripe.nights ORDER BY started_at DESC LIMIT 1)
            AND (f.key IN ('status', 'email', 'name', 'unit_amount') OR f.key LIKE '%%.quantity')
        ORDER BY c.id, f.key
        """
    )
    shown = [(name, field.rpartition(".")[2], old, new) for name, field, old, new in changes]
    table(("object", "field", "before", "after"), shown)


def report_again(scene: Scene) -> None:
    heading(10, "And again: no drift", "Nothing is left to repair; only the unreadable event is.")
    scene.command("reconcile", *REPORT)
    here, there = scene.access()
    say(
        f"""Exit status 0: no drift. Counted independently, {here} subscriptions let somebody in by
        the database, and {there} by Stripe."""
    )
    if here != there:
        raise DemoFailed("the report says in sync, but the counts differ")


def _counted(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
