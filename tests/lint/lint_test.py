"""Every lint finds each fault of its bad examples, at its line and by its rule, and nothing in its good ones.

A line of a bad example that ends in `bad: rule` or `bad: rule, rule` is a fault; where a comment would cure it, the next
line says `bad above: rule`.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import contract
import coroutine_spellings
import file_length
import formatting
import include_direction
import shell_scripts
import sources
import words

HERE = Path(__file__).resolve().parent
LINTS = [contract, coroutine_spellings, formatting, include_direction, shell_scripts, words]
EXPECTED = re.compile(r"\bbad( above)?: ([\w-]+(?:, [\w-]+)*)[\"},]*$")


def expected(root: Path) -> set[tuple[str, int, str]]:
    faults = set()
    for path in sources.files(root):
        for number, line in enumerate(sources.read(root, path).splitlines(), start=1):
            found = EXPECTED.search(line)
            for rule in found[2].split(", ") if found else []:
                faults.add((path, number - 1 if found[1] else number, rule))
    return faults


def found(lint, root: Path) -> set[tuple[str, int, str]]:
    try:
        return {(finding.path, finding.line, finding.rule) for finding in lint.check(root)}
    except SystemExit as skipped:  # a tool that is not installed
        if skipped.code != sources.SKIPPED:
            raise
        raise unittest.SkipTest("its tool is not installed") from None


class Examples(unittest.TestCase):
    def test_every_fault_of_a_bad_example_is_found_and_nothing_else(self):
        for lint in LINTS:
            root = HERE / "bad" / lint.__name__
            with self.subTest(lint=lint.__name__):
                faults = expected(root)
                self.assertTrue(faults, "the example has no marked fault")
                self.assertEqual(found(lint, root), faults)

    def test_a_good_example_is_clean(self):
        for lint in LINTS:
            root = HERE / "good" / lint.__name__
            with self.subTest(lint=lint.__name__):
                self.assertTrue(list(sources.files(root)), "there is no example")
                self.assertEqual(found(lint, root), set())

    def test_each_rule_of_the_coroutine_lint_has_an_example(self):
        rules = {rule for _, _, rule in expected(HERE / "bad" / "coroutine_spellings")}
        self.assertEqual(rules, {"built-in-place", "capturing-argument", "called-at-once", "condition",
                                 "statement-expression", "held-lock", "thread-local"})


class FileLength(unittest.TestCase):
    def test_600_lines_are_enough(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "whole.cc").write_text("int x;\n" * 600)
            (root / "long.cc").write_text("int x;\n" * 601)
            (root / "data.csv").write_text("1,2\n" * 1000)
            self.assertEqual(found(file_length, root), {("long.cc", 601, "length")})


class Wrapping(unittest.TestCase):
    def test_a_statement_reads_the_same_however_it_is_wrapped(self):
        text = "Task<int> F() { const int n = co_await G ( Options { . sql = s } ) ; }"
        for joined in (text, text.replace(" ", "\n"), text.replace(" ", " /* // */ \n\n")):
            rules = {rule for _, rule, _ in coroutine_spellings.spellings(joined)}
            self.assertEqual(rules, {"built-in-place"})

    def test_a_line_number_survives_raw_strings_and_comments(self):
        text = 'auto a = R"(\n\n)";\n/*\n*/\nTask<int> F() { co_await G({}); }'
        self.assertEqual([line for line, _, _ in coroutine_spellings.spellings(text)], [6])


class Programs(unittest.TestCase):
    def run_lint(self, name: str, root: Path) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, HERE / f"{name}.py", root], text=True, capture_output=True)

    def test_a_finding_fails_the_run_and_names_the_line(self):
        done = self.run_lint("include_direction", HERE / "bad" / "include_direction")
        self.assertEqual(done.returncode, 1)
        self.assertIn("server/async/task.h:2: arrow: server/db/rows.h", done.stdout)

    def test_a_clean_tree_passes(self):
        done = self.run_lint("include_direction", HERE / "good" / "include_direction")
        self.assertEqual((done.returncode, done.stdout), (0, "clean\n"))


class Packages(unittest.TestCase):
    def test_what_the_build_asks_for_is_what_the_scripts_install(self):
        asked = set(re.findall(r"^\s*sluice_require\(\S+ (\S+)", sources.read(
            sources.REPOSITORY, "cmake/Dependencies.cmake"), re.MULTILINE))
        script = sources.read(sources.REPOSITORY, "deploy/packages.sh")
        arrays = re.findall(r"_PACKAGES=\(([^)]*)\)", script)
        installed = {name for array in arrays for name in array.split()}
        self.assertTrue(asked)
        self.assertEqual(asked - installed, set())

    def install(self, installed: str, wanted: str) -> list[str]:
        """The calls of apt-get by install_packages, on a machine that has some packages."""
        with tempfile.TemporaryDirectory() as folder:
            programs = {
                "dpkg-query": f'case " {installed} " in *" ${{!#}} "*) echo installed ;; *) exit 1 ;; esac',
                "apt-get": f'echo "$*" >>{folder}/calls',
                "sudo": 'exec "$@"',
            }
            for name, body in programs.items():
                (Path(folder) / name).write_text(f"#!/bin/bash\n{body}\n")
                (Path(folder) / name).chmod(0o755)
            script = f"set -euo pipefail; source {sources.REPOSITORY}/deploy/packages.sh; install_packages {wanted}"
            subprocess.run(["bash", "-c", script], check=True, capture_output=True,
                           env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
            calls = Path(folder) / "calls"
            return calls.read_text().splitlines() if calls.exists() else []

    def test_only_what_is_missing_is_installed_after_one_update(self):
        update, install = self.install(installed="gcc ninja", wanted="ninja cmake gcc sqlite3")
        self.assertTrue(update.endswith("update -qq"))
        self.assertTrue(install.endswith("install -qq -y --no-install-recommends cmake sqlite3"))

    def test_nothing_is_asked_of_apt_when_nothing_is_missing(self):
        self.assertEqual(self.install(installed="gcc ninja", wanted="ninja gcc"), [])


SUMMARY = """<testsuite>
<testcase name="good" status="run"/>
<testcase name="bad" status="fail"><failure message=""/></testcase>
<testcase name="gone" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="off" status="disabled"/>
<testcase name="g" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
<system-out>[ RUN ]
/a/b_test.cc:2: Skipped
no psql here
</system-out></testcase>
<testcase name="s" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
<system-out>SKIPPED: no node here
</system-out></testcase>
</testsuite>"""


class Summary(unittest.TestCase):
    def summarize(self, text: str) -> tuple[int, list[str]]:
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([sys.executable, HERE.parent / "summary.py", file.name], text=True, capture_output=True)
            return done.returncode, done.stdout.splitlines()

    def test_it_counts_and_says_why(self):
        self.assertEqual(self.summarize(SUMMARY), (1, [
            "failed: bad", "failed: gone", "skipped 1: disabled", "skipped 1: no psql here", "skipped 1: no node here",
            "1 passed, 2 failed, 3 skipped"]))

    def test_success_is_one_that_passed_and_none_that_failed(self):
        one = '<testsuite><testcase name="good" status="run"/></testsuite>'
        self.assertEqual(self.summarize(one), (0, ["1 passed, 0 failed, 0 skipped"]))

    def test_no_test_at_all_is_a_failure(self):
        self.assertEqual(self.summarize("<testsuite/>"), (1, ["0 passed, 0 failed, 0 skipped"]))


if __name__ == "__main__":
    unittest.main()
