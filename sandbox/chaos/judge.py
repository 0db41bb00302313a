"""Whether the database kept its promises: read from Stripe's truth and SQL alone."""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, TypeAlias

from sandbox.chaos.database import WatchedDatabase
from sandbox.chaos.picture import digest, of_changes
from sandbox.chaos.postman import Facts
from sandbox.mirrored import (
    MIRRORED,
    Mirrored,
    Picture,
    columns_of_row,
    of_row,
    of_stripe,
    rows,
)

Ask: TypeAlias = Callable[..., Any]
"""Calls a method of the double's control: truth, history, ids, event_types."""

_SLACK = 0.001


@dataclass(kw_only=True)
class Findings:
    """Broken promises, by the ids of those concerned. `evidence`: wrong versions of rows."""

    lost: list[str] = field(default_factory=list)
    never_entered: list[str] = field(default_factory=list)
    applied_twice: list[str] = field(default_factory=list)
    went_back: list[str] = field(default_factory=list)
    never_true: list[str] = field(default_factory=list)
    unfolded: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    versions: int = 0
    changes: int = 0


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a whole comparison proves: versions of rows after `number` are no older than `since`."""

    number: int
    since: float


class Judge:
    """`load` when nothing changes at Stripe any more."""

    def __init__(self, database: WatchedDatabase, ask: Ask) -> None:
        self._database = database
        self._ask = ask
        self._histories: dict[str, list[bytes]] = {}
        self._times: dict[str, list[float]] = {}
        self._forgotten: set[str] = set()

    def load(self) -> None:
        """Read every state that every object ever had."""
        for mirrored in MIRRORED:
            for name in self._ask("ids", mirrored.kind):
                seen = self._ask("history", name)
                self._histories[name] = [digest(of_stripe(one["object"])) for one in seen]
                self._times[name] = [-inf if one["at"] is None else one["at"] for one in seen]
                if mirrored.forgotten and seen[-1]["object"].get("deleted"):
                    self._forgotten.add(name)

    def differing(self) -> list[str]:
        """The objects of which the database says something else than Stripe, or one knows not."""
        held: dict[str, bytes] = {}
        for mirrored in MIRRORED:
            pictures = map(of_row, self._rows(mirrored))
            held |= {picture["id"]: digest(picture) for picture in pictures}
        return sorted(
            name
            for name in held.keys() | (self._histories.keys() - self._forgotten)
            if held.get(name) != self._histories.get(name, [b""])[-1]
        )

    def explain(self, name: str) -> tuple[Picture, Picture | None]:
        """Stripe's picture of an object and the database's, for a person to compare."""
        truth = of_stripe(self._ask("truth", name))
        for mirrored in MIRRORED:
            for text in self._rows(mirrored):
                picture = of_row(text)
                if picture["id"] == name:
                    return truth, picture
        return truth, None

    def nearest(self, version: str) -> list[str]:
        """What differs between a wrong version of a row and each state of Stripe's like it."""
        shown = of_row(version)
        found = []
        for place, one in enumerate(self._ask("history", shown["id"])):
            truth = of_stripe(one["object"])
            names = {n for n in truth.keys() | shown.keys() if truth.get(n) != shown.get(n)}
            found.append((len(names), f"{place}: {sorted(names)}"))
        return [words for _, words in sorted(found)[:3]]

    def proof(self, since: float) -> Proof:
        """What a run has proved that has just ended; `since`: Stripe's time, lists' lag off."""
        ((number,),) = self._database.query("SELECT coalesce(max(number), 0) FROM chaos.versions")
        return Proof(number=number, since=since)

    def judge(self, facts: Facts, proofs: Sequence[Proof] = ()) -> Findings:
        findings = Findings()
        self._judge_events(findings, facts)
        self._judge_versions(findings, proofs)
        self._judge_changes(findings)
        return findings

    def _judge_events(self, findings: Findings, facts: Facts) -> None:
        """A ledger row must be older than the first 2xx: one that came later was somebody's rescue.

        Both times are of this machine's clock.
        """
        ledger = dict(
            self._database.query(
                "SELECT id, extract(epoch FROM received_at)::float FROM stripe.events"
            )
        )
        findings.lost = [
            name
            for name, answered in facts.accepted.items()
            if name not in ledger or ledger[name] > answered + _SLACK
        ]
        findings.never_entered = [
            name for name, _ in self._ask("event_types") if name not in ledger
        ]
        findings.applied_twice = [
            name
            for (name,) in self._database.query(
                "SELECT event_id FROM stripe.changes WHERE event_id IS NOT NULL"
                " GROUP BY event_id HAVING count(*) > 1"
            )
        ]

    def _judge_versions(self, findings: Findings, proofs: Sequence[Proof]) -> None:
        """Every version of a row must be some state of Stripe's, and none older than the last.

        Nor older than what a comparison had found in between, though it wrote nothing.
        """
        for name, versions in self._grouped(
            "SELECT object_id, body, number FROM chaos.versions"
            " ORDER BY object_id, revision, number"
        ):
            history = self._histories.get(name, [])
            places = defaultdict(list)
            for place, state in enumerate(history):
                places[state].append(place)
            reached = 0
            for _, body, number in versions:
                findings.versions += 1
                known_since = [one.since for one in proofs if one.number < number]
                if known_since:
                    times = self._times.get(name, [])
                    reached = max(reached, bisect_right(times, max(known_since)) - 1)
                known = places.get(digest(of_row(body)))
                if known is None:
                    findings.never_true.append(name)
                    findings.evidence.append(body)
                    continue
                later = [place for place in known if place >= reached]
                if not later:
                    findings.went_back.append(name)
                    findings.evidence.append(body)
                    break
                reached = later[0]

    def _judge_changes(self, findings: Findings) -> None:
        """An object's change rows, one after the other, must give its row as it is now."""
        held: dict[str, Picture] = {}
        for mirrored in MIRRORED:
            for picture in map(columns_of_row, self._rows(mirrored)):
                held[picture["id"]] = picture
        for name, changes in self._grouped(
            "SELECT object_id, fields::text FROM stripe.changes ORDER BY object_id, revision, id"
        ):
            state: Picture = {}
            wrong: list[str] = []
            for _, fields in changes:
                findings.changes += 1
                wrong += of_changes(json.loads(fields, parse_float=Decimal), state)
            if wrong or digest(state) != digest(held.pop(name, {})):
                findings.unfolded.append(name)
        findings.unfolded += held

    def _grouped(self, text: str) -> Any:
        with (
            self._database.connect() as connection,
            connection.transaction(),
            connection.cursor("judge") as cursor,
        ):
            cursor.itersize = 2_000
            cursor.execute(text.encode())
            yield from groupby(cursor, key=itemgetter(0))

    def _rows(self, mirrored: Mirrored) -> list[str]:
        with self._database.connect() as connection:
            return list(rows(connection, mirrored))
