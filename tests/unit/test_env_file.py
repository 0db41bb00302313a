"""The file `.env`: what a shell makes of it, the commands do; what cannot be read is named."""

import os
import re
import string
import subprocess
from pathlib import Path

import pytest

from shared.env_file import add_env_file
from shared.errors import SettingsError
from shared.settings import (
    MigrateSettings,
    ReconcileSettings,
    StripeSettings,
    WebhookSettings,
    declared,
    load,
)
from tests.unit.test_house import ROOT

CANARY = "c4n4ry"
KINDS: dict[str, type[StripeSettings]] = {
    setting.name: kind
    for kind in (ReconcileSettings, WebhookSettings)
    for setting in declared(kind).values()
}
VALUES = {
    name: str(int(setting.default) + 1)
    for kind in (ReconcileSettings, WebhookSettings)
    for name, setting in ((one.name, one) for one in declared(kind).values())
    if setting.default and setting.default.isdigit()
} | {
    "DATABASE_URL": "postgresql://app:secret@localhost:5432/app",
    "STRIPE_SECRET_KEY": "rk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "STRIPE_SCHEMA": "mirror",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://proxy:3128",
    "NO_PROXY": "localhost",
    "LOG_LEVEL": "DEBUG",
    "STRIPE_RATE_LIMIT": "50",
    "HEARTBEAT_URL": "https://monitor.example/1",
    "MAX_REPAIRS": "50",
    "NO_PROGRESS": "1",
    "ACCESS_STATUSES": "active",
}
"""Of each setting a value that is not its default."""


def test_no_setting_is_left_out() -> None:
    assert VALUES.keys() == KINDS.keys()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def read(file: Path, **environ: str) -> dict[str, str]:
    """The environment of a command that is told of the file."""
    given = {"ENV_FILE": str(file), **environ}
    add_env_file(given)
    del given["ENV_FILE"]
    return given


def read_by_shell(file: Path) -> dict[str, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", f"set -a; . '{file}'; exec env -0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    found = (line.partition("=") for line in done.stdout.decode().split("\0") if line)
    return {name: value for name, _, value in found if name not in {"PATH", "PWD", "OLDPWD", "_"}}


HOSTILE = [
    "postgresql://app:a&b$c`d@localhost:5432/app?sslmode=require&x=1",
    "$HOME ${HOME} $(id) `id` $$ $1",
    " in front and behind ",
    "# no comment",
    "a#b #c",
    'say "hello"',
    r"\n \t \$ c:\x",
    "a=b=c",
    "~ * ? [a] {a,b} ! ; | < > ( ) %",
    "é 🐟 \u00a0 \u202e",
    "two\nlines",
    "",
]


def test_value_in_single_quotes_is_what_a_shell_makes_of_it(file: Path) -> None:
    characters = (string.printable + "é🐟").replace("'", "").replace("\\", "")
    values = [*HOSTILE, *(f"{c}x{c}{c}y{c}" for c in characters)]
    names = [f"V{number}" for number in range(len(values))]
    lines = [f"{name}='{value}'\n" for name, value in zip(names, values, strict=True)]
    file.write_text("".join(lines), encoding="utf-8", newline="")
    expected = dict(zip(names, values, strict=True))
    assert read(file) == expected
    assert read_by_shell(file) == expected


def test_example_means_the_same_to_a_shell_and_to_the_commands(file: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^#?([A-Z_]+=.*\n)", example, re.MULTILINE)
    file.write_text("".join(lines), encoding="utf-8")
    assert len(read(file)) > 15
    assert read(file) == read_by_shell(file)


@pytest.mark.parametrize(
    "line, value",
    [
        ("X=plain", "plain"),
        ("X=a&b$c?d=e#f", "a&b$c?d=e#f"),
        ("X=plain # why", "plain"),
        ("X='#plain' # why", "#plain"),
        ("export X='a b'", "a b"),
        ("  X = 'a b'  ", "a b"),
        ('X="a $HOME b"', "a $HOME b"),
        ("X=${HOME}", "${HOME}"),
        ('X="it\'s"', "it's"),
        ('X="a\\nb"', "a\nb"),
        ("X=", ""),
        ("X=first\nX=last", "last"),
        ("X='a'\r\nY='b'\r\n", "a"),
        ("\ufeffX='a'", "a"),
        ("# X='b'\n\n\nX='a'\n", "a"),
    ],
)
def test_line_is_read_as_people_expect_and_nothing_takes_the_place_of_a_dollar(
    file: Path, line: str, value: str
) -> None:
    file.write_text(line, encoding="utf-8", newline="")
    assert read(file)["X"] == value


@pytest.mark.parametrize(
    "text, line, fault",
    [
        (f"A='1'\nB='{CANARY}\n", 2, "a quote is not closed"),
        (f"A='1'\n\n\nB=\"{CANARY}\nC=1", 4, "a quote is not closed"),
        (f"A='1'{CANARY}\n", 1, "something follows a closed one"),
        (f"A='it'\\''s {CANARY}'\n", 1, "something follows a closed one"),
        (f"# a word\nexport\n{CANARY}\n", 2, "has no `=`"),
        (f"A=1\r\n{CANARY}\r\n", 2, "has no `=`"),
        (f"{CANARY}-name=1\n", 1, "does not begin with a setting's name"),
        (f"postgresql://u:{CANARY}@h/d?a=b\n", 1, "does not begin with a setting's name"),
        (f"A='{CANARY}\0'\n", 1, "NUL"),
        (f"{CANARY} is 'mine\n", 1, "does not begin with a setting's name"),
        (f"A {CANARY}=1\n", 1, "does not begin with a setting's name"),
        (f"export A B={CANARY}\n", 1, "does not begin with a setting's name"),
        (f"='{CANARY}'\n", 1, "does not begin with a setting's name"),
    ],
)
def test_line_that_cannot_be_read_is_named_without_a_word_of_it(
    file: Path, text: str, line: int, fault: str
) -> None:
    file.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(SettingsError) as caught:
        read(file)
    assert caught.value.faults[0].startswith(f"{file}, line {line}: ")
    assert fault in caught.value.faults[0]
    assert CANARY not in str(caught.value)


def test_every_line_that_cannot_be_read_is_named_at_once_and_nothing_is_taken(file: Path) -> None:
    file.write_text("A=1\nB\nC=1\nD-E=1\n", encoding="utf-8")
    environ = {"ENV_FILE": str(file)}
    with pytest.raises(SettingsError) as caught:
        add_env_file(environ)
    assert [fault.partition(": ")[0][-6:] for fault in caught.value.faults] == ["line 2", "line 4"]
    assert environ == {"ENV_FILE": str(file)}


def test_file_that_cannot_be_read_is_named_by_its_path(file: Path, tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary", tmp_path / "huge"
    binary.write_bytes(b"A=1\nB=\xff\xfe" + CANARY.encode())
    huge.write_text(f"A={CANARY}\n" * 10_000, encoding="utf-8")
    for path, said in (
        (file, "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "line 2: is not text in UTF-8"),
        (huge, "larger than 64 KiB"),
    ):
        with pytest.raises(SettingsError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert said in str(caught.value)
        assert CANARY not in str(caught.value)


def test_environment_wins_by_setting_whichever_way_it_is_given(file: Path) -> None:
    file.write_text("A=file\nB_FILE=file\nC=file\nE=file\nf=file\n", encoding="utf-8")
    mine = {"A": "mine", "B": "mine", "C_FILE": "/mine", "F": "mine"}
    given = {**mine, "ENV_FILE": str(file)}
    found = add_env_file(given)
    assert found is not None
    assert (found.names, set(found.left)) == (("E",), {"A", "B_FILE", "C", "f"})
    del given["ENV_FILE"]
    assert given == {**mine, "E": "file"}


@pytest.mark.parametrize("blank", ["", " ", "\n"])
@pytest.mark.parametrize("name", VALUES)
def test_variable_that_is_empty_is_not_set_and_hides_nothing_that_the_file_says(
    file: Path, name: str, blank: str
) -> None:
    """Nor does that of its file, or one in small letters where those go first."""
    kind = KINDS[name]
    values = {one.name: VALUES[one.name] for one in declared(kind).values()}
    others = {one: value for one, value in values.items() if one != name}
    empty = dict.fromkeys((name, f"{name}_FILE"), blank)
    if name.endswith("_PROXY"):
        empty |= dict.fromkeys((name.lower(), f"{name.lower()}_file"), blank)
    assert loaded(kind, {**others, **empty}) == loaded(kind, others) != loaded(kind, values)
    file.write_text(f"{name}='{VALUES[name]}'\n", encoding="utf-8")
    assert loaded(kind, read(file, **others, **empty)) == loaded(kind, values)


def loaded(kind: type[StripeSettings], environ: dict[str, str]) -> object:
    """The settings, or what is wrong with them."""
    try:
        return load(kind, environ)
    except SettingsError as error:
        return error.faults


def test_empty_file_says_nothing(file: Path) -> None:
    file.write_text("# nothing\n\n", encoding="utf-8")
    assert add_env_file({"ENV_FILE": str(file)}) is None
    assert add_env_file({"ENV_FILE": os.devnull}) is None


def test_file_that_holds_a_value_is_found_beside_it_from_anywhere(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk_test_beside\n", encoding="utf-8")
    file.write_text(
        "DATABASE_URL='postgresql:///x'\nSTRIPE_SECRET_KEY_FILE=key\n", encoding="utf-8"
    )
    assert Path.cwd() != tmp_path
    settings = load(StripeSettings, read(file))
    assert settings.stripe_secret_key.reveal() == "sk_test_beside"


def test_key_in_place_of_its_file_is_never_named(file: Path) -> None:
    file.write_text(
        f"DATABASE_URL='postgresql:///x'\nSTRIPE_SECRET_KEY_FILE=sk_live_{CANARY}\n",
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as caught:
        load(StripeSettings, read(file))
    assert CANARY not in str(caught.value)


def test_setting_from_it_is_checked_like_any_other(file: Path) -> None:
    file.write_text(f"DATABASE_URL='mysql://u:{CANARY}@h/d'\nLOG_LEVEL=loud\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(MigrateSettings, read(file))
    assert len(caught.value.faults) == 2
    assert CANARY not in str(caught.value)
