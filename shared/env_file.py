r"""The file `.env` beside the project, in development: as if its lines had been exported.

It is read where the product runs from its source, an editable install or a clone. An installed one,
a container's, reads no file unless ENV_FILE names it. The environment wins; what is empty in it is
not set.

    NAME='a value'      as in a shell, with `export` in front or without
    NAME="a value"      the same, but \n and the like are read as Python reads them
    NAME=value # why    up to a blank and #

Nothing is put in place of a `$`. In single quotes every value without a quote or a backslash is
what a shell makes of it, too.
"""

import io
import os
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final, NamedTuple

from shared.errors import SettingsError
from shared.setting_readers import given

_NAMED_BY = "ENV_FILE"
_MOST_BYTES: Final = 65_536
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"


class FromFile(NamedTuple):
    """What a file gave: the names taken from it, and those that the environment holds already."""

    path: str
    names: tuple[str, ...]
    left: tuple[str, ...]


def add_env_file(environ: MutableMapping[str, str]) -> FromFile | None:
    """Add to the environment what the file holds; None where there is no file, or nothing in it.

    Raises SettingsError, naming the lines that cannot be read and never what stands there.
    """
    named = given(environ, _NAMED_BY)
    path = Path(named) if named else _beside_the_project()
    if path is None:
        return None
    values = _read(path)
    held = {_setting(name) for name in environ if given(environ, name)}
    left = {name for name in values if _setting(name) in held}
    taken = {name: _located(name, values[name], path) for name in values if name not in left}
    environ.update(taken)
    return FromFile(str(path), tuple(taken), tuple(left)) if values else None


def _setting(name: str) -> str:
    """Return what a name sets, in whichever of its spellings: PORT_FILE, https_proxy."""
    return name.upper().removesuffix("_FILE")


def _beside_the_project() -> Path | None:
    project = Path(__file__).parents[1]
    path = project / ".env"
    # Beside an installed package there is no pyproject.toml.
    return path if (project / "pyproject.toml").is_file() and path.exists() else None


def _read(path: Path) -> dict[str, str]:
    """Return its values by name, the last of a name."""
    text = _text(path)
    # Here, for whoever has no such file need not pay for it.
    from dotenv.parser import parse_stream

    values, faults = {}, []
    for line in parse_stream(io.StringIO(text)):
        whole = line.original.string
        blank_lines = whole[: len(whole) - len(whole.lstrip())].count("\n")
        if wrong := _fault(line.key, line.value, whole if line.error else None):
            faults.append(f"{path}, line {line.original.line + blank_lines}: {wrong}")
        elif line.key is not None:
            values[line.key] = line.value or ""
    if faults:
        raise SettingsError(faults)
    return values


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as fault:
        raise SettingsError([f"{path} cannot be read: {fault.strerror}"]) from None
    if len(content) > _MOST_BYTES:
        raise SettingsError([f"{path} is no file of settings: it is larger than 64 KiB"])
    try:
        return content.decode()
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise SettingsError([f"{path}, line {line}: is not text in UTF-8"]) from None


def _fault(name: str | None, value: str | None, unreadable: str | None) -> str | None:
    """Return what is wrong with a line, without a word of it; `unreadable`: one without a name."""
    if unreadable is not None:
        name = unreadable.strip().removeprefix("export ").partition("=")[0].strip()
        if re.fullmatch(_NAME, name):
            return "a quote is not closed, or something follows a closed one"
    if name is None:  # blank, or a comment
        return None
    if not re.fullmatch(_NAME, name):
        return "does not begin with a setting's name (letters, digits, underscores) and `=`"
    if value is None:
        return "has no `=` after the name"
    return "holds a NUL character" if "\0" in value else None


def _located(name: str, value: str, path: Path) -> str:
    """Return a value; where it names a file beside the .env, so that it is found from anywhere."""
    beside = str(path.parent / value)
    return beside if name.endswith("_FILE") and os.path.isfile(beside) else value  # noqa: PTH113 (Path's raises for what is no path)
