"""The proto files pass `buf lint`, and every service, method, message, enum and field is documented.

buf comes from npm; `tests/run` installs it beside the end-to-end tests.
"""
import re
from pathlib import Path
from typing import Iterator

import sources

BUF = sources.REPOSITORY / "tests" / "e2e" / "node_modules" / ".bin" / "buf"
COMPLAINT = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+):\d+:(?P<text>.*)$")
DECLARED = re.compile(
    r"^\s*(service|rpc|message|enum)\s+(?P<name>\w+)"
    r"|^\s*(optional |repeated )?(map<\w+, [\w.]+>|[\w.]+)\s+(?P<field>\w+)\s*=\s*\d+\s*[;\[]")


def check(root: Path) -> Iterator[sources.Finding]:
    proto = root / "proto"
    for path in sources.files(root, "proto/sluice/*.proto"):
        yield from _undocumented(root, path)
    if not BUF.exists():
        sources.skip("buf is not installed: npm ci in tests/e2e, as tests/run does")
    for complaint in sources.run_tool([str(BUF), "lint", str(proto)], root):
        found = COMPLAINT.match(complaint)
        if found:
            path = Path(found["path"])
            shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
            yield sources.Finding(shown, int(found["line"]), "buf", found["text"].strip())
        else:
            yield sources.Finding("proto", 0, "buf", complaint)


def _undocumented(root: Path, path: str) -> Iterator[sources.Finding]:
    previous = ""
    for number, line in enumerate(sources.read(root, path).splitlines(), start=1):
        declared = DECLARED.match(line)
        if declared and not line.lstrip().startswith("//"):
            name = declared["name"] or declared["field"]
            if not previous.startswith("//") and "//" not in line:
                yield sources.Finding(path, number, "undocumented", f"{name} has no comment")
        if line.strip():
            previous = line.strip()


if __name__ == "__main__":
    sources.main(check)
