"""The README and the how-tos keep their word: every shell block is run in a folder that looks like the repository's,
and what it prints is compared with what the page shows.

A page is read from top to bottom. A ```sh block is run; a ```text block right after it is what it prints on a terminal,
where `…` stands for anything, and times, request ids and the server's port may differ. A comment above a block says what
else it is:

    <!-- test: server -->            starts the server that the rest of the page talks to
    <!-- test: file NAME -->         is a file that later blocks use
    <!-- test: part of PATH -->      consists of lines of that file, in their order (`all of`: is that file)
    <!-- test: needs NAME -->        is run where that program was built
    <!-- test: commands -->          the two commands of the quickstart, which would run this very test: looked at only
    <!-- test: end of … -->          what those two print last
    <!-- test: not run, REASON -->
"""
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
import unittest
from pathlib import Path

import harness

ROOT = harness.ROOT
HOW_TOS = ROOT / "docs/how-to"
ADDRESS = "127.0.0.1:50051"
BLOCK = re.compile(r"(?:^<!-- test: (?P<mark>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
# What differs from run to run.
VARIABLE = [(re.compile(r"\b\d+(\.\d+)? ms\b"), "N ms"), (re.compile(r"\breq_\w+"), "req_N"),
            (re.compile(r"\b127\.0\.0\.1:\d+"), "127.0.0.1:N")]
COMMAND_SECONDS = 60 * harness.PATIENCE


class Page:
    """The blocks of a page: what is meant to be run, and what it shows."""

    def __init__(self, path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.blocks = []
        for found in BLOCK.finditer(self.text):
            block = Block(found["mark"] or "", found["kind"], found["text"])
            block.line = self.text.count("\n", 0, found.start()) + 1
            between = self.text[self.blocks[-1].end:found.start()] if self.blocks else "…"
            block.end = found.end()
            if block.kind == "text" and not block.mark and self.blocks and not between.strip():
                self.blocks[-1].shown = block.text
            self.blocks.append(block)


class Block:
    def __init__(self, mark, kind, text):
        self.mark, self.kind, self.text = mark, kind, text
        self.line = self.end = 0
        self.shown = None


def pattern_of(shown):
    """A regular expression for output: `…` matches anything, alone on a line any lines."""
    pattern = ""
    for line in without_variable(shown).splitlines():
        if line == "…":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += ".*".join(re.escape(piece) for piece in line.split("…")) + r"\n"
    return re.compile(pattern)


def without_variable(text):
    for variable, name in VARIABLE:
        text = variable.sub(name, text)
    return text


def read_terminal(master):
    pieces = []
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux: the last process that had the terminal is gone
            piece = b""
        if not piece:
            return COLOURS.sub("", b"".join(pieces).decode(errors="replace").replace("\r\n", "\n"))
        pieces.append(piece)


class PageTest(harness.TestCase):
    """Runs a page in a folder that has what the repository has."""

    maxDiff = None

    def setUp(self):
        super().setUp()
        self.place = self.folder / "repository"
        self.place.mkdir()
        for name in ("proto", "client", "deploy", "docs", "tests"):
            (self.place / name).symlink_to(ROOT / name)
        (self.place / "build/release").mkdir(parents=True)
        (self.place / "build/release/bin").symlink_to(harness.BIN)
        if (harness.FOLDER / "node_modules").is_dir():
            (self.place / "node_modules").symlink_to(harness.FOLDER / "node_modules")
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "python3").symlink_to(sys.executable)  # the one that has Debian's gRPC
        self.environment = harness.clean_environment({
            "HOME": str(self.folder), "NO_COLOR": "1", "TERM": "xterm", "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": ":".join([str(programs), str(harness.BIN), str(self.place / "node_modules/.bin"), os.environ["PATH"]])})
        self.address = None

    def run_page(self, path):
        page = Page(path)
        self.assertTrue(any(block.kind == "sh" and (not block.mark or block.mark.startswith("needs "))
                            for block in page.blocks), "nothing here is run")
        for block in page.blocks:
            with self.subTest(page=path.name, line=block.line, mark=block.mark):
                self.take(block)

    def take(self, block):
        word, _, rest = block.mark.partition(" ")
        if word == "file":
            (self.place / rest).write_text(self.here(block.text), encoding="utf-8")
        elif block.mark.startswith(("part of ", "all of ")):
            self.compare_with_source(block, ROOT / rest.removeprefix("of "))
        elif block.mark.startswith("not run"):
            self.assertRegex(block.mark, r"^not run, \w", "a reason is missing")
        elif block.kind == "sh" and word == "server":
            self.start_server(block)
        elif block.kind == "sh" and word == "commands":
            self.look_at_commands(block)
        elif block.kind == "sh" and not (word == "needs" and not (harness.BIN / rest).exists()):
            self.assertIn(word, ("", "needs"), "what does this mark mean?")
            self.run_block(block)

    def here(self, text):
        return text.replace(ADDRESS, self.address or ADDRESS)

    def start_server(self, block):
        server = PageServer(block.text, self.place, self.folder, self.environment)
        self.addCleanup(self._stop, server, True)
        self.address = server.await_ready().address
        self.environment["SLUICE_SERVER"] = self.address
        if block.shown:
            self.assertRegex(without_variable(server.output()), pattern_of(block.shown))

    def look_at_commands(self, block):
        for command in block.text.splitlines():
            program, *flags = command.split()
            told = subprocess.run([str(ROOT / program), "--help"], capture_output=True, text=True, check=True, timeout=60)
            self.assertTrue(told.stdout.startswith(f"usage: {program}"), told.stdout)
            for flag in flags:
                self.assertIn(flag, told.stdout)

    def compare_with_source(self, block, path):
        source = path.read_text(encoding="utf-8")
        if block.mark.startswith("all of "):
            self.assertEqual(block.text, source)
            return
        lines = iter(source.splitlines())
        for line in block.text.splitlines():
            self.assertTrue(line in lines, f"{path.name} has no line `{line}`, or not in this order")

    def run_block(self, block):
        """On a terminal, as a reader would; a command that fails ends the block, and the test."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        try:
            process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", self.here(block.text)], cwd=self.place,
                                       env=self.environment, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
        watchdog = threading.Timer(COMMAND_SECONDS, process.kill)
        watchdog.start()
        try:
            output = read_terminal(master)
        finally:
            code = process.wait()
            watchdog.cancel()
            os.close(master)
        self.assertEqual(code, 0, f"exit code of\n{block.text}\nwhich printed\n{output}")
        if block.shown and not pattern_of(block.shown).fullmatch(without_variable(output)):
            self.assertEqual(output, block.shown)  # for the difference


class PageServer(harness.Server):
    """The server as a page starts it, on a free port."""

    def __init__(self, command, place, folder, environment):  # pylint: disable=super-init-not-called
        harness.Process.__init__(self, ["bash", "-c", f"cd '{place}' && exec {command}"], folder, "sluiced",
                                 {**environment, "SLUICE_LISTEN": "127.0.0.1:0"})
        self.address = None


def shown_end(what):
    """What the README says that one of the two commands prints last."""
    ends = [block.text for block in Page(ROOT / "README.md").blocks if block.mark == f"end of {what}"]
    assert len(ends) == 1, f"the README has {len(ends)} ends of {what}"
    return ends[0]


class Readme(PageTest):
    def test_blocks_do_what_they_show(self):
        harness.need(shutil.which("protoc") and shutil.which("sqlite3"), "apt-get install protobuf-compiler sqlite3")
        harness.node_client("query.mjs")
        self.run_page(ROOT / "README.md")

    @unittest.skipIf(harness.SANITIZED, "the demo's own time limits are for the release build")
    def test_the_demo_ends_as_it_says(self):
        done = subprocess.run([str(ROOT / "deploy/demo/show"), str(harness.BIN)], capture_output=True, text=True,
                              timeout=240, stdin=subprocess.DEVNULL, env=harness.clean_environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.endswith(shown_end("the demo")), done.stdout[-500:])

    def test_the_tests_end_as_it_says(self):
        report = self.folder / "tests.xml"
        report.write_text('<testsuite><testcase name="a" status="run"/></testsuite>', encoding="utf-8")
        done = subprocess.run([sys.executable, str(ROOT / "tests/summary.py"), str(report)], capture_output=True, text=True,
                              check=True, timeout=60)
        self.assertRegex(done.stdout, pattern_of(shown_end("tests/run")))

    def test_it_is_short_and_begins_with_what_this_is(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        self.assertLess(text.count("\n"), 250)
        self.assertLessEqual(len(text.split("\n\n")[1].split()), 25)


class HowTos(PageTest):
    def test_python(self):
        harness.need(shutil.which("grpc_python_plugin"), "apt-get install protobuf-compiler protobuf-compiler-grpc")
        self.run_page(HOW_TOS / "python.md")

    def test_node(self):
        harness.node_client("query.mjs")
        self.run_page(HOW_TOS / "node.md")

    def test_buf_curl(self):
        harness.buf()
        self.run_page(HOW_TOS / "buf-curl.md")

    def test_import(self):
        harness.need(shutil.which("sqlite3"), "apt-get install sqlite3")
        self.run_page(HOW_TOS / "import.md")

    def test_backup(self):
        self.run_page(HOW_TOS / "backup.md")

    def test_postgresql(self):
        harness.buf()
        postgres = self.enterContext(harness.start_postgres())
        postgres.create_database("shop")
        self.environment["SHOP_URL"] = postgres.url("shop")
        self.run_page(HOW_TOS / "postgresql.md")

    def test_register_connections(self):
        self.run_page(HOW_TOS / "register-connections.md")

    def test_safe_writes(self):
        harness.buf()
        self.run_page(HOW_TOS / "safe-writes.md")

    def test_transactions(self):
        harness.buf()
        self.run_page(HOW_TOS / "transactions.md")

    def test_schema_and_plans(self):
        harness.buf()
        self.run_page(HOW_TOS / "schema-and-plans.md")

    def test_cpp(self):
        harness.need((harness.BIN / "sluice_example").exists(), "ninja sluice_example", optional=True)
        self.run_page(HOW_TOS / "cpp.md")

    def test_every_page_has_its_test(self):
        pages = {path.stem.replace("-", "_") for path in HOW_TOS.glob("*.md")}
        self.assertEqual(pages, {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")} -
                         {"every_page_has_its_test"})


class Documents(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
            for link in LINK.findall(page.read_text(encoding="utf-8")):
                with self.subTest(page=str(page.relative_to(ROOT)), link=link):
                    self.assertTrue((page.parent / link).exists())

    def test_the_api_reference_says_what_the_protos_say(self):
        harness.need(shutil.which("protoc"), "apt-get install protobuf-compiler")
        done = subprocess.run([sys.executable, "-B", str(ROOT / "docs/generate_api.py"), "--check"], capture_output=True,
                              text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    harness.main()
