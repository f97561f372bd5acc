"""C++ is formatted by clang-format, as .clang-format says."""
import re
from pathlib import Path
from typing import Iterator

import sources

COMPLAINT = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+):\d+: error: ")


def check(root: Path) -> Iterator[sources.Finding]:
    paths = list(sources.files(root, "*.h", "*.cc"))
    if not paths:
        return
    style = f"--style=file:{sources.REPOSITORY / '.clang-format'}"
    told = set()
    for complaint in sources.run_tool(["clang-format-14", style, "--dry-run", "-Werror", *paths], root):
        found = COMPLAINT.match(complaint)
        if found and found["path"] not in told:
            told.add(found["path"])
            yield sources.Finding(found["path"], int(found["line"]), "format", f"clang-format-14 -i {found['path']}")
        elif not told:
            yield sources.Finding(".clang-format", 1, "format", complaint)


if __name__ == "__main__":
    sources.main(check)
