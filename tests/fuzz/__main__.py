"""`make fuzz`: the targets under atheris, coverage-guided, a share of the time each.

Each target runs in a process of its own, for libFuzzer ends the process. A finding ends that
target with its input kept in `.fuzz/findings`; the exit status is then 1. What was learnt stays in
`.fuzz/corpus`, so that the next run goes on from there.
"""

# ruff: noqa: T201 - a command speaks to a person

import argparse
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(".fuzz")
LONGEST = 65_536
TARGETS = ("event", "content", "header")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), help="run this one in this process")
    arguments = parser.parse_args()
    if arguments.target is not None:
        fuzz(arguments.target, arguments.seconds, arguments.seed)
    share = max(1, arguments.seconds // len(TARGETS))
    for name in TARGETS:
        plant(name)
    results = [run(name, share, arguments.seed) for name in TARGETS]
    print(f"{'target':<10}{'executions':>12}{'seconds':>9}{'coverage':>10}  findings")
    for name, executions, seconds, coverage, findings in results:
        print(f"{name:<10}{executions:>12,}{seconds:>9}{coverage:>10}  {findings or 'none'}")
    return 1 if any(result[-1] for result in results) else 0


def plant(name: str) -> None:
    """Put the seeds into a target's corpus, beside what earlier runs have learnt."""
    from tests.fuzz import seeds

    corpus = FOLDER / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    (FOLDER / "findings").mkdir(exist_ok=True)
    given = seeds.headers() if name == "header" else seeds.bodies()
    for number, seed in enumerate(given):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    words = "\n".join('"' + w.replace("\\", "\\\\").replace('"', '\\"') + '"' for w in seeds.WORDS)
    (FOLDER / "words").write_text(words + "\n", encoding="utf-8")


def run(name: str, seconds: int, seed: int) -> tuple[str, int, int, int, str]:
    """Run one target in a process and read libFuzzer's last words."""
    command = [sys.executable, "-m", "tests.fuzz", "--target", name]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    numbers = re.findall(r"^Done (\d+) runs in (\d+) second", done.stderr, re.MULTILINE)
    coverage = re.findall(r" cov: (\d+) ", done.stderr)
    executions, took = (int(number) for number in numbers[-1]) if numbers else (0, 0)
    finding = ""
    if done.returncode != 0 or not numbers:
        print(done.stderr[-4_000:], file=sys.stderr)
        kept = re.search(r"Test unit written to (\S+)", done.stderr)
        finding = kept[1] if kept else f"exit status {done.returncode}"
    return name, executions, took, int(coverage[-1]) if coverage else 0, finding


def fuzz(name: str, seconds: int, seed: int) -> None:
    """Fuzz one target; never returns."""
    # Not installed for the tests: `make fuzz` brings it from a lock of its own.
    import atheris  # type: ignore[import-untyped]

    # Only what is imported in here is watched, so nothing of it may be imported above.
    with atheris.instrument_imports(include=["shared", "webhook", "tests.fuzz.targets"]):
        from tests.fuzz import targets
    atheris.Setup(
        [
            "fuzz",
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-max_len={LONGEST}",
            f"-dict={FOLDER / 'words'}",
            f"-artifact_prefix={FOLDER / 'findings'}/{name}-",
            "-timeout=10",
            "-rss_limit_mb=1024",
            str(FOLDER / "corpus" / name),
        ],
        targets.TARGETS[name],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
