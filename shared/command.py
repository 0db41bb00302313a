"""What every command has in common, said once, from what was typed to the exit status.

1. SIGTERM and SIGINT are taken and the log is set up, before anything can go wrong;
2. the arguments are read; `--help` and `--version` need no settings;
3. the settings are read, all faults named at once;
4. a job's monitor hears that it begins;
5. the command does its work;
6. what ended it becomes an exit status, by one table, and a last line that says why;
7. the monitor hears of that, and what was written is on its way.

A command is a value of `Command` in a module that imports nothing heavy, so that --help is cheap:
`main = Command(name="prune", ...)`, and a line in pyproject's [project.scripts] that names it.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NoReturn, Protocol

from shared import log
from shared.env_file import FromFile, add_env_file
from shared.errors import SettingsError, SubscriptionSyncError, WrongUsage
from shared.settings import Settings, declared, describe, load
from shared.version import version
from shared.wording import error_text

OK, FAILED, USAGE = 0, 1, 2

STATUSES: Final[Mapping[type[BaseException], int]] = {
    WrongUsage: USAGE,
    SettingsError: USAGE,
    SubscriptionSyncError: FAILED,
    KeyboardInterrupt: FAILED,
    Exception: FAILED,
}
"""The exit status of a command that an error ended, by the error's nearest class."""


class Monitor(Protocol):
    """Who is told when a job begins and how it ended; it never fails the job."""

    def start(self) -> None: ...

    def finish(self, status: int, facts: Mapping[str, object]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Call(Generic[Settings]):
    """One call of a command.

    `typed`: the arguments as they were typed. `stop`: set by a signal. `began`: on
    time.monotonic(). `facts`: what the work came to, for the last line of a job's log and for its
    monitor, by name.
    """

    arguments: argparse.Namespace
    settings: Settings
    typed: tuple[str, ...]
    stop: threading.Event
    began: float
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command(Generic[Settings]):
    """A command, called with its arguments; it returns the exit status.

    `name`: as it is typed, "reconcile replay". `settings`: what it needs, and `needs`, where its
    arguments make that less. `execute`: does the work and returns the exit status, or raises.
    `check`: raises WrongUsage or SettingsError for arguments that do not go together. `flags`: the
    option that wins over a setting, by the setting's name. `job`: the first word of the last line
    of its log, "run" for run.finished and run.failed; a command without one speaks to a person.
    `heeds_stop`: looks at `Call.stop` by itself; any other is interrupted where it stands.
    `monitor`: whom to tell, from what was typed, which may be wrong; None for nobody.
    """

    name: str
    summary: str
    settings: type[Settings]
    execute: Callable[[Call[Settings]], int]
    needs: Callable[[argparse.Namespace], type[Settings]] | None = None
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    check: Callable[[Call[Settings]], None] | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    exit_status: str = "0 done; 1 failed, the last line says why; 2 wrong usage or settings"
    more_help: Callable[[], str] | None = None
    job: str = ""
    heeds_stop: bool = False
    monitor: Callable[[Sequence[str]], Monitor | None] | None = None

    def __call__(self, typed: Sequence[str] | None = None) -> int:
        """Run the command and return its exit status."""
        given = tuple(sys.argv[1:] if typed is None else typed)
        began = time.monotonic()
        with _signals(heeds_stop=self.heeds_stop) as stop:
            # Nothing reaches the terminal past the redaction.
            log.configure()
            try:
                status = self._run(given, stop, began)
            except SystemExit as end:  # --help, --version, and how gunicorn ends
                status = end.code if isinstance(end.code, int) else FAILED if end.code else OK
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the edge)
                status = self._tell_failure(error)[0]
        return _flushed(status)

    def _run(self, typed: tuple[str, ...], stop: threading.Event, began: float) -> int:
        try:
            call = self._prepare(typed, stop, began)
        except (WrongUsage, SettingsError) as error:
            _print(f"{self.name}: {error}")
            if monitor := self._monitor(typed):
                is_setting = isinstance(error, SettingsError)
                # What was typed is not quoted: nobody knows what it is.
                wrong = error if is_setting else "the arguments are wrong"
                monitor.finish(USAGE, {"verdict": f"FAILED: nothing was begun: {wrong}"})
            return USAGE
        if monitor := self._monitor(typed):
            monitor.start()
        status, facts = FAILED, dict[str, object]()
        try:
            status = self.execute(call)
            facts = self._tell_end(call, status)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the edge: all must be told)
            status, facts = self._tell_failure(error)
        finally:
            if monitor:
                monitor.finish(status, facts)
        return status

    def _prepare(
        self, typed: tuple[str, ...], stop: threading.Event, began: float
    ) -> Call[Settings]:
        arguments = self._parser().parse_args(typed)
        read = add_env_file(os.environ)
        kind = self.needs(arguments) if self.needs else self.settings
        settings = load(kind, os.environ, self._typed_settings(arguments))
        log.configure(getattr(settings, "log_level", "INFO"))
        if read:
            self._tell_of_file(read)
        call = Call(arguments=arguments, settings=settings, typed=typed, stop=stop, began=began)
        try:
            if self.check:
                self.check(call)
        except WrongUsage as error:
            self._parser().error(str(error))
        return call

    def _monitor(self, typed: Sequence[str]) -> Monitor | None:
        return self.monitor(typed) if self.monitor else None

    def _parser(self) -> _Parser:
        parser = _Parser(prog=self.name, description=self.summary)
        parser.about = self._about
        parser.add_argument(
            "--version", action=_Version, nargs=0, help="say the version of it and of Python"
        )
        if self.add_arguments:
            self.add_arguments(parser)
        return parser

    def _about(self) -> str:
        """Return what --help says below the options."""
        program, _, word = self.name.partition(" ")
        shown = f"settings: see `{program} --help`" if word else describe(self.settings)
        parts = (
            self.more_help() if self.more_help else "",
            shown,
            f"exit status: {self.exit_status}",
        )
        return "\n\n".join(part for part in parts if part)

    def _typed_settings(self, arguments: argparse.Namespace) -> dict[str, tuple[str, str]]:
        typed = {
            name: (option, getattr(arguments, option.lstrip("-").replace("-", "_")))
            for name, option in self.flags.items()
        }
        return {name: (option, text) for name, (option, text) in typed.items() if text is not None}

    def _tell_of_file(self, read: FromFile) -> None:
        ours = {setting.name for setting in declared(self.settings).values()}
        ours |= {f"{name}_FILE" for name in ours}
        log.event(
            self._log,
            "env_file.read",
            file=read.path,
            names=sorted(ours & set(read.names)),
            # Counted alone: what stands where a name should may be half of a secret.
            others=len(set(read.names) - ours),
            left_to_the_environment=sorted(ours & set(read.left)),
        )

    def _tell_end(self, call: Call[Settings], status: int) -> dict[str, object]:
        """Log how a job ended, and return it."""
        if not call.facts:
            return {}
        seconds = round(time.monotonic() - call.began, 1)
        facts = {**call.facts, "seconds": seconds, "exit_status": status}
        level = logging.ERROR if status == FAILED else logging.INFO
        log.event(self._log, f"{self.job}.finished", level=level, error=None, **facts)
        return facts

    def _tell_failure(self, error: BaseException) -> tuple[int, dict[str, object]]:
        """Say what ended the command; return its exit status, and what its monitor is told."""
        kinds = (STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
        status, said = next(kinds, FAILED), _said(error)
        if said and not self.job:
            _print(f"{self.name}: {error if isinstance(error, SubscriptionSyncError) else said}")
        else:
            event = f"{self.job or 'command'}.failed"
            level = logging.ERROR
            log.event(self._log, event, level=level, error=said or error, exit_status=status)
        why = said or f"{type(error).__name__}; the log says more"
        return status, {"verdict": f"FAILED: {why}"}

    @property
    def _log(self) -> logging.Logger:
        return logging.getLogger(self.name.partition(" ")[0])


@contextmanager
def imports() -> Iterator[None]:
    """Import here what the work needs: it stays for good, and is not searched for garbage.

    That is a tenth of the start; and frozen it stays in the pages that forked workers share.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _Parser(argparse.ArgumentParser):
    """A parser that leaves it to its caller to exit, and works out --help only for who asks."""

    about: Callable[[], str]

    def __init__(self, prog: str, description: str) -> None:
        kind = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, formatter_class=kind)

    def format_help(self) -> str:
        self.epilog = self.about()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Print the usage and raise WrongUsage."""
        if sys.stderr is not None:
            self.print_usage(sys.stderr)
        said = log.redact(message)
        raise WrongUsage(f"error: {said} (`{self.prog} --help` says what it takes)")


class _Version(argparse.Action):
    """Prints one line and ends the command; the version is read only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        program = parser.prog.partition(" ")[0]
        python = ".".join(map(str, sys.version_info[:3]))
        print(f"{program} {version()} (Python {python})")  # noqa: T201 - a command speaks to a person
        parser.exit()


@contextmanager
def _signals(*, heeds_stop: bool) -> Iterator[threading.Event]:
    """Have SIGTERM and SIGINT set an event, or interrupt what does not look at it."""
    stop = threading.Event()

    def told(*_: object) -> None:
        stop.set()
        if not heeds_stop:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _said(error: BaseException) -> str:
    """Return in a sentence what ended a command; nothing where only a traceback can tell."""
    if isinstance(error, SubscriptionSyncError):
        return error_text(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped by a signal"
    if isinstance(error, BrokenPipeError):
        return "BrokenPipeError: whoever read the output has gone"
    return ""


def _print(text: str) -> None:
    # None where whoever started us has closed it; print would then take standard output.
    if sys.stderr is not None:
        print(text, file=sys.stderr)  # noqa: T201 - a command speaks to a person


def _flushed(status: int) -> int:
    """Return the exit status once what was written is on its way; 1 where nobody takes it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            # Else the interpreter tries once more at exit, and makes the exit status 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            status = status or FAILED
    return status
