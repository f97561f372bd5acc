"""Folder = layer: an #include may only follow an arrow of docs/architecture.md.

The libraries' link dependencies say the same, but a header-only use slips past the linker; it does not slip past this.
"""
import re
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

import sources

# A layer and what it may include beside itself. An arrow carries on: async → base, so db → async allows base too.
ARROWS = {
    "server/base": [],
    "server/async": ["server/base"],
    "server/db": ["server/async", "proto"],
    "server/db/postgres": ["server/db"],
    "server/db/sqlite": ["server/db"],
    "server/core": ["server/db"],
    "server/services": ["server/core"],
    "server/rpc": ["server/async", "proto"],
    "server/http": ["server/core"],
    "client": ["proto"],
}
DRIVERS = ["server/db/postgres", "server/db/sqlite"]
EVERYTHING = [layer for layer in ARROWS if layer.startswith("server/")] + ["proto"]
ROUTES = ["server/base", "server/async", "server/db", "server/core", "server/services", "server/rpc", "proto"]

# Files that may do more than their folder: each is the one place where two layers meet. They replace the folder's
# arrows, and theirs do not carry on.
MEETING_PLACES = {
    "server/main.cc": ["server/base", "server/app"],
    "server/app.h": EVERYTHING,
    "server/app.cc": EVERYTHING + ["server/app"],
    "server/db/drivers.cc": ["server/base", "server/async", "server/db", "proto"] + DRIVERS,
    "server/rpc/routes.h": ROUTES,
    "server/rpc/routes.cc": ROUTES,
}


class Owner(NamedTuple):
    """A library that few may touch: in everyone else's files its header is a wrong arrow."""
    header: re.Pattern[str]
    allowed: tuple[str, ...]
    why: str


# The connection, and the tables and conversions that it is made of.
SQLITE_CALLERS = tuple(f"server/db/sqlite/{name}" for name in (
    "connection.*", "authorizer.cc", "binding.cc", "codec.cc", "columns.cc", "copy.cc", "describe_table.cc",
    "functions.cc", "library.cc", "open.cc", "plan.cc", "question.cc", "request_log.cc", "result_code.cc", "schema_copy.cc",
    "statement_cache.cc", "text_functions.cc"))
LIBPQ_CALLERS = ("server/db/postgres/libpq.h", "server/db/postgres/connector.cc")
OUTSIDE_THE_SERVER = ("client/*", "tests/*", "bench/*")
OWNERS = [
    Owner(re.compile(r"\.grpc\.pb\.h$"), ("server/rpc/routes.cc", *OUTSIDE_THE_SERVER),
          "in the server only rpc/routes.cc knows the generated services"),
    Owner(re.compile(r"^(grpcpp|grpc)/"), ("server/rpc/*", *OUTSIDE_THE_SERVER), "gRPC stays in server/rpc"),
    Owner(re.compile(r"^libpq|^postgres|^pg_config"), (*LIBPQ_CALLERS, "tests/*", "bench/*"),
          "only the PostgreSQL driver's connection, and what it is made of, calls libpq, as libpq.h loads it"),
    Owner(re.compile(r"^sqlite3"), (*SQLITE_CALLERS, "tests/*", "bench/*"),
          "only the SQLite driver's connection, and what it is made of, calls sqlite3"),
    Owner(re.compile(r"^CLI/"), ("server/main.cc", "client/cli/options.cc", "tests/*", "bench/*"),
          "CLI11 is slow to compile: one file of each program reads the flags"),
    Owner(re.compile(r"^(spdlog|fmt)/"), ("server/base/log.cc",), "logging goes through server/base/log.h"),
]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
PROTO = re.compile(r"^(sluice/v1|google/rpc|google/protobuf|grpc/health/v1)/.*\.h$")
OURS = re.compile(r"^(server|client|tests|bench)/")
LIBRARIES = re.compile(r"^(absl|google|grpc|grpcpp|gtest|gmock|spdlog|sluice/v1)/")


def check(root: Path) -> Iterator[sources.Finding]:
    for path in sources.files(root, "server/*.h", "server/*.cc", "client/*.h", "client/*.cc"):
        text = sources.read(root, path)
        for found in INCLUDE.finditer(text):
            wrong = _wrong(path, quoted=found[1] == '"', header=found[2])
            if wrong:
                line = text.count("\n", 0, found.start()) + 1
                yield sources.Finding(path, line, wrong[0], f"{found[2]}: {wrong[1]}")


def _wrong(path: str, quoted: bool, header: str) -> Optional[tuple[str, str]]:
    """The rule that including `header` in `path` breaks, and why; None when it is fine."""
    for owner in OWNERS:
        if owner.header.search(header):
            if not sources.matches(path, owner.allowed):
                return "owner", owner.why
            return None
    if OURS.match(header) or PROTO.match(header):
        here, there = _layer(path), _layer(header)
        if path not in MEETING_PLACES and here not in ARROWS:
            return "layer", f"{here} is no layer yet: draw its arrows in include_direction.py"
        if there not in _reach(path):
            return "arrow", f"{here} may not depend on {there}"
    elif quoted and not LIBRARIES.match(header):
        return "path", "write the path from the repository's root"
    return None


def _layer(path: str) -> str:
    if PROTO.match(path):
        return "proto"
    if re.match(r"server/app\.(h|cc)$", path):
        return "server/app"
    if path in MEETING_PLACES and path.count("/") == 1:
        return path
    folder = path.rpartition("/")[0]
    while folder not in ARROWS and "/" in folder and folder.rpartition("/")[0] in ARROWS:
        folder = folder.rpartition("/")[0]  # a folder inside a layer belongs to it
    return folder


def _reach(path: str) -> set[str]:
    if path in MEETING_PLACES:
        return set(MEETING_PLACES[path])
    reached, open_ends = set(), [_layer(path)]
    while open_ends:
        layer = open_ends.pop()
        if layer not in reached:
            reached.add(layer)
            open_ends += ARROWS.get(layer, [])
    return reached


if __name__ == "__main__":
    sources.main(check)
