"""Does the suite notice when a rule is switched off? `make mutants`, or `python -m tests.mutants`.

Each mutant is a copy of the project with one rule switched off by a change to its text. Tests are
run on the copy until one fails. A mutant that no test catches is a hole in the suite.
"""
