"""`make audit`: known vulnerabilities in the locked dependencies, and secrets in the tree.

Exit status: 0 both were looked for and nothing was found; 1 something was found; 3 nothing was
found, but vulnerabilities could not be looked up (no network beyond the package index, say):
that is no audit, and is not called one. `--accept`: what was found in the tree is no secret.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CLEAN, FOUND, NOT_AUDITED = 0, 1, 3
# requirements-dev.lock holds all that the images and their build need too; a test sees to it.
LOCKS = [Path(f"requirements-{name}.lock") for name in ("dev", "fuzz", "audit")]
TOOLS = Path(sys.executable).parent
BASELINE = Path(".secrets.baseline")


def tool(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(TOOLS / name), *arguments], capture_output=True, text=True, check=False
    )


def dependencies() -> int:
    """Ask PyPI's advisories about every pinned version of every lock."""
    pinned: dict[tuple[str, str], list[str]] = {}
    skipped: set[str] = set()
    for lock in LOCKS:
        arguments = ["--requirement", str(lock), "--require-hashes", "--disable-pip"]
        done = tool("pip-audit", *arguments, "--format", "json", "--progress-spinner", "off")
        try:
            found = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            words = done.stderr.strip().splitlines()
            return _not_audited(f"{lock}: {words[-1] if words else 'no answer'}")
        for one in found:
            if "skip_reason" in one:
                skipped.add(one["name"])
            else:
                pinned[one["name"], one["version"]] = [v["id"] for v in one["vulns"]]
    vulnerable = {key: ids for key, ids in pinned.items() if ids}
    for (name, version), ids in sorted(vulnerable.items()):
        print(f"  {name} {version}: {', '.join(ids)}")
    if vulnerable:
        return FOUND
    if skipped:
        return _not_audited(f"no advisories to be had for {len(skipped)} packages")
    print(f"dependencies: {len(pinned)} pinned versions, no known vulnerability")
    return CLEAN


def _not_audited(reason: str) -> int:
    print(f"dependencies: NOT AUDITED: {reason}")
    print("  run it where PyPI's JSON API can be reached")
    return NOT_AUDITED


def secrets() -> int:
    """Compare what looks like a secret in the tracked files with what is known to be none."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    # Hashes are no secrets: neither those of the locks, nor of what is known to be none.
    hashes = (".lock", str(BASELINE))
    files = [name for name in tracked if name and not name.endswith(hashes)]
    # By a variable's name nothing is told here: every test has a SECRET.
    without = ("--disable-plugin", "KeywordDetector")
    done = tool("detect-secrets", "scan", "--all-files", *without, *files)
    if done.returncode != 0:
        print(f"secrets: NOT SCANNED: {done.stderr.strip()[-500:]}")
        return NOT_AUDITED
    scan = json.loads(done.stdout)
    if "--accept" in sys.argv[1:]:
        BASELINE.write_text(json.dumps(scan["results"], indent=1) + "\n", encoding="utf-8")
    found = _marks(scan["results"])
    known = _marks(json.loads(BASELINE.read_text(encoding="utf-8")))
    new = sorted(found - known)
    for name, kind, _ in new:
        print(f"  {name}: {kind}")
    print(
        f"secrets: {len(files)} files, {len(new)} findings, {len(found & known)} known to be none"
    )
    return FOUND if new else CLEAN


def _marks(results: dict[str, Any]) -> set[tuple[str, str, str]]:
    """File, kind and hash of each finding: lines may move."""
    return {
        (name, one["type"], one["hashed_secret"])
        for name, found in results.items()
        for one in found
    }


def main() -> int:
    statuses = (dependencies(), secrets())
    return FOUND if FOUND in statuses else max(statuses)


if __name__ == "__main__":
    sys.exit(main())
