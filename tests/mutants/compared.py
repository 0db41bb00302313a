"""The rules around what was compared, and what is older than that."""

from tests.mutants.mutant import Mutant, Patch

_TRUTH = "shared/truth.py"
_EVENT = "shared/repository/apply_event.py"
_UNIT = "tests/unit/test_truth.py"
_COMPARED = "tests/integration/test_compared.py"
_LOOKS = "tests/integration/test_missed_looks.py"
_LIST = "tests/integration/test_event_list.py"
_RESUMED = "tests/integration/test_resumed_runs.py"
_SIMULATION = "tests/unit/test_truth_simulation.py"

COMPARED = (
    Mutant(
        "what is older than the latest comparison is asked for (by the decision)",
        (
            Patch(
                _TRUTH,
                "    return compared is not None and incoming.upper <= compared\n\n\n",
                "    return False\n\n\n",
            ),
        ),
        (_UNIT, _SIMULATION, _COMPARED),
    ),
    Mutant(
        "a decision taken before a comparison began writes nothing that is older",
        (
            Patch(
                _EVENT,
                '    WHERE NOT {compared.is_history(mirrored, "%(ended)s::bigint")}\n',
                "",
            ),
        ),
        (_COMPARED,),
    ),
    Mutant(
        "a run says that it begins before it reads a row",
        (
            Patch(
                "reconcile/stages.py",
                "        self._journal.begin(self._stripe.now(MIRRORED))\n",
                "",
            ),
        ),
        (_COMPARED, _LOOKS),
    ),
    Mutant(
        "a run waits for statements that do not know yet that it begins",
        (
            Patch(
                "reconcile/journal/in_database.py",
                "        while writers and time.monotonic() < until:\n",
                "        while False and time.monotonic() < until:\n",
            ),
        ),
        (_COMPARED,),
    ),
    Mutant(
        "a missed event that the comparison may not cover is looked into",
        (
            Patch(
                _TRUTH,
                "    return compared is not None and incoming.upper <= compared - LIST_LAG\n",
                "    return True\n",
            ),
        ),
        (_SIMULATION, _LOOKS),
    ),
    Mutant(
        "a list does not speak of its last ten minutes, so missed events of them are looked into",
        (
            Patch(
                _TRUTH,
                "incoming.upper <= compared - LIST_LAG\n",
                "incoming.upper <= compared\n",
            ),
        ),
        (_UNIT, _SIMULATION, _LOOKS),
    ),
    Mutant(
        "what a look finds equal is repaired no more, whatever its list had said",
        (
            Patch(
                "reconcile/journal/in_database.py",
                "            if found.again is not None and not rows:\n",
                "            if found.again is not None and rows:\n",
            ),
        ),
        (_LOOKS,),
    ),
    Mutant(
        "what missed events tell passes the gate",
        (
            Patch(
                "reconcile/run.py", "            self._events = stages.look_after_events()\n", ""
            ),
            Patch(
                "reconcile/run.py",
                "            self._held_back = stages.repair(plan, plan.check())\n",
                "            plan.check()\n            self._events = stages.look_after_events()\n"
                "            self._held_back = stages.repair(plan, plan.check())\n",
            ),
        ),
        (_LOOKS,),
    ),
    Mutant(
        "an object that decides no access is held back alone",
        (
            Patch(
                "reconcile/gate.py",
                "    return BY_NAME[name].access is not None\n",
                "    return bool(BY_NAME[name])\n",
            ),
        ),
        ("tests/integration/test_limits.py",),
    ),
    Mutant(
        "an object that the key may not read holds up no other",
        (
            Patch(
                "reconcile/streams.py",
                "                if mirrored.access is not None:\n",
                "                if mirrored.name:\n",
            ),
        ),
        ("tests/integration/test_permissions.py",),
    ),
    Mutant(
        "a repair that is asked for again passes the gate with all else",
        (
            Patch(
                "reconcile/repair.py",
                "                plan.replace(before, now)\n            refused = plan.check()\n",
                "                plan.replace(before, now)\n",
            ),
        ),
        ("tests/integration/test_rules.py",),
    ),
    Mutant(
        "the cursor through the event list is never beyond what the list has shown",
        (
            Patch(
                "reconcile/deliveries/deliveries.py",
                "            until = newest or listed.until\n",
                "            until = listed.until\n",
            ),
        ),
        (_LIST,),
    ),
    Mutant(
        "a cursor that lies ahead of Stripe's time is not believed",
        (
            Patch(
                "reconcile/deliveries/event_list.py",
                "None if reached is None or reached > until else reached\n",
                "reached\n",
            ),
        ),
        (_LIST,),
    ),
    Mutant(
        "each look at the event list begins a day before what the last one was shown",
        (
            Patch(
                "reconcile/deliveries/event_list.py",
                "LOOK_BACK = 26 * 3600\n",
                "LOOK_BACK = 3600\n",
            ),
        ),
        (_LIST,),
    ),
    Mutant(
        "what a stopped run had found is asked for again by the one that goes on",
        (
            Patch(
                "reconcile/repair.py",
                "found.as_of.upper > (self._journal.progress.began or 0)",
                "found.as_of.upper > 0",
            ),
        ),
        (_RESUMED,),
    ),
    Mutant(
        "an event whose row waits for its repair is not done",
        (
            Patch(
                "reconcile/deliveries/past_event.py",
                "self._entry(Outcome.FAILED, WAITS)",
                "self._entry(Outcome.STALE, None)",
            ),
        ),
        (_RESUMED,),
    ),
    Mutant(
        "a look that goes on from another's is made again from before that",
        (
            Patch(
                "reconcile/deliveries/deliveries.py",
                "            if progress.before.get(EVENTS):\n",
                "            if False and progress.before.get(EVENTS):\n",
            ),
        ),
        (_RESUMED,),
    ),
)
