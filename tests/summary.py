"""The last lines of a test run, from ctest's JUnit file: what failed and how, what was skipped and why, and

    N passed, N failed, N skipped

Exits 1 when a test failed or none ran.
"""
import collections
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

MOST_LINES, MOST_CHARACTERS = 6, 400  # of a failed test's output, and of such a line
COMPLAINTS = r"^\w*(Error|Exception)\b.*:|: Failure$|==ERROR: |: runtime error: |^WARNING: ThreadSanitizer"


def main(path: str) -> int:
    passed, failed, skipped = 0, [], collections.Counter()
    cases = ElementTree.parse(path).getroot().iter("testcase") if Path(path).is_file() else []
    for case in cases:
        mark = case.find("skipped")
        asked_to = mark is not None and mark.get("message", "").startswith("SKIP_")  # else ctest could not run it
        if case.get("status") == "run":
            passed += 1
        elif case.get("status") == "disabled":
            skipped["disabled"] += 1
        elif asked_to:
            skipped[reason(case)] += 1
        else:
            failed.append(case)
    for case in failed:
        print(f"failed: {case.get('name')}")
        for line in complaint(case):
            print(f"  {line[:MOST_CHARACTERS]}")
    for why, count in skipped.most_common():
        print(f"skipped {count}: {why}")
    print(f"{passed} passed, {len(failed)} failed, {sum(skipped.values())} skipped")
    return 1 if failed or not passed else 0


def complaint(case: ElementTree.Element) -> list[str]:
    """The lines of its output from the first that says what went wrong; where none does, the last ones."""
    lines = [line for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if re.search(COMPLAINTS, line)), max(len(lines) - MOST_LINES, 0))
    return lines[first:first + MOST_LINES]


def reason(case: ElementTree.Element) -> str:
    """Why a test was skipped: the words of GTEST_SKIP, or a line `SKIPPED: …` of a script."""
    output = case.findtext("system-out") or ""
    for pattern in (r"^SKIPPED: (.+)$", r"^\S+:\d+: Skipped\n(.+)$"):
        found = re.search(pattern, output, re.MULTILINE)
        if found:
            return found[1].strip()
    return "it does not say why"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
