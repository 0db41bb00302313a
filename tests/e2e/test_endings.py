"""However `reconcile` ends, its scheduler and its monitor hear of it, and of nothing else."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble
from tests.e2e.reconciling import end_of, reconcile, reconciling
from tests.integration.monitor import Monitor
from tests.integration.witness import one

START = "/key/nightly/start?create=1"


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with Monitor() as running:
        yield running


@pytest.fixture
def told(environ: dict[str, str], monitor: Monitor) -> dict[str, str]:
    """The environment of a nightly run with a monitor."""
    return {**environ, "HEARTBEAT_URL": monitor.url("/key/nightly?create=1")}


def end(status: int) -> str:
    return f"/key/nightly/{status}?create=1"


@pytest.fixture
def drifted(environ: dict[str, str], stripe_double: StripeDouble) -> str:
    """A mirrored subscription of which the webhook never learned that it ended."""
    control = stripe_double.control
    name = control.create_subscription(customer=control.create_customer(email="jo@example.com"))
    control.advance(3_600)
    assert reconcile(environ).status == 0
    control.cancel(name)
    control.advance(3_600)
    return name


def test_night_of_a_dead_webhook_is_told_by_its_status_where_that_is_asked_for(
    told: dict[str, str], monitor: Monitor, drifted: str
) -> None:
    """The row is repaired, and yet neither exit status nor heartbeat is that of a quiet night."""
    done = reconcile(told, "--exit-code")
    assert done.status == 3
    assert monitor.targets == [START, end(3)]
    line = "REPAIRED: 1 of 1 difference; the webhook missed 1 of 1 event since 20"
    assert done.last["verdict"].startswith(line)
    assert (done.last["webhook_missed"], done.last["leak"]) == (1, 1)
    assert line in done.stdout
    body = monitor.pings[-1].body
    assert body.startswith(("run_id: ", "verdict: "))
    assert f"verdict: {line}" in body
    assert "exit_status: 3\n" in body
    for private in ("jo@example.com", "sk_test_double", drifted):
        assert private not in body
    again = reconcile(told, "--exit-code")
    assert again.status == 0
    assert monitor.targets[2:] == [START, end(0)]


@pytest.mark.parametrize("flags", [(), ("--exit-code",)])
def test_exit_code_is_taken_by_every_kind_of_run(
    environ: dict[str, str], drifted: str, flags: tuple[str, ...]
) -> None:
    found = 3 if flags else 0
    assert reconcile(environ, "--report", *flags).status == found
    assert reconcile(environ, "--subscription", drifted, "--report", *flags).status == found
    assert reconcile(environ, "--subscription", drifted, *flags).status == found
    assert reconcile(environ, "--subscription", drifted, *flags).status == 0
    assert reconcile(environ, *flags).status == found, "its event never came"
    assert reconcile(environ, *flags).status == 0


@pytest.mark.parametrize(
    "arguments, settings",
    [
        (("--nonsense",), {}),
        (("--format", "xml"), {}),
        (("--deadline", "soon"), {}),
        (("--output", "no such folder/report.json"), {}),
        (("--every-field=1",), {}),
        ((), {"STRIPE_SECRET_KEY": "hunter2"}),
        ((), {"DATABASE_URL": ""}),
        ((), {"LOG_LEVEL": "loud"}),
    ],
)
def test_wrong_usage_and_settings_of_a_night_are_told_as_2(
    told: dict[str, str], monitor: Monitor, arguments: tuple[str, ...], settings: dict[str, str]
) -> None:
    done = reconcile({**told, **settings}, *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith(("usage: reconcile", "reconcile: 1 setting is wrong:"))
    assert "Traceback" not in done.stderr
    assert monitor.targets == [end(2)]
    assert "exit_status: 2" in monitor.pings[0].body
    for typed in ("hunter2", "nonsense", "xml", "no such folder"):
        assert typed not in monitor.pings[0].body


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("-h",),
        ("--report",),
        ("--rep", "--nonsense"),
        ("--report", "--nonsense"),
        ("--version",),
        ("--replay",),
        ("--replay=evt_1",),
        ("replay",),
        ("replay", "evt_1"),
        ("relpay",),
        ("--subscription", "nonsense"),
        ("--subs=nonsense",),
    ],
    ids=" ".join,
)
def test_what_a_person_asks_by_hand_is_no_night(
    told: dict[str, str], monitor: Monitor, arguments: tuple[str, ...]
) -> None:
    reconcile(told, *arguments)
    assert monitor.targets == []


def test_address_that_is_wrong_itself_is_told_nothing(
    told: dict[str, str], monitor: Monitor, tmp_path: Path
) -> None:
    wrong = {**told, "HEARTBEAT_URL": told["HEARTBEAT_URL"].replace("http", "ftp")}
    assert reconcile(wrong).status == 2
    assert monitor.targets == []
    address = tmp_path / "address"
    address.write_text(told["HEARTBEAT_URL"] + "\n", encoding="utf-8")
    from_file = {name: value for name, value in told.items() if name != "HEARTBEAT_URL"}
    from_file |= {"HEARTBEAT_URL_FILE": str(address), "LEASE_SECONDS": "soon"}
    assert reconcile(from_file).status == 2
    assert monitor.targets == [end(2)]


def test_every_ending_of_a_night_is_told(
    told: dict[str, str],
    monitor: Monitor,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
    tmp_path: Path,
) -> None:
    """SIGTERM, a refused lease, a deadline, a reader that goes away, a database that is down."""
    control = stripe_double.control
    control.seed(3)
    with control.hold(endpoint="customers.list") as hold, reconciling(told) as process:
        hold.wait_reached(20)
        assert reconcile(told).status == 1
        assert monitor.targets == [START, START, end(1)]
        assert "LeaseHeld" in monitor.pings[-1].body
        process.terminate()
        hold.release()
        assert end_of(process).status == 1
    assert monitor.targets[3:] == [end(1)]
    assert "stopped by a signal" in monitor.pings[-1].body
    control.clear_interventions()

    monitor.pings.clear()
    with control.hold(endpoint="customers.list"), reconciling(told, "--deadline", "1") as process:
        assert end_of(process).status == 1
    assert monitor.targets == [START, end(1)]
    assert "the deadline came" in monitor.pings[-1].body
    control.clear_interventions()

    monitor.pings.clear()
    with reconciling(told) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        assert end_of(process).status == 1
    assert monitor.targets == [START, end(1)]
    last = "SELECT exit_status FROM stripe.runs ORDER BY started_at DESC LIMIT 1"
    assert one(connection, last) == 1, "what is kept of it says so too"

    monitor.pings.clear()
    down = {**told, "DATABASE_URL": f"postgresql:///x?host={tmp_path}&user=nobody"}
    assert reconcile(down, "--deadline", "3").status == 1
    assert monitor.targets == [START, end(1)]


def test_report_has_no_deadline_but_that_of_its_command_line(
    environ: dict[str, str], drifted: str
) -> None:
    """It keeps nothing, so one that is cut every time would never be seen whole."""
    hurried = {**environ, "DEADLINE_SECONDS": "1", "GRACE_SECONDS": "2"}
    whole = reconcile(hurried, "--report")
    assert whole.status == 0
    assert drifted in whole.stdout
    cut = reconcile(hurried, "--report", "--deadline", "1")
    assert cut.status == 1
    assert "a report keeps nothing" in cut.last["reason"]
    assert "goes on from there" not in cut.last["reason"]
    stopped = reconcile(hurried)
    assert stopped.status == 1
    assert "the deadline came" in stopped.last["reason"]


def test_help_tells_of_deadline_and_exit_code() -> None:
    done = reconcile(product.environment(), "--help")
    text = " ".join(done.stdout.split())
    assert "a --report keeps nothing, so it has no deadline but this one" in text
    assert "exit 3 when drift was found, repaired or not" in text


def test_first_fill_tells_its_monitor_of_nobody_who_is_locked_out(
    told: dict[str, str], monitor: Monitor, stripe_double: StripeDouble
) -> None:
    stripe_double.control.seed(3)
    assert reconcile(told).status == 0
    lines = monitor.pings[-1].body.splitlines()
    assert {"lockout: 0", "drift: 0"} <= {*lines}
    assert any(line.startswith("verdict: FILLED: ") for line in lines)


def test_first_fill_of_what_an_upgrade_adds_is_no_drift_in_the_log_and_at_the_monitor(
    told: dict[str, str],
    monitor: Monitor,
    stripe_double: StripeDouble,
    connection: psycopg.Connection,
) -> None:
    stripe_double.control.seed(3)
    assert reconcile(told).status == 0
    stripe_double.control.create_product("Gold", events=0)
    stripe_double.control.advance(3_600)
    connection.execute("DELETE FROM stripe.compared WHERE object = 'product'")
    done = reconcile(told)
    assert (done.last["drift"], done.last["repaired"], done.last["cosmetic"]) == (0, 1, 0)
    assert "drift: 0" in monitor.pings[-1].body.splitlines()


@pytest.mark.parametrize("flags", [(), ("--report",)])
def test_one_that_nobody_knows_is_not_to_be_asked_for_again(
    environ: dict[str, str], flags: tuple[str, ...]
) -> None:
    done = reconcile(environ, "--subscription", "sub_nobody", *flags)
    assert done.status == 1
    assert "neither Stripe nor the database knows sub_nobody" in done.last["reason"]
    assert not {"again", "anew"} & set(done.last["reason"].split())
