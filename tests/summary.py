"""The last lines of a test run, from ctest's JUnit file: what failed, what was skipped and why, and

    N passed, N failed, N skipped

Exits 1 when a test failed or none ran.
"""
import collections
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


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
            failed.append(case.get("name"))
    for name in failed:
        print(f"failed: {name}")
    for why, count in skipped.most_common():
        print(f"skipped {count}: {why}")
    print(f"{passed} passed, {len(failed)} failed, {sum(skipped.values())} skipped")
    return 1 if failed or not passed else 0


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
