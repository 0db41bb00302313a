"""DATABASE_URL: what libpq would read otherwise than it was meant is refused, nothing repeated."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from shared.errors import SettingsError
from shared.settings import MigrateSettings, load

NASTY = "@/#%:?[]&=+ '\"\\$!~^;,.-_abcXYZ019é\u200b\n"
LOCAL = "127.0.0.1:5432/app"


def pieces(text: str) -> Iterator[str]:
    return (text[start : start + 4] for start in range(len(text) - 3))


def said_of(url: str) -> str | None:
    """What is said of the URL, None where it is taken."""
    try:
        load(MigrateSettings, {"DATABASE_URL": url})
    except SettingsError as error:
        return str(error)
    return None


def read_as(url: str) -> Mapping[str, object]:
    return conninfo_to_dict(load(MigrateSettings, {"DATABASE_URL": url}).database_url.reveal())


@given(st.text(NASTY, min_size=4, max_size=20))
@example("p@ssw0rd-hunter2")
@example("p/ssw0rd")
@example("p#ssw0rd")
@example("p%ssw0rd")
@example("p%41ssw0rd")
@example("5432/x@y?sslmode=disable")
@example("a@b?user=root&host=c")
@example("a/b?schema=c")
@settings(max_examples=1_000)
def test_raw_password_is_read_as_meant_or_refused_without_a_piece_of_it(password: str) -> None:
    url = f"postgresql://Q:{password}@{LOCAL}"
    said = said_of(url)
    if said is None:
        read = read_as(url)
        assert (read["host"], read["port"], read["dbname"]) == ("127.0.0.1", "5432", "app")
        assert read["user"] == "Q" or "@" not in password
    else:
        frame = said_of("postgresql://Q:a@b@h/d") or ""
        told = frame + "1 setting is wrong DATABASE_URL holds an invisible zero-width character"
        assert [piece for piece in pieces(password) if piece in said and piece not in told] == []


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@settings(max_examples=300)
def test_encoded_password_is_taken_whatever_is_in_it(password: str) -> None:
    read = read_as(f"postgresql://app:{quote(password, safe='')}@{LOCAL}")
    assert (read["user"], read["password"], read["host"]) == ("app", password, "127.0.0.1")


@pytest.mark.parametrize(
    "password",
    ["p@ss", "p/ss", "p%ss", "p%zz", "p ss", "p%00s", "@ss", "ss@", "/", "a/b@c", "a@b/c"],
)
def test_character_that_must_be_percent_encoded_is_named_as_the_cause(password: str) -> None:
    said = said_of(f"postgresql://app:{password}@{LOCAL}")
    assert said is not None
    assert "percent-encoded" in said


@pytest.mark.parametrize(
    "password", ["p#ss", "p:ss", "p?ss", "p[ss", "p]ss", "p&s=s", "p+s", "p\\s"]
)
def test_character_that_libpq_reads_as_it_stands_is_taken(password: str) -> None:
    assert read_as(f"postgresql://app:{password}@{LOCAL}")["password"] == password


@pytest.mark.parametrize(
    "query, name",
    [
        ("schema=public", '"schema"'),
        ("pgbouncer=true", '"pgbouncer"'),
        ("connection_limit=1&pool_timeout=2", '"connection_limit"'),
        ("sslaccept=strict", '"sslaccept"'),
        ("currentSchema=x", '"currentSchema"'),
        ("ssl=true", '"ssl"'),
        ("statement_timeout=5", '"statement_timeout"'),
        ("whatever=1", '"whatever"'),
        ("SSLMODE=require", '"SSLMODE"'),
        ("sslmode=require&sslmode=disable", '"sslmode" twice'),
        ("connect_timeout=1&connect_timeout=2", '"connect_timeout" twice'),
        ("sslmode=bogus", "sslmode"),
        ("sslmode=Require", "sslmode"),
        ("channel_binding=maybe", "channel_binding"),
        ("target_session_attrs=writer", "target_session_attrs"),
        ("connect_timeout=soon", "connect_timeout"),
        ("port=x", "port"),
    ],
)
def test_parameter_is_named_that_is_unknown_or_doubled_or_has_a_wrong_value(
    query: str, name: str
) -> None:
    for url in (f"postgresql://app:c4n4ry@{LOCAL}?{query}", f"postgres:///app?{query}"):
        said = said_of(url)
        assert said is not None
        assert name in said
        assert "c4n4ry" not in said


def test_parameter_that_may_be_a_piece_of_the_password_is_not_named() -> None:
    for url in (
        "postgresql://h/d?user=u&password=p&c4n4ry=1",
        "host=h user=u password=p c4n4ry=1",
        "host=h user=u password=p c4n4ry",
        "host=h user=u password='p c4n4ry",
        "password=p@ss=c4n4ry=x c4n4ry=2",
    ):
        said = said_of(url)
        if said is not None:
            assert "c4n4ry" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1:x/d",
        "postgresql://u:p@127.0.0.1:0/d",
        "postgresql://u:p@127.0.0.1:65536/d",
        "postgresql://u:p@::1/d",
        "postgresql://user:c4n4ry",
        "host=127.0.0.1 port=x",
    ],
)
def test_port_that_is_none_is_refused_as_that(url: str) -> None:
    said = said_of(url)
    assert said is not None
    assert "port" in said
    assert "c4n4ry" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:c4n4ry@h/d",
        "jdbc:postgresql://h/d?user=u&password=c4n4ry",
        "postgis://u:c4n4ry@h/d",
        "mysql://u:c4n4ry@h/d",
        "POSTGRESQL://u:c4n4ry@h/d",
        "u:c4n4ry@h/d",
        "sk_live_c4n4ry",
        "whsec_c4n4ry",
        "https://h/c4n4ry",
    ],
)
def test_what_is_no_postgresql_url_is_refused_with_the_form_of_one(url: str) -> None:
    said = said_of(url)
    assert said is not None
    assert "postgresql://user:password@host:5432/database" in said
    assert "c4n4ry" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@[::1]:5432/d",
        "postgresql://u:p@127.0.0.1:5432,[::1]:5433/d?target_session_attrs=read-write",
        "postgresql://u@127.0.0.1/d",
        "postgresql://127.0.0.1",
        "postgresql:///d?host=/tmp&user=me@realm",
        "postgresql://%2Ftmp%2Fsocket/d",
        "postgresql:///d?options=-c%20work_mem%3D8MB&application_name=a%20b",
        "host=/tmp dbname=d password='it''s'".replace("''s", "\\'s"),
        "host = '127.0.0.1' user='a b'",
    ],
)
def test_what_libpq_reads_in_one_way_is_taken(url: str) -> None:
    assert said_of(url) is None
