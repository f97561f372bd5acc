"""No file of ours is longer than 600 lines: past that, it holds two ideas."""
from pathlib import Path
from typing import Iterator

import sources

LONGEST = 600
KINDS = ("*.h", "*.cc", "*.py", "*.sh", "*.js", "*.mjs", "*.proto", "*.cmake", "*CMakeLists.txt", "*/run")


def check(root: Path) -> Iterator[sources.Finding]:
    for path in sources.files(root, *KINDS):
        lines = sources.read(root, path).count("\n")
        if lines > LONGEST:
            yield sources.Finding(path, lines, "length", f"{lines} lines; the most is {LONGEST}")


if __name__ == "__main__":
    sources.main(check)
