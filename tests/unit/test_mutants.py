"""The mutants fit the project as it is, so that `make mutants` does not rot between two runs."""

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.mutant import Mutant
from tests.mutants.rules import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_each_mutant_changes_its_text_exactly_once(mutant: Mutant) -> None:
    for patch in mutant.patches:
        text = (ROOT / patch.path).read_text(encoding="utf-8")
        assert text.count(patch.old) == 1, f"change tests/mutants too: {patch.old}"


def test_each_mutant_names_tests_that_exist() -> None:
    named = {name for mutant in MUTANTS for name in mutant.tests}
    assert {name for name in named if not (ROOT / name).exists()} == set()
