"""Shell scripts pass shellcheck and stop at the first error."""
import re
from pathlib import Path
from typing import Iterator

import sources

SHEBANG = re.compile(r"^#!.*\b(ba|da)?sh\b")
COMPLAINT = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+):\d+: (?P<text>.*)$")


def check(root: Path) -> Iterator[sources.Finding]:
    scripts, sourced = [], []
    for path in sources.files(root):
        if "." in Path(path).name and not path.endswith(".sh"):
            continue
        text = sources.read(root, path)
        if SHEBANG.match(text):
            scripts.append(path)
            if "set -euo pipefail" not in text:
                yield sources.Finding(path, 2, "strict", "a script begins with `set -euo pipefail`")
        elif path.endswith(".sh"):
            sourced.append(path)
    if not scripts + sourced:
        return
    command = ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", "--format=gcc", *scripts, *sourced]
    for complaint in sources.run_tool(command, root):
        found = COMPLAINT.match(complaint)
        if found:
            yield sources.Finding(found["path"], int(found["line"]), "shellcheck", found["text"])
        else:
            yield sources.Finding("shellcheck", 0, "shellcheck", complaint)


if __name__ == "__main__":
    sources.main(check)
