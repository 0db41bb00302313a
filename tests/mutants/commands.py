"""Rules of the commands: where a setting comes from, and how a command ends."""

from tests.mutants.mutant import Mutant, Patch

_ADDITIONS = "tests/e2e/test_additions.py"
_ENV_FILE = "tests/unit/test_env_file.py"

COMMANDS = (
    Mutant(
        "the environment wins over the .env",
        (
            Patch(
                "shared/env_file.py",
                "    left = {name for name in values if _setting(name) in held}\n",
                "    left = {name for name in values if _setting(name) in held and not name}\n",
            ),
        ),
        (_ENV_FILE,),
    ),
    Mutant(
        "an installed product reads no .env unless it is told to",
        (Patch("shared/env_file.py", '(project / "pyproject.toml").is_file() and ', ""),),
        (_ADDITIONS,),
    ),
    Mutant(
        "a command that does not look at a signal is interrupted by it",
        (
            Patch(
                "shared/command.py",
                "        if not heeds_stop:\n            raise KeyboardInterrupt\n",
                "",
            ),
        ),
        (_ADDITIONS,),
    ),
)
