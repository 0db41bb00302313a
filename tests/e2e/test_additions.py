"""What CONTRIBUTING says is all that it takes: a job, a word, a setting, a format, in a copy."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble
from tests.unit.test_house import PRODUCT, ROOT

JOB = '''
"""The job `prune`: forget what is old."""

import argparse
import sys

from shared.command import OK, Call, Command, imports
from shared.errors import DatabaseUnavailable
from shared.settings import MigrateSettings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--what", choices=("nothing", "all"), default="nothing", help="nothing")


def _execute(call: Call[MigrateSettings]) -> int:
    with imports():
        import psycopg
    if call.arguments.what == "all":
        raise DatabaseUnavailable("no connection to the database: try again later")
    if call.settings.log_level == "DEBUG":
        print("it waits", flush=True)
        call.stop.wait(30)
    call.facts["forgotten"] = 3
    call.facts["driver"] = psycopg.__name__
    return OK


main = Command(
    name="prune",
    summary="Forget what is old.",
    settings=MigrateSettings,
    add_arguments=_add_arguments,
    execute=_execute,
    job="prune",
    heeds_stop=True,
)
'''
SCRIPT = 'prune = "reconcile.prune:main"\n'
# What an installer writes into .venv/bin/prune.
STARTED = "import sys; from {module} import {name}; sys.exit({name}())"

WORD = '''
"""`reconcile greet`: say hello."""

from shared.command import OK, Call, Command
from shared.settings import SchemaSettings


def _execute(call: Call[SchemaSettings]) -> int:
    print(f"hello, {call.arguments.whom}")
    return OK


command = Command(
    name="reconcile greet",
    summary="Say hello.",
    settings=SchemaSettings,
    add_arguments=lambda parser: parser.add_argument("whom"),
    execute=_execute,
)
'''

FORMAT = '''
"""The report as one line for each difference."""

from typing import IO

from reconcile.report.model import Report, Totals


def write(report: Report, totals: Totals, stream: IO[str]) -> None:
    """Write it."""
    stream.write(f"{totals.drift} differences\\n")
    for row in report.drift():
        stream.write(f"{row.object_id}\\n")
'''

SETTING = """
    prune_days: int = setting("30", between(1, 365), "what is older is forgotten, in days")
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of what an installation is made of, to be changed as a developer would."""
    home = tmp_path / "a clone"
    for package in PRODUCT:
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, home / package, ignore=without)
    for name in (
        *("pyproject.toml", "LICENSE", "README.md", ".env.example", "docs/operations.md"),
        *("tests/__init__.py", "tests/unit/__init__.py", "tests/unit/test_house.py"),
    ):
        (home / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, home / name)
    return home


def keeps(house: Path, rule: str) -> bool:
    """Whether the copy keeps a rule of the house, a test's name or the beginning of it."""
    tests = ("-p", "no:cacheprovider", "-q", "tests/unit/test_house.py", "-k", rule)
    done = run(house, "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))", *tests)
    assert done.returncode in {0, 1}, done.stdout
    return done.returncode == 0


def run(
    house: Path,
    code: str,
    *arguments: str,
    environ: dict[str, str] | None = None,
    where: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line(code, *arguments),
        cwd=where or house,
        env={**(environ or product.environment()), "PYTHONPATH": str(house)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def line(code: str, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-c", code, *arguments]


def script(house: Path, name: str) -> str:
    """What is started under that name, by the copy's own pyproject."""
    project = tomllib.loads((house / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, attribute = project["scripts"][name].partition(":")
    return STARTED.format(module=module, name=attribute)


@pytest.fixture
def prune(house: Path) -> str:
    """A job more: one module and one line."""
    (house / "reconcile" / "prune.py").write_text(JOB, encoding="utf-8")
    pyproject = house / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(
        text.replace("[project.scripts]\n", f"[project.scripts]\n{SCRIPT}"), encoding="utf-8"
    )
    return script(house, "prune")


def test_next_job_is_one_module_and_one_line(house: Path, prune: str) -> None:
    assert keeps(house, "test_wheel_holds")
    bare = product.environment()
    known = product.environment(DATABASE_URL="postgresql:///x")
    shown = run(house, prune, "--version", environ=bare)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.fullmatch(r"prune \S+ \(Python 3\.\S+\)\n", shown.stdout)
    told = run(house, prune, "--help", environ=bare)
    assert "Forget what is old." in told.stdout
    assert "DATABASE_URL" in told.stdout
    done = run(house, prune, environ=known)
    assert (done.returncode, done.stdout) == (0, "")
    last = json.loads(done.stderr)
    assert (last["event"], last["logger"]) == ("prune.finished", "prune")
    assert (last["forgotten"], last["exit_status"]) == (3, 0)
    failed = run(house, prune, "--what", "all", environ=known)
    assert failed.returncode == 1
    last = json.loads(failed.stderr)
    assert (last["event"], last["level"], last["exit_status"]) == ("prune.failed", "error", 1)
    assert last["error"].startswith("DatabaseUnavailable: no connection")


@pytest.mark.parametrize(
    "arguments, settings, said",
    [
        ((), {}, "DATABASE_URL is not set"),
        ((), {"DATABASE_URL": "hunter2", "LOG_LEVEL": "loud"}, "2 settings are wrong"),
        (("--sideways",), {"DATABASE_URL": "postgresql:///x"}, "`prune --help` says what it takes"),
    ],
)
def test_next_job_refuses_wrong_usage_and_settings_with_2(
    house: Path, prune: str, arguments: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    done = run(house, prune, *arguments, environ=product.environment(**settings))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("heeds", [True, False])
def test_next_job_ends_by_itself_at_a_signal_or_is_interrupted(
    house: Path, prune: str, heeds: bool, number: signal.Signals
) -> None:
    if not heeds:
        job = house / "reconcile" / "prune.py"
        text = job.read_text(encoding="utf-8").replace("heeds_stop=True", "heeds_stop=False")
        text = text.replace("call.stop.wait(30)", "import threading; threading.Event().wait(30)")
        job.write_text(text, encoding="utf-8")
    environ = product.environment(DATABASE_URL="postgresql:///x", LOG_LEVEL="DEBUG")
    with subprocess.Popen(
        line(prune),
        cwd=house,
        env={**environ, "PYTHONPATH": str(house)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "it waits\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=40)
    last = json.loads(said.splitlines()[-1])
    if heeds:
        assert (process.returncode, last["forgotten"]) == (0, 3)
    else:
        assert (process.returncode, last["event"]) == (1, "prune.failed")
        assert last["error"] == "stopped by a signal"


def test_next_word_is_one_module(house: Path) -> None:
    (house / "reconcile" / "commands" / "greet.py").write_text(WORD, encoding="utf-8")
    reconcile, bare = script(house, "reconcile"), product.environment()
    done = run(house, reconcile, "greet", "Ada", environ=bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello, Ada\n", "")
    assert re.search(
        "^  greet +Say hello.$", run(house, reconcile, "--help", environ=bare).stdout, re.MULTILINE
    )
    own = run(house, reconcile, "greet", "--help", environ=bare).stdout
    assert own.startswith("usage: reconcile greet [-h] [--version] whom\n")
    typo = run(house, reconcile, "great", environ=bare)
    assert typo.returncode == 2
    assert "did you mean `reconcile greet`?" in typo.stderr


def test_next_format_of_the_report_is_one_module(
    house: Path, environ: dict[str, str], stripe_double: StripeDouble
) -> None:
    (house / "reconcile" / "report" / "as_lines.py").write_text(FORMAT, encoding="utf-8")
    name = stripe_double.control.create_subscription()
    stripe_double.control.advance(3_600)
    reconcile = script(house, "reconcile")
    assert "--format {json,lines,text}" in run(house, reconcile, "--help", environ=environ).stdout
    done = run(house, reconcile, "--report", "--format", "lines", environ=environ)
    assert done.returncode == 0, done.stderr
    first, *ids = done.stdout.splitlines()
    assert first == f"{len(ids)} differences"
    assert name in ids


def test_next_setting_is_one_field_and_what_tells_people_of_it(house: Path) -> None:
    settings = house / "shared" / "settings.py"
    before = settings.read_text(encoding="utf-8")
    place = re.search(r"^class ReconcileSettings.*\n    \"\"\".*\"\"\"\n", before, re.MULTILINE)
    assert place is not None
    settings.write_text(before.replace(place[0], place[0] + SETTING), encoding="utf-8")
    assert not keeps(house, "test_example_environment")
    with (house / ".env.example").open("a", encoding="utf-8") as example:
        example.write("\n# reconcile: what is older is forgotten, in days.\n#PRUNE_DAYS='30'\n")
    assert keeps(house, "test_example_environment")
    assert not keeps(house, "test_operations_page")
    operations = house / "docs" / "operations.md"
    page = operations.read_text(encoding="utf-8")
    row = "| `LOG_LEVEL` |"
    operations.write_text(page.replace(row, f"| `PRUNE_DAYS` | `30` | |\n{row}"), encoding="utf-8")
    assert keeps(house, "test_operations_page")
    reconcile = script(house, "reconcile")
    environ = product.environment(
        DATABASE_URL="postgresql:///x", STRIPE_SECRET_KEY="sk_test_double"
    )
    told = run(house, reconcile, "--help", environ=environ)
    assert "PRUNE_DAYS             what is older is forgotten, in days (30)" in told.stdout
    (house / ".env").write_text("PRUNE_DAYS='soon'\n", encoding="utf-8")
    del environ["ENV_FILE"]
    for given in ({}, {"PRUNE_DAYS": "soon"}, {"PRUNE_DAYS": '"5"'}):
        wrong = run(house, reconcile, environ={**environ, **given})
        assert wrong.returncode == 2
        assert "PRUNE_DAYS" in wrong.stderr


def test_env_file_beside_the_project_is_read_from_any_folder_and_the_log_names_what_it_gave(
    house: Path, database_url: str, tmp_path: Path
) -> None:
    assert "&" in database_url
    (house / ".env").write_text(
        f"DATABASE_URL='{database_url}'\nLOG_LEVEL=DEBUG\nSTRIPE_SECRET_KEY='sk_test_c4n4ry'\n"
        "hunter2=c4n4ry\n",
        encoding="utf-8",
    )
    bare = product.environment()
    del bare["ENV_FILE"]
    migrate = script(house, "migrate")
    done = run(house, migrate, "--check", environ={**bare, "LOG_LEVEL": "INFO"}, where=tmp_path)
    assert (done.returncode, done.stdout) == (0, "the schema is current\n"), done.stderr
    (told,) = map(json.loads, done.stderr.splitlines())
    assert (told["event"], told["file"]) == ("env_file.read", str(house / ".env"))
    assert told["names"] == ["DATABASE_URL"]
    assert told["left_to_the_environment"] == ["LOG_LEVEL"]
    assert told["others"] == 2
    for hidden in ("c4n4ry", "hunter2", database_url):
        assert hidden not in done.stderr
    assert run(house, migrate, "--version", environ=bare).stderr == "", "it pays for nothing else"


def test_env_file_that_is_wrong_is_named_by_its_line_and_nothing_is_begun(house: Path) -> None:
    (house / ".env").write_text("# why\nDATABASE_URL='postgresql://u:c4n4ry@h/d\n")
    bare = product.environment()
    del bare["ENV_FILE"]
    for name in ("migrate", "webhook", "reconcile"):
        done = run(house, script(house, name), environ=bare)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{house / '.env'}, line 2: a quote is not closed" in done.stderr
        assert "c4n4ry" not in done.stderr
        assert run(house, script(house, name), "--help", environ=bare).returncode == 0


def test_installed_product_reads_no_env_file_unless_it_is_told_to(
    house: Path, database_url: str
) -> None:
    (house / "pyproject.toml").rename(house / "elsewhere.toml")
    (house / ".env").write_text(f"DATABASE_URL='{database_url}'\n", encoding="utf-8")
    bare = product.environment()
    del bare["ENV_FILE"]
    migrate = STARTED.format(module="shared.migrate", name="main")
    done = run(house, migrate, "--check", environ=bare)
    assert (done.returncode, "DATABASE_URL is not set" in done.stderr) == (2, True)
    told = run(house, migrate, "--check", environ={**bare, "ENV_FILE": str(house / ".env")})
    assert told.returncode == 0, told.stderr
    gone = run(house, migrate, "--check", environ={**bare, "ENV_FILE": str(house / "gone")})
    assert gone.returncode == 2
    assert f"{house / 'gone'} cannot be read" in gone.stderr
