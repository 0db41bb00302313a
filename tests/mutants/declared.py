"""What declarations say of each object: data, of which each is left out once."""

from tests.mutants.mutant import Mutant, Patch

_SUBSCRIPTION = "shared/objects/subscription.py"
_CUSTOMER = "shared/objects/customer.py"
_PRODUCT = "shared/objects/product.py"
_PRICE = "shared/objects/price.py"
_EVENTS = "tests/integration/test_traps_events.py"
_DECLARED = "tests/integration/test_traps_declared.py"

DECLARED = (
    *(
        Mutant(
            f"a merchant may choose the id of a {name}",
            (Patch(path, "    chosen_ids=True,\n", ""),),
            ("tests/integration/test_chosen_ids.py",),
        )
        for name, path in {"customer": _CUSTOMER, "product": _PRODUCT, "price": _PRICE}.items()
    ),
    Mutant(
        "what ends an object ends it for good",
        (Patch(_SUBSCRIPTION, '    ends=Ending("status", TERMINAL_STATUSES),\n', ""),),
        (_EVENTS,),
    ),
    Mutant(
        "the event of a deletion deletes, though it carries the object as it was",
        (Patch(_CUSTOMER, '    deleted_by="customer.deleted",\n', ""),),
        (_EVENTS,),
    ),
    Mutant(
        "a deletion empties what Stripe no longer tells",
        (
            Patch(
                "shared/objects/deletion.py",
                "    for path, empty in places:\n",
                "    for path, empty in places[:0]:\n",
            ),
        ),
        (_EVENTS,),
    ),
    Mutant(
        "what Stripe leaves out of a deleted object and nobody contradicts is kept",
        (
            Patch(
                _CUSTOMER,
                '        Column("created", Type.TIMESTAMP, keeps=True),\n',
                '        Column("created", Type.TIMESTAMP),\n',
            ),
        ),
        (_EVENTS,),
    ),
    Mutant(
        "an object that Stripe no longer knows was deleted, where its deletions are told so",
        (Patch(_PRODUCT, "    known_when_deleted=False,\n", ""),),
        (_EVENTS,),
    ),
    Mutant(
        "lists that are complete together are all asked for",
        (
            Patch(
                _PRICE,
                '    lists=({"active": "true"}, {"active": "false"}),\n',
                '    lists=({"active": "true"},),\n',
            ),
        ),
        (_DECLARED,),
    ),
    Mutant(
        "an object that may be in no list is not looked for where none shows it",
        (Patch(_PRICE, '    unlisted=("active", False),\n', ""),),
        (_DECLARED,),
    ),
    Mutant(
        "what no event tells is asked for",
        (
            Patch(
                _PRICE,
                '    expands=(Expansion("tiers", ("billing_scheme", "tiered")),),\n',
                "",
            ),
        ),
        (_DECLARED,),
    ),
    Mutant(
        "rows of what may vanish do not tell whose the database is",
        (Patch(_PRODUCT, '    brief=("name",),\n', '    brief=("name",),\n    vouches=True,\n'),),
        (_DECLARED,),
    ),
)
