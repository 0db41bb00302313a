"""Rules of rows that somebody else writes, removes or forges, and of how rows are looked up."""

from tests.mutants.mutant import Mutant, Patch

_REMOVED = "tests/integration/test_removed_rows.py"
_REMOVAL = "shared/migrations/0014_shared_ids.sql"
_ODD = "tests/integration/test_odd_values.py"
_EVERY_ROW = "tests/integration/test_every_row.py"
_PLANS = "tests/integration/test_plans.py"

ROWS = (
    Mutant(
        "a row that comes back goes on from the last revision of its id",
        (
            Patch(
                "shared/repository/write.py",
                'coalesce({sql.last_revision("r.id")}, 0) + 1',
                "1",
            ),
        ),
        (_REMOVED,),
    ),
    Mutant(
        "a row that is removed leaves what its changes fold to in one of its own",
        (Patch(_REMOVAL, "coalesce(f.fields, '{}')", "'{}'::jsonb"),),
        (_REMOVED,),
    ),
    Mutant(
        "a time with a fraction is no whole second",
        (
            Patch(
                "shared/migrations/0012_times.sql",
                "THEN moment = to_timestamp(date_part('epoch', moment)::bigint)",
                "THEN true",
            ),
        ),
        (_ODD,),
    ),
    Mutant(
        "a row without a time of creation is asked for by its id",
        (Patch("shared/repository/rows.py", "o.created IS NULL\n        OR ", ""),),
        (_EVERY_ROW,),
    ),
    Mutant(
        "what only says that it is deleted is asked for",
        (
            Patch(
                "reconcile/comparison/compare.py",
                "    return mirrored.is_emptied(row.row)\n",
                "    return mirrored.is_deleted(row.row)\n",
            ),
        ),
        (_EVERY_ROW,),
    ),
    Mutant(
        "no plan reads a table from end to end",
        (Patch("shared/database/connection.py", " -c enable_seqscan=off", ""),),
        (_PLANS,),
    ),
)
