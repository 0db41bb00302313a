"""What a chaos run prints, and its copy as JSON."""

from typing import Any

from sandbox.chaos.storm import Result
from sandbox.telling import table


def broken(result: Result) -> dict[str, int]:
    """The columns that must be 0, by their titles."""
    findings = result.findings
    return {
        "lost": len(findings.lost),
        "never entered": len(findings.never_entered),
        "applied twice": len(findings.applied_twice),
        "went back": len(findings.went_back),
        "never true": len(findings.never_true),
        "differ after": len(result.differ_after),
        "repaired by the next run": -1 if result.repaired_after is None else result.repaired_after,
        "do not fold": len(findings.unfolded),
        "helped": result.helped,
        "never accepted": result.facts.unaccepted,
    }


def is_clean(result: Result) -> bool:
    return not any(broken(result).values())


_MEANINGS = {
    "lost": "answered 2xx without a ledger row at that moment",
    "never entered": "events of Stripe's that are not in the ledger after the last reconcile",
    "applied twice": "events with more than one change row",
    "went back": "rows that ever went back to an older state of Stripe's",
    "never true": "versions of rows that were never a state of Stripe's",
    "differ after": "rows different from Stripe after the last reconcile",
    "repaired by the next run": "repairs by the run after that",
    "do not fold": "objects whose change rows do not fold to their row",
    "helped": "processes that had to be helped",
    "never accepted": "sendings that were not accepted in the end",
}


def show(result: Result) -> None:
    facts, findings = result.facts, result.findings
    rows: list[tuple[object, ...]] = [
        ("events that Stripe made", result.events, ""),
        ("of them never delivered", len(facts.lost), ""),
        ("sendings (copies, repetitions, thin ones)", facts.sent, ""),
        ("events answered 2xx", len(facts.accepted), ""),
        ("versions of rows that were looked at", findings.versions, ""),
        ("change rows", findings.changes, ""),
        ("repairs by the runs during the storm and after", result.repaired, ""),
        ("rows different from Stripe before the last reconcile", result.differ_before, ""),
    ]
    for name, count in broken(result).items():
        rows.append((_MEANINGS[name], count, "ok" if count == 0 else "BROKEN"))
    table(("what", "count", "must be 0"), rows)
    table(("fault", "times"), list(result.faults.items()))
    table(("how runs of reconcile ended", "times"), sorted(result.runs.items()))
    answers = sorted(facts.answers.items()) + sorted(facts.outcomes.items())
    table(("answers of the webhook", "times"), answers)
    first, last = result.clock_off
    print(
        f"\nseed {result.plan.seed}, {result.seconds:.0f} s; Stripe's clock was {first:+.0f} s off"
        f" the host's at the beginning and {last:+.0f} s at the end"
    )
    for words in result.words:
        print(words)


def as_json(result: Result) -> dict[str, Any]:
    findings = result.findings
    return {
        "seed": result.plan.seed,
        "events": result.events,
        "subscriptions": result.plan.subscriptions,
        "never_delivered": len(result.facts.lost),
        "sent": result.facts.sent,
        "answered_2xx": len(result.facts.accepted),
        "versions": findings.versions,
        "changes": findings.changes,
        "repaired": result.repaired,
        "differ_before": result.differ_before,
        "must_be_0": broken(result),
        "faults": result.faults,
        "runs": result.runs,
        "answers": result.facts.answers,
        "outcomes": result.facts.outcomes,
        "clock_off": result.clock_off,
        "seconds": result.seconds,
        "words": result.words,
        "examples": {
            name: getattr(findings, name)[:10]
            for name in (
                *("lost", "never_entered", "applied_twice", "went_back", "never_true"),
                "unfolded",
            )
        },
    }
