"""The tree speaks of itself: no unfinished business, no one's machine, no document or tracker that is not here."""
import re
from pathlib import Path
from typing import Iterator, NamedTuple

import sources


class Rule(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    why: str


# A bracket in a pattern keeps it from finding itself.
RULES = [
    Rule("unfinished", re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b"), "finish it, or leave it out"),
    Rule("machine-path", re.compile(r"(?<![\w.$}~-])/(work|workspace|farm|root|Users|tmp/w)/"),
         "a path on someone's machine"),
    Rule("elsewhere", re.compile(r"\bissue #?\d{1,2}\b|\b[A-Z]{5,},? (rows?|section|finding) \d"),
         "say what is true; the reader has no such list"),
]
DOCUMENT = re.compile(r"(?<![\w/.-])(?:[\w.-]+/)*[\w-][\w.-]*\.md\b")
URL = re.compile(r"\bhttps?://\S+")
LOCK_FILE_HOST = re.compile(r'"resolved":')


def check(root: Path) -> Iterator[sources.Finding]:
    everything = list(sources.files(root))
    names = {path.rpartition("/")[2] for path in everything}
    for path in everything:
        content = (root / path).read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            if path.endswith("package-lock.json"):
                if LOCK_FILE_HOST.search(line):
                    yield sources.Finding(path, number, "registry", "npm install --omit-lockfile-registry-resolved")
                continue
            for rule in RULES:
                found = rule.pattern.search(line)
                if found:
                    yield sources.Finding(path, number, rule.name, f"`{found[0]}`: {rule.why}")
            for found in DOCUMENT.finditer(URL.sub("", line)):
                if found[0].rpartition("/")[2] not in names:
                    yield sources.Finding(path, number, "no-such-document", found[0])


if __name__ == "__main__":
    sources.main(check)
