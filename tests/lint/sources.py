"""What the lints share: the files of the tree, and how a finding is told.

A lint has `check(root)`, which yields findings. Run as a script it checks the tree it stands in, or the one it is
given, prints `path:line: rule: what is wrong`, and exits 1 when there was any.
"""
import fnmatch
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple, NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = ("tests/lint/bad/*", "tests/lint/good/*")  # wrong, or right, on purpose
SKIPPED_FOLDERS = {".git", "build", "node_modules", "__pycache__"}
SKIPPED = 77  # the exit code by which ctest knows a skipped test


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


def files(root: Path, *patterns: str) -> Iterator[str]:
    """The tree's own files, as paths from the root, that match a pattern (all of them without one), in order."""
    for path in sorted(_tracked(root) or _walked(root)):
        if not (root / path).is_file() or matches(path, EXAMPLES):
            continue
        if not patterns or matches(path, patterns):
            yield path


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def read(root: Path, path: str) -> str:
    return (root / path).read_text(encoding="utf-8", errors="replace")


def run_tool(command: list[str], cwd: Path) -> list[str]:
    """A tool's complaints, line by line; none when it is content."""
    try:
        done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        skip(f"{command[0]} is not installed")
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0 and not lines:
        return [f"{command[0]} failed with exit code {done.returncode}"]
    return lines if done.returncode != 0 else []


def skip(why: str) -> NoReturn:
    """Ends as a skipped test, or as a failed one where everything is required."""
    print(f"SKIPPED: {why}")
    sys.exit(1 if os.environ.get("SLUICE_REQUIRE") == "all" else SKIPPED)


def main(check: Callable[[Path], Iterable[Finding]]) -> NoReturn:
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY
    findings = list(check(root))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings" if findings else "clean")
    sys.exit(1 if findings else 0)


def _tracked(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=root, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []  # an unpacked archive, or no git here
    return [name for name in listing.stdout.decode().split("\0") if name]


def _walked(root: Path) -> list[str]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in names]
    return found
