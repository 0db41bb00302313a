"""The rules, each with the change of text that switches it off and the tests that should notice."""

from tests.mutants.commands import COMMANDS
from tests.mutants.compared import COMPARED
from tests.mutants.declared import DECLARED
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.rows import ROWS

_TRUTH = "shared/truth.py"
_WRITE = "shared/repository/write.py"
_EVENT = "shared/repository/apply_event.py"
_EVENTS = "tests/integration/test_traps_events.py"
_WEBHOOK = "tests/integration/test_traps_webhook.py"
_TIME = "tests/integration/test_stripe_time.py"
_RECONCILE = "tests/integration/test_traps_reconcile.py"
_WINDOWS = "tests/integration/test_traps_windows.py"
_MACHINE = "tests/integration/test_state_machine.py"
_LEASE = "tests/integration/test_lease.py"
_RULES = "tests/integration/test_rules.py"
_FINGERPRINTS = "tests/integration/test_fingerprints.py"
_UNIT = "tests/unit/test_truth.py"

MUTANTS = (
    Mutant(
        "overlapping snapshots: Stripe is asked (here: the event wins)",
        (
            Patch(
                _TRUTH,
                "    return Verdict.REPLACE if is_newer and not is_history(incoming, compared)"
                " else Verdict.ASK\n",
                "    return Verdict.REPLACE\n",
            ),
        ),
        (_EVENTS, _UNIT, _MACHINE),
    ),
    Mutant(
        "a snapshot strictly left is stale (here: it is applied)",
        (
            Patch(
                _TRUTH,
                "    if incoming.upper <= held.lower:\n        return Verdict.STALE\n",
                "    if incoming.upper <= held.lower:\n        return Verdict.REPLACE\n",
            ),
        ),
        (_EVENTS, _UNIT, _MACHINE),
    ),
    Mutant(
        "a confirmation moves the revision too",
        (
            Patch(
                _WRITE,
                "        revision = o.revision + 1\n",
                "        revision = o.revision + (r.fields IS NOT NULL)::int\n",
            ),
        ),
        (_RULES,),
    ),
    Mutant(
        "a write holds only at the revision that was read",
        (
            Patch(
                _WRITE,
                "        AND o.revision = r.at_revision\n",
                "        AND r.at_revision IS NOT NULL\n",
            ),
        ),
        (_EVENTS, _RECONCILE, _MACHINE),
    ),
    Mutant(
        "the event of a creation is dated back by a second",
        (
            Patch(
                _TRUTH,
                "Interval(created - 1, created) if is_creation else",
                "Interval(created - 1, created) if False else",
            ),
        ),
        (_EVENTS, _UNIT, "tests/unit/test_truth_simulation.py"),
    ),
    Mutant(
        "an ended state beats an overlapping other without a question",
        (
            Patch(
                _TRUTH,
                "    is_newer = is_later or (incoming_is_terminal and not held_is_terminal)\n",
                "    is_newer = is_later\n",
            ),
        ),
        (_EVENTS, _UNIT),
    ),
    Mutant(
        "an ended state is not left for an overlapping other",
        (
            Patch(
                _TRUTH,
                "        return Verdict.ASK if is_later else Verdict.STALE\n",
                "        return Verdict.ASK if is_later else Verdict.REPLACE\n",
            ),
        ),
        (_EVENTS, _UNIT, _MACHINE),
    ),
    Mutant(
        "an ended state is not left for a later other without a question",
        (
            Patch(
                _TRUTH,
                "        return Verdict.ASK if is_later else Verdict.STALE\n",
                "        return Verdict.REPLACE if is_later else Verdict.STALE\n",
            ),
        ),
        (_EVENTS, _UNIT, _MACHINE),
    ),
    Mutant(
        "a list speaks only for rows ten minutes older than itself",
        (Patch(_TRUTH, "LIST_LAG = 600\n", "LIST_LAG = 0\n"),),
        (_RECONCILE, "tests/unit/test_compare.py", _UNIT, _MACHINE),
    ),
    Mutant(
        "a run writes only while it holds the lease (the fence)",
        (
            Patch(
                "shared/repository/runs.py",
                "SELECT step FROM stripe.runs WHERE id = %(id)s AND outcome IS NULL FOR UPDATE",
                "SELECT step FROM stripe.runs WHERE id = %(id)s FOR UPDATE",
            ),
        ),
        (_LEASE, _MACHINE),
    ),
    Mutant(
        "object and ledger row are written in one transaction",
        (
            Patch(_EVENT, '"FROM written AS w"', '"FROM written AS w WHERE false"'),
            Patch(
                "shared/mirror.py",
                "        return outcome if written else None\n",
                "        if written:\n"
                "            self._enter(outcome)\n"
                "        return outcome if written else None\n",
            ),
        ),
        (_WEBHOOK, _MACHINE),
    ),
    Mutant(
        "an event is done once (the trigger on the ledger)",
        (
            Patch(
                "shared/migrations/0001_initial.sql",
                "IF OLD.outcome <> 'failed' AND",
                "IF false AND OLD.outcome <> 'failed' AND",
            ),
        ),
        (_RULES, _WEBHOOK, _MACHINE),
    ),
    Mutant(
        "a difference in flight is looked at a second time",
        (
            Patch(
                "reconcile/repair.py",
                "told = [self._told(row, held[row.object].get(row.object_id)) for row in batch]",
                "told = [*batch]",
            ),
        ),
        (_RECONCILE, _RULES),
    ),
    Mutant(
        "items beyond the embedded ones are asked for (has_more)",
        (
            Patch(
                "shared/objects/declaration.py",
                "if one.items is None or one.items.has_more:",
                "if one.items is None:",
            ),
        ),
        (_WEBHOOK, _WINDOWS),
    ),
    Mutant(
        "an object and items that were read apart are of one state",
        (
            Patch(
                "shared/stripe/api.py",
                "            if mirrored.decode(again.body, items) == whole:\n",
                "            if again == again:\n",
            ),
        ),
        (_RULES,),
    ),
    Mutant(
        "ended subscriptions are listed too (status=all)",
        (Patch("shared/objects/subscription.py", '    lists=({"status": "all"},),\n', ""),),
        (_RECONCILE,),
    ),
    Mutant(
        "a row that a list leaves out is asked for before anything is said",
        (
            Patch(
                "reconcile/comparison/inspector.py",
                "        for name in comparison.absent:\n"
                "            if name not in moved:\n"
                "                questions.setdefault(name, (False,"
                " mirrored.created(held[name].row) or 0))\n",
                "        moment = Interval(step.asked, step.asked + 1)\n"
                "        gone = {'missing_in_stripe_since': (None, step.asked)}\n"
                "        found.waiting += [\n"
                "            Difference(n, 'missing_in_stripe', held[n], None, moment, gone)\n"
                "            for n in comparison.absent\n"
                "        ]\n",
            ),
        ),
        (_RECONCILE,),
    ),
    Mutant(
        "a run that would change too much changes nothing (the gate)",
        (
            Patch(
                "reconcile/stages.py",
                "self._journal.progress.counts, self._options.limit, later)\n",
                "self._journal.progress.counts, self._options.limit._replace(rows=10**9), later)\n",
            ),
        ),
        (_RECONCILE, _RULES),
    ),
    Mutant(
        "a run with the key of another account stops (by the account's id)",
        (
            Patch(
                "shared/stripe/account.py",
                "    if ours.id is not None and account_id is not None"
                " and ours.id != account_id:\n",
                "    if ours.id != ours.id:\n",
            ),
        ),
        (_RULES, _RECONCILE),
    ),
    Mutant(
        "a run with the key of another mode stops",
        (
            Patch(
                "shared/stripe/account.py",
                "    if ours.livemode != livemode:\n",
                "    if ours.livemode != ours.livemode:\n",
            ),
        ),
        (_RULES, _RECONCILE),
    ),
    Mutant(
        "a key that knows none of the newest rows is another account's",
        (
            Patch(
                "reconcile/account_check.py", "        _probe(database, stripe)\n", "        pass\n"
            ),
        ),
        (_RECONCILE,),
    ),
    Mutant(
        "an event of another mode is refused",
        (
            Patch(
                "shared/stripe/account.py",
                "    if event.livemode != ours.livemode:\n",
                "    if event.livemode != event.livemode:\n",
            ),
        ),
        ("tests/integration/test_bad_input.py", _WEBHOOK, "tests/integration/test_odd_input.py"),
    ),
    Mutant(
        "a fingerprint is of the items too",
        (
            Patch(
                "shared/repository/fingerprints.py",
                "SELECT bit_xor({items})",
                "SELECT bit_xor(hashtextextended(i.id, 0))",
            ),
        ),
        (_FINGERPRINTS,),
    ),
    Mutant(
        "a body is recognised by its hash (here: by its length)",
        (
            Patch(
                "shared/stripe/recognition.py",
                "_hash(view[start : (end := start + one.length)], unsigned) == one.hash",
                "(end := start + one.length) > 0",
            ),
        ),
        ("tests/unit/test_recognition.py", _FINGERPRINTS),
    ),
    Mutant(
        "a row that was written while its page was listed is asked for",
        (
            Patch(
                "reconcile/comparison/known_rows.py",
                "if row.revision != known.revision and name in listed:",
                "if row.revision < 0 and name in listed:",
            ),
        ),
        (_FINGERPRINTS, _MACHINE),
    ),
    Mutant(
        "a list speaks for a row in a wrong place, too, only where the row is older",
        (
            Patch(
                "reconcile/comparison/inspector.py",
                "not truth.speaks_for(as_of, row.as_of):\n                doubtful.append(name)\n",
                "row is None:\n                doubtful.append(name)\n",
            ),
        ),
        (_RECONCILE,),
    ),
    Mutant(
        "no single answer tells what time it is at Stripe",
        (
            Patch(
                "shared/stripe/clock.py",
                "            if is_far and (before is None or abs(reading - before) > _DAY):\n",
                "            if is_far and before == -1:\n",
            ),
        ),
        (_TIME,),
    ),
    Mutant(
        "a portion of a window ends where its questions end, also within a page",
        (
            Patch(
                "reconcile/comparison/inspector.py",
                "        return is_full\n",
                "        return len(asked) >= _MOST_ASKED\n",
            ),
        ),
        (_WINDOWS,),
    ),
    *COMPARED,
    *DECLARED,
    *ROWS,
    *COMMANDS,
)
