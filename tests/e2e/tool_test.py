"""The command-line tool as people and scripts use it: output forms, input, errors, exit codes, pipes."""
import json
import os
import pty
import signal
import subprocess
import time

import harness

ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT {} FROM s"
FORMS = ("table", "json", "ndjson", "csv", "markdown")


class ToolTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start()

    def query(self, *arguments, **options):
        return self.run_tool(self.server, "query", *arguments, **options)

    def run_on_terminal(self, *arguments, environment=None, columns=80):
        """The tool with a terminal as its output; what it wrote there."""
        control, terminal = pty.openpty()
        environment = harness.clean_environment({"TERM": "xterm", "COLUMNS": str(columns), **(environment or {})})
        tool = subprocess.Popen([str(harness.BIN / "sluice"), "--server", self.server.address, *arguments],
                                stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=environment)
        os.close(terminal)
        output = b""
        try:
            while True:
                part = os.read(control, 65536)
                if not part:
                    break
                output += part
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(control)
            tool.wait(harness.CALL_SECONDS)
        return output.decode().replace("\r\n", "\n"), tool.returncode


class OutputTest(ToolTest):
    SQL = """
        SELECT 1 AS id, 'Ada, "Countess" | of Lovelace' AS name, 1.5 AS score, x'4142' AS raw, NULL AS gone
        UNION ALL SELECT -9223372036854775808, 'línea 1' || char(10) || '😀', 1e300, x'', ''
        UNION ALL SELECT 9007199254740993, '', 0.1, x'43', 'end'"""

    def test_each_form_is_what_it_was(self):
        for form in FORMS:
            for options in ((), ("--stream",)):
                with self.subTest(form=form, options=options):
                    done = self.query("-o", form, *options, self.SQL, check=0)
                    golden = harness.FOLDER / "golden" / f"{form}.txt"
                    if os.environ.get("SLUICE_WRITE_GOLDEN"):
                        golden.write_bytes(done.stdout)
                    self.assertEqual(done.stdout.decode(), golden.read_bytes().decode())
                    self.assertRegex(done.stderr.decode(), r"^3 rows \([\d.]+ m?s\)\n$")

    def test_json_forms_are_json_with_exact_integers(self):
        rows = json.loads(self.query("-o", "json", self.SQL, check=0).stdout)
        lines = [json.loads(line) for line in self.query("-o", "ndjson", self.SQL, check=0).stdout.splitlines()]
        self.assertEqual(rows, lines)
        self.assertEqual([row["id"] for row in rows], [1, -2**63, 9007199254740993])
        self.assertEqual(rows[1]["name"], "línea 1\n😀")
        self.assertEqual([row["gone"] for row in rows], [None, "", "end"])

    def test_without_a_terminal_rows_are_ndjson_and_notes_stay_on_standard_error(self):
        done = self.query("SELECT 1 AS a", check=0)
        self.assertEqual(done.stdout, b'{"a":1}\n')
        self.assertEqual(self.query("-q", "SELECT 1 AS a", check=0).stderr, b"")

    def test_a_terminal_gets_a_table_with_colours_unless_no_color_is_set(self):
        output, code = self.run_on_terminal("query", "SELECT 1 AS a, NULL AS b")
        self.assertEqual(code, 0)
        self.assertIn("┌", output)
        self.assertIn("\x1b[", output)
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            output, code = self.run_on_terminal("query", "SELECT 1 AS a, NULL AS b", environment=environment)
            self.assertEqual(code, 0)
            self.assertNotIn("\x1b", output)
            self.assertIn("│ 1 │ NULL │", output)
            output, code = self.run_on_terminal("query", "SELECT frm", environment=environment)
            self.assertEqual(code, 1)
            self.assertNotIn("\x1b", output)

    def test_hostile_text_cannot_drive_the_terminal(self):
        output, _ = self.run_on_terminal("query", "SELECT char(27) || ']0;owned' || char(7) AS \"a\x1b[31mb\"",
                                         environment={"NO_COLOR": "1"})
        self.assertNotIn("\x1b", output)
        self.assertNotIn("\x07", output)

    def test_a_cut_result_says_so(self):
        done = self.query("--max-rows", "5", ENDLESS.format("n"), check=0)
        self.assertEqual(done.stdout.count(b"\n"), 5)
        self.assertIn("cut after 5 rows", done.stderr.decode())

    def test_a_reader_that_leaves_ends_it_quietly(self):
        for form in FORMS:
            command = (f"set -o pipefail; '{harness.BIN / 'sluice'}' --server {self.server.address} query --stream "
                       f"-o {form} '{ENDLESS.format('n')}' | head -n 1")
            done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=harness.CALL_SECONDS, check=False,
                                  env=harness.clean_environment())
            self.assertEqual(done.stderr.decode(), "", form)
            self.assertEqual(done.stdout.count(b"\n"), 1, form)
            self.assertEqual(done.returncode, 0, form)

    def test_a_full_disk_is_told(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([str(harness.BIN / "sluice"), "--server", self.server.address, "query", "SELECT 1"],
                                  stdout=full, stderr=subprocess.PIPE, check=False, env=harness.clean_environment())
        self.assertEqual(done.returncode, 7)
        self.assertIn("No space left", done.stderr.decode())


class InputTest(ToolTest):
    def test_the_statement_comes_from_an_argument_standard_input_or_a_file(self):
        path = self.folder / "q.sql"
        path.write_text("-- a question\nSELECT 42 AS answer;\n")
        for done in (self.query("SELECT 42 AS answer", check=0), self.query("-", stdin=b"SELECT 42 AS answer\n", check=0),
                     self.query("-f", path, check=0), self.query("-f", "-", stdin=path.read_bytes(), check=0)):
            self.assertEqual(done.stdout, b'{"answer":42}\n')

    def test_parameters_have_the_type_that_their_spelling_says(self):
        cases = {"7": ("integer", 7), "-9223372036854775808": ("integer", -2**63), "1.5": ("real", 1.5),
                 "1e3": ("real", 1000.0), "null": ("null", None), "true": ("integer", 1), "text:7": ("text", "7"),
                 "int:7": ("integer", 7), "real:7": ("real", 7.0), "007": ("text", "007"), "": ("text", ""),
                 "Ada": ("text", "Ada"), "text:": ("text", ""), "json:[1,2]": ("text", "[1,2]"), "1,2": ("text", "1,2")}
        for text, (kind, value) in cases.items():
            done = self.query("SELECT typeof(?1) AS kind, ?1 AS value", "-p", text, check=0)
            self.assertEqual(json.loads(done.stdout), {"kind": kind, "value": value}, text)
        done = self.query("SELECT hex(?1) AS a, typeof(?1) AS b", "-p", "blob:00fF", check=0)
        self.assertEqual(json.loads(done.stdout), {"a": "00FF", "b": "blob"})
        done = self.query("SELECT ?1 || ?2 || :name AS a", "-p", "x", "-p", "y", check=1)  # mixed styles, one missing
        self.assertEqual(done.stdout, b"")
        done = self.query("SELECT :a + :b AS sum", "--named", "a=1", "--named", ":b=2", check=0)
        self.assertEqual(json.loads(done.stdout), {"sum": 3})

    def test_the_environment_names_the_server(self):
        done = subprocess.run([str(harness.BIN / "sluice"), "query", "SELECT 1 AS a"], capture_output=True, check=False,
                              env=harness.clean_environment({"SLUICE_SERVER": self.server.address}))
        self.assertEqual((done.returncode, done.stdout), (0, b'{"a":1}\n'))


class ErrorTest(ToolTest):
    def test_an_error_shows_where_and_what_to_try(self):
        self.query("CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT)", check=0)
        done = self.query("SELECT name\nFROM custmer WHERE id = 1", check=1)
        self.assertEqual(done.stdout, b"")
        lines = done.stderr.decode().splitlines()
        self.assertEqual(lines[0], "error: no such table: custmer")
        self.assertIn("hint: ", "\n".join(lines))
        self.assertIn("customer", "\n".join(lines))
        done = self.query("SELECT 'é😀',\n  nam FROM customer", check=1)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(lines[0], "error: no such column: nam")
        self.assertEqual(lines[1:3], [" 2 |   nam FROM customer", "   |   ^"])
        self.assertIn("code: INVALID_ARGUMENT SQL_ERROR, sqlstate 42703, SQLITE_ERROR", lines)
        self.assertIn("executed: no", lines)

    def test_exit_codes_tell_scripts_what_happened(self):
        self.query("CREATE TABLE t(a UNIQUE)", check=0)
        self.query("INSERT INTO t VALUES(1)", check=0)
        self.query("INSERT INTO t VALUES(1)", check=1)
        self.query("SELECT 1; SELECT 2", check=1)
        self.query("-c", "conn_nothing", "SELECT 1", check=1)
        for usage in (("query",), ("query", "SELECT 1", "-f", "x"), ("nothing",), ("query", "-o", "xml", "SELECT 1"),
                      ("query", "-p", "blob:0", "SELECT ?"), ("query", "-f", "/nothing/there"), (),
                      ("--timeout", "soon", "query", "SELECT 1")):
            done = self.run_tool(self.server, *usage, check=2)
            self.assertEqual(done.stdout, b"", usage)
            self.assertNotEqual(done.stderr, b"", usage)
        begin = time.monotonic()
        self.run_tool(self.server, "--timeout", "300ms", "query", ENDLESS.format("count(*)"), check=5)
        self.assertLess(time.monotonic() - begin, 0.3 + 2 * harness.PATIENCE)
        self.query("ATTACH 'x' AS x", check=6)
        self.query("--read-only", "INSERT INTO t VALUES(2)", check=6)

    def test_a_server_that_is_down_is_code_3_with_a_hint(self):
        self.assertEqual(self.server.terminate(), 0)
        for command in (("query", "SELECT 1"), ("query", "--stream", "SELECT 1"), ("query", "--read-only", "SELECT 1"),
                        ("health",), ("info",), ("connections", "list")):
            done = self.run_tool(self.server, *command, check=3)
            self.assertEqual(done.stdout, b"", command)
            self.assertRegex(done.stderr.decode(), r"^error: cannot reach the server at [\d.:]+: .+\nhint: start it with")

    def test_health_is_zero_while_the_server_is_well(self):
        done = self.run_tool(self.server, "health", check=0)
        parts = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(part["part"], part["state"]) for part in parts],
                         [("server", "healthy"), ("connections/default", "healthy")])

    def test_connections_and_info_answer(self):
        listed = json.loads(self.run_tool(self.server, "connections", "list", check=0).stdout)
        shown = json.loads(self.run_tool(self.server, "connections", "get", "default", check=0).stdout)
        self.assertEqual((listed["name"], listed), ("default", shown))
        tested = json.loads(self.run_tool(self.server, "connections", "test", check=0).stdout)
        self.assertEqual(tested["engine"], "sqlite")
        self.run_tool(self.server, "connections", "get", "conn_nothing", check=1)
        self.assertIn(b"version", self.run_tool(self.server, "info", check=0).stdout)

    def test_ctrl_c_cancels_the_statement_on_the_server(self):
        for flags in ((), ("--stream",)):
            tool = harness.Process([str(harness.BIN / "sluice"), "--server", self.server.address, "query", *flags,
                                    ENDLESS.format("count(*)")], self.folder, "tool")
            self.addCleanup(tool.kill)
            harness.wait_for(lambda: self.active() == 1, 10, "the statement runs")
            tool.process.send_signal(signal.SIGINT)
            self.assertEqual(tool.process.wait(5 * harness.PATIENCE), 5, tool.errors())
            harness.wait_for(lambda: self.active() == 0, 1 * harness.PATIENCE, "the statement has ended")

    def active(self):
        lines = self.run_tool(self.server, "health").stdout.splitlines()
        return json.loads(lines[1])["active"]


class ExampleTest(ToolTest):
    def test_help_and_version_need_no_server(self):
        for arguments in (("--help",), ("query", "--help"), ("connections", "--help"), ("--version",)):
            done = self.run_tool("127.0.0.1:1", *arguments, check=0)
            self.assertNotEqual(done.stdout, b"")
        done = subprocess.run([str(harness.BIN / "sluiced"), "--help"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Exit codes", done.stdout)

    def test_wrong_settings_stop_the_server_with_code_2(self):
        for flags, words in ((("--limits-max-rows", "many"), "--limits-max-rows"), (("--listen", "0.0.0.0:0"), "listen"),
                             (("--nothing",), "nothing"), (("--config", "/nothing/there.toml"), "nothing")):
            server = harness.Server(self.folder, *flags)
            self.addCleanup(server.kill)
            self.assertEqual(server.await_exit(harness.START_SECONDS), 2, flags)
            self.assertIn(words, server.errors())

    def test_print_config_names_the_origin_of_each_setting(self):
        path = self.folder / "sluice.toml"
        path.write_text('command_timeout = "7s"\n[limits]\nmax_rows = 77\n')
        done = subprocess.run([str(harness.BIN / "sluiced"), "--print-config", "--config", str(path), "--log-level", "debug"],
                              capture_output=True, text=True, check=False,
                              env=harness.clean_environment({"SLUICE_LIMITS_MAX_ROWS": "78"}))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"max_rows\s*=\s*78\s+# environment SLUICE_LIMITS_MAX_ROWS")
        self.assertRegex(done.stdout, r'command_timeout\s*=\s*"7s"\s+# .*sluice\.toml')
        self.assertRegex(done.stdout, r'level\s*=\s*"debug"\s+# flag')


if __name__ == "__main__":
    harness.main()
