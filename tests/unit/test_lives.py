"""What tests know of each object: all of the catalogue, and nothing is left unsaid of one."""

import pytest

from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject
from tests.objects import LIVES, UnknownObject, each_object, require_lives

PARCEL = MirroredObject(
    name="parcel",
    table="parcels",
    prefix="parcel",
    path="/v1/parcels",
    columns=(Column("id", Type.TEXT, required=True), Column("created", Type.TIMESTAMP)),
)


def test_object_that_no_test_could_make_is_told_by_its_name() -> None:
    with pytest.raises(UnknownObject, match=r"'parcel'.*tests/objects\.py.*how it is made"):
        require_lives([*MIRRORED, PARCEL])


def test_nothing_is_said_of_an_object_that_the_catalogue_lacks() -> None:
    assert LIVES.keys() == {mirrored.name for mirrored in MIRRORED}


@each_object()
def test_every_object_goes_through_states_that_differ(mirrored: MirroredObject) -> None:
    states = LIVES[mirrored.name].states
    assert len(states) >= 5
    assert all(one != other for one in states for other in states if one is not other)
