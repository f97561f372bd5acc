"""The command-line tool where it moves data: batches, imports, dumps, schemas, plans, connections, backups."""
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import harness

DUMPED = (
    "CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, born DATE)",
    "CREATE TABLE \"odd name; x\" (\"a b\" TEXT, \"select\" REAL, raw BLOB, anything)",
    "CREATE TABLE log (what TEXT)",
    "CREATE INDEX author_name ON author (name DESC)",
    "INSERT INTO author (name, born) VALUES ('Ada; the \"first\"', '1815-12-10'), ('it''s', NULL), ('línea 😀', '')",
    "INSERT INTO author VALUES (900, 'two' || char(10) || 'lines' || char(13) || char(10) || 'end\\n', 7)",
    "INSERT INTO \"odd name; x\" VALUES ('', 0.1, x'00ff27', 1), (NULL, -1.5e300, x'', 'INSERT INTO t VALUES (1);'), "
    "('x', 5.0, NULL, 9223372036854775807)",
    "CREATE VIEW names AS SELECT name FROM author WHERE name <> ';'",
    "CREATE TRIGGER logged AFTER INSERT ON author BEGIN\n  INSERT INTO log VALUES (CASE WHEN new.born THEN 'a;b' "
    "ELSE new.name END);\n  DELETE FROM log WHERE what = 'x';\nEND",
)


def sorted_content(path):
    """What a database holds: its schema, and every row with its types."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        schema = database.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND "
                                  "name NOT LIKE '%sluice%' ORDER BY name").fetchall()
        rows = {}
        for kind, name, _ in schema:
            if kind == "table":
                quoted = '"' + name.replace('"', '""') + '"'
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({quoted})")]
                picked = ", ".join(f'"{column}", typeof("{column}")' for column in columns)
                rows[name] = sorted(map(repr, database.execute(f"SELECT {picked} FROM {quoted}")))
        return schema, rows


class DataTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start()

    def tool(self, *arguments, **options):
        return self.run_tool(self.server, *arguments, **options)

    def run_sql(self, *statements):
        for statement in statements:
            self.tool("query", statement, check=0)

    def rows(self, sql):
        return [json.loads(line) for line in self.tool("query", "--stream", sql, check=0).stdout.splitlines()]

    def count(self, table):
        return self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


class BatchTest(DataTest):
    SCRIPT = ("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);\n"
              "INSERT INTO t VALUES (1, 'a;b'), (2, 'c'); -- two; rows\n"
              "SELECT * FROM t ORDER BY id;\n")

    def test_every_statement_has_its_entry(self):
        entries = [json.loads(line) for line in self.tool("batch", self.file("a.sql", self.SCRIPT), check=0)
                   .stdout.splitlines()]
        self.assertEqual([(entry["step"], entry["line"], entry["rows_affected"]) for entry in entries],
                         [(0, 1, 0), (1, 2, 2), (2, 3, 0)])
        self.assertEqual(entries[1]["command_tag"], "INSERT 0 2")
        self.assertEqual(entries[2]["rows"], [{"id": 1, "name": "a;b"}, {"id": 2, "name": "c"}])
        self.assertEqual([entry["error"] for entry in entries], [None, None, None])

    def test_each_form(self):
        self.tool("batch", "-", stdin=self.SCRIPT.encode(), check=0)
        read = b"SELECT id FROM t; SELECT name FROM t LIMIT 1"
        table = self.tool("-o", "table", "batch", "-", stdin=read, check=0).stdout.decode()
        self.assertIn("line 1: 2 rows\n id\n----\n  1\n  2\nline 1: 1 row\n", table)
        self.assertEqual(self.tool("-o", "csv", "batch", "-", stdin=read, check=0).stdout, b'id\n1\n2\n\nname\na;b\n')
        self.assertEqual(len(json.loads(self.tool("-o", "json", "batch", "-", stdin=read, check=0).stdout)), 2)
        self.assertIn("| id |", self.tool("-o", "markdown", "batch", "-", stdin=read, check=0).stdout.decode())

    def test_a_failure_rolls_all_back_and_shows_where_it_is_in_the_file(self):
        path = self.file("b.sql", self.SCRIPT + "\n-- é\nINSERT INTO t VALUES (3, 'd');\n  INSERT INTO nowhere VALUES (1);\n")
        done = self.tool("batch", path, check=1)
        self.assertEqual(done.stdout, b"")
        lines = done.stderr.decode().splitlines()
        self.assertEqual(lines[1:4], ["at: statement 5, line 7 of b.sql", " 7 |   INSERT INTO nowhere VALUES (1);",
                                      "   |               ^"])
        self.assertIn("executed: rolled back, nothing of it remains", lines)
        self.assertEqual(self.rows("SELECT count(*) AS n FROM sqlite_schema WHERE name = 't'"), [{"n": 0}])

    def test_other_modes_keep_what_succeeded(self):
        script = b"INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);"
        for mode, expected, entries in (("stop", 1, 2), ("continue", 2, 3)):
            with self.subTest(mode=mode):
                self.run_sql("DROP TABLE IF EXISTS t", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
                done = self.tool("batch", "-", "--mode", mode, stdin=script, check=1)
                results = [json.loads(line) for line in done.stdout.splitlines()]
                self.assertEqual(len(results), entries)
                self.assertEqual(results[1]["error"]["reason"], "SQL_ERROR")
                self.assertIn("at: statement 2, line 1 of standard input", done.stderr.decode())
                self.assertEqual(self.count("t"), expected)

    def test_one_statement_with_many_sets_of_values(self):
        self.run_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        sets = self.file("sets.ndjson", '[1, "a"]\n\n[2, null]\n')
        self.tool("batch", "--sql", "INSERT INTO t VALUES (?, ?)", "--params", sets, check=0)
        named = b'{"id": 3, "name": "c"}\n{"name": [1, 2], "id": 4}\n'
        done = self.tool("-o", "table", "batch", "--sql", "INSERT INTO t VALUES (:id, :name)", "--params", "-",
                         stdin=named, check=0)
        self.assertEqual(done.stdout, b"set at line 1: 2 executions, 2 rows changed\n")
        self.assertEqual([row["name"] for row in self.rows("SELECT name FROM t ORDER BY id")], ["a", None, "c", "[1,2]"])
        done = self.tool("batch", "--sql", "INSERT INTO t VALUES (?, ?)", "--params", sets, check=1)
        self.assertIn("at: line 1 of sets.ndjson", done.stderr.decode())
        done = self.tool("batch", "--sql", "SELECT ?", "--params", "-", stdin=b"[1]\n[2\n", check=2)
        self.assertIn("line 2: it is no JSON", done.stderr.decode())

    def test_options_reach_the_server(self):
        self.run_sql("CREATE TABLE t (id INTEGER)")
        insert = b"INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)"
        self.tool("batch", "-", "--max-affected", "1", stdin=insert, check=1)
        self.tool("batch", "-", "--read-only", stdin=insert, check=6)
        self.assertIn("rolled back", self.tool("batch", "-", "--validate", stdin=insert, check=0).stderr.decode())
        self.assertEqual(self.count("t"), 0)
        uuid = "5b0e4c1e-0000-4000-8000-000000000001"
        first = self.tool("batch", "-", "--request-id", uuid, stdin=insert, check=0)
        self.assertEqual(self.tool("batch", "-", "--request-id", uuid, stdin=insert, check=0).stdout, first.stdout)
        self.assertEqual(self.count("t"), 2)

    def test_what_cannot_be_sent_is_told(self):
        for content, words in (("SELECT 1;" * 10001, "10001 statements"), ("", "has no statement"),
                               ("SELECT 'a", "line 1: the string"), (b"SELECT '\xff'", "not UTF-8")):
            done = self.tool("batch", self.file("c.sql", content), check=2)
            self.assertIn(words, done.stderr.decode())
        self.assertIn("sluice import", self.tool("batch", "-", stdin=b"SELECT 1;" * 10001, check=2).stderr.decode())
        self.tool("batch", self.folder / "nothing.sql", check=2)


class ImportTest(DataTest):
    def setUp(self):
        super().setUp()
        self.run_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, price REAL, day DATE)")

    def load(self, content, *options, check=0, name="a.csv"):
        return self.tool("import", self.file(name, content), "-t", "t", *options, check=check)

    def test_csv_values_have_their_columns_types(self):
        done = self.load('\ufeffid,name,price,day\r\n1,7,2.5,2026-11-21\r\n2,"a ""b"",\nc",,\r\n3,,x,"\x09"\r\n')
        self.assertEqual(json.loads(done.stdout), {"table": "t", "rows": 3, "rows_affected": 3, "rows_skipped": 0,
                                                   "chunks": 1, "chunks_failed": 0})
        self.assertEqual(self.rows("SELECT *, typeof(price) AS kind FROM t"), [
            {"id": 1, "name": "7", "price": 2.5, "day": "2026-11-21", "kind": "real"},
            {"id": 2, "name": 'a "b",\nc', "price": None, "day": None, "kind": "null"},
            {"id": 3, "name": "", "price": "x", "day": "\t", "kind": "text"}])

    def test_columns_header_and_null_can_be_chosen(self):
        self.load("1,a\n2,NA\n", "--no-header", "--columns", "id,name", "--null", "NA")
        self.load("number\ttitle\n3\tb\n", "--columns", "id,name", name="a.tsv")
        self.load("4,d,1,\n", "--no-header")
        self.load('{"id": 5, "name": "e"}\n{"name": null, "id": 6}\n', name="a.ndjson")
        self.tool("import", "-", "-t", "t", "--format", "csv", stdin=b"id\n7\n", check=0)
        self.assertEqual([(row["id"], row["name"]) for row in self.rows("SELECT id, name FROM t")],
                         [(1, "a"), (2, None), (3, "b"), (4, "d"), (5, "e"), (6, None), (7, None)])

    def test_create_makes_a_table_that_fits(self):
        path = self.file("new.csv", "id,amount,code,empty\n1,2,007,\n2,2.5,8,\n")
        self.tool("import", path, "-t", "made", "--create", check=0)
        table = json.loads(self.tool("schema", "describe", "made", check=0).stdout)
        self.assertEqual([(column["name"], column["native_type"]) for column in table["columns"]],
                         [("id", "INTEGER"), ("amount", "REAL"), ("code", "TEXT"), ("empty", "TEXT")])
        self.assertEqual(self.rows("SELECT * FROM made")[0], {"id": 1, "amount": 2.0, "code": "007", "empty": ""})
        self.tool("import", path, "-t", "made", "--create", check=1)
        self.assertIn("--create", self.tool("import", path, "-t", "not_made", "--create", "--validate", check=2)
                      .stderr.decode())
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%made' ORDER BY name"),
                         [{"name": "made"}])

    def test_conflicts_fail_are_skipped_or_update(self):
        self.load("id,name,price\n1,a,1\n2,b,2\n")
        done = self.load("id,name\n\n3,c\n1,x\n", check=1)
        self.assertIn("at: line 4 of a.csv", done.stderr.decode())
        self.assertEqual(self.count("t"), 2)
        done = self.load("id,name\n3,c\n1,x\n", "--on-conflict", "skip")
        self.assertEqual(json.loads(done.stdout)["rows_skipped"], 1)
        self.load("id,name\n1,y\n", "--on-conflict", "update")
        self.assertEqual(self.rows("SELECT name, price FROM t WHERE id = 1"), [{"name": "y", "price": 1.0}])

    def test_broken_files_leave_nothing_and_say_the_line(self):
        good = "id,name\n" + "".join(f"{i},a\n" for i in range(50000))
        for content, words in ((good + "7\n", "line 50002: it has 1 fields, but the header has 2"),
                               (good + 'x,"b\n', "line 50002: a quoted field begins in this record and has no end"),
                               (good.encode() + b"7,\xe4\n", "line 50002: it is not UTF-8"),
                               (good.encode() + b"7,\0\n", "line 50002: it holds a NUL byte"),
                               ("id,name\n".encode("utf-16"), "it is UTF-16"), ("", "empty")):
            done = self.load(content, check=1)
            self.assertIn(words, done.stderr.decode())
            self.assertEqual(done.stdout, b"")
            self.assertEqual(self.count("t"), 0)

    def test_other_modes_keep_whole_chunks(self):
        content = "id,name\n1,a\n2,b\n2,c\n3,d\n4,e\n"
        done = self.load(content, "--mode", "continue", "--batch-rows", "2", check=1)
        self.assertEqual(json.loads(done.stdout)["chunks_failed"], 1)
        self.assertIn("at: line 4 of a.csv", done.stderr.decode())
        self.assertEqual([row["id"] for row in self.rows("SELECT id FROM t")], [1, 2, 4])
        done = self.load("id\n10\n11\n12,13\n", "--mode", "stop", check=1)
        self.assertIn("line 4", done.stderr.decode())
        self.assertEqual(self.count("t"), 5)

    def test_a_request_id_makes_a_repeat_harmless(self):
        self.run_sql("CREATE TABLE heap (a)")
        path = self.file("h.csv", "a\n1\n2\n")
        uuid = "5b0e4c1e-0000-4000-8000-000000000002"
        for _ in range(2):
            self.tool("import", path, "-t", "heap", "--request-id", uuid, check=0)
        self.assertEqual(self.count("heap"), 2)
        self.assertRegex(self.tool("import", path, "-t", "heap", "--request-id", "auto", check=0).stderr.decode(),
                         r"^request id [0-9a-f-]{36}\n")

    def test_a_request_id_holds_for_the_table_that_create_makes_too(self):
        path = self.file("new.csv", "id,name\n1,a\n2,b\n")
        for _ in range(2):
            self.tool("import", path, "-t", "made", "--create", "--request-id", "5b0e4c1e-0000-4000-8000-00000000000a",
                      check=0)
        self.assertEqual(self.count("made"), 2)

    def test_a_file_whose_lines_end_with_cr_is_refused(self):
        for content in ('"id","name"\r"1","a"\r"2","b"\r', "id,name\r1,a\r2,b\r"):
            done = self.load(content, check=1)
            self.assertIn("a.csv: line 1: a CR without its LF at field 2: if the file's lines end with CR alone",
                          done.stderr.decode())
        done = self.load('id,name\n"1","a"\r"2","b"\r', check=1)
        self.assertIn("a.csv: line 2: a CR without its LF at field 2", done.stderr.decode())
        self.assertEqual(self.count("t"), 0)

    def test_no_message_is_larger_than_the_server_takes(self):
        self.server = self.start("--limits-request-bytes", "1MiB")
        self.run_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, price REAL, day DATE)")
        large = "x" * 700_000
        done = self.load(f"id,name\n1,{large}\n2,{large}\n3,{large}\n", "--batch-rows", "3")
        self.assertEqual(json.loads(done.stdout)["chunks"], 3)
        content = f"id,name\n4,a\n5,{large}{large}\n6,b\n"
        done = self.load(content, check=1)
        self.assertRegex(done.stderr.decode(), r"a.csv: line 3: the row takes 14\d+ bytes, and the server no request above "
                                               r"1 MiB\nnothing was inserted\n")
        self.assertEqual(self.count("t"), 3)
        self.load(content, "--mode", "stop", check=1)
        self.assertEqual([row["id"] for row in self.rows("SELECT id FROM t")], [1, 2, 3, 4])

    def test_a_stray_quote_does_not_fill_the_memory(self):
        with open(self.folder / "stray.csv", "w", encoding="utf-8") as stray:
            stray.write('id,name\n1,"a\n')
            for _ in range(160):
                stray.write("2,b\n" * (1 << 18))
        command = [str(harness.BIN / "sluice"), "--server", self.server.address, "import",
                   str(self.folder / "stray.csv"), "-t", "t"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=harness.clean_environment()) as tool:
            told = tool.stderr.read().decode()
            _, status, usage = os.wait4(tool.pid, 0)
            tool.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(tool.returncode, 1)
        self.assertIn("line 2: the record that begins here takes more than 16 MiB", told)
        if not harness.SANITIZED:
            self.assertLess(usage.ru_maxrss, 128 << 10)

    def test_without_a_terminal_progress_is_a_line_now_and_then(self):
        fifo = self.folder / "long.csv"
        os.mkfifo(fifo)
        tool = harness.Process([str(harness.BIN / "sluice"), "--server", self.server.address, "import", str(fifo), "-t",
                                "t"], self.folder, "tool")
        self.addCleanup(tool.kill)
        ids = itertools.count()
        with open(fifo, "w", encoding="utf-8") as long:
            long.write("id\n")

            def told():
                long.writelines(f"{next(ids)}\n" for _ in range(5000))
                long.flush()
                return "rows/s" in tool.errors()

            harness.wait_for(told, 30 * harness.PATIENCE, "a line of progress")
        self.assertEqual(tool.process.wait(10 * harness.PATIENCE), 0, tool.errors())
        self.assertRegex(tool.errors(), r"^[\d.]+ [kM] rows, [\d.]+ [kM] rows/s\n")
        self.assertEqual(self.count("t"), next(ids))

    def test_what_cannot_be_loaded_is_told(self):
        self.tool("import", self.folder / "nothing.csv", "-t", "t", check=2)
        self.tool("import", self.file("b.csv", "id\n1\n"), "-t", "nowhere", check=1)
        self.assertIn("nothing", self.load("id,nothing\n1,2\n", check=1).stderr.decode())
        self.assertEqual(self.load("id\n1\n", "--validate").returncode, 0)
        self.assertEqual(self.count("t"), 0)

    def test_many_rows_in_little_memory(self):
        rows = 300_000
        with open(self.folder / "many.csv", "w", encoding="utf-8") as many:
            many.write("id,name,price\n")
            many.writelines(f'{i},"customer {i}",{i / 4}\n' for i in range(rows))
        command = [str(harness.BIN / "sluice"), "--server", self.server.address, "import",
                   str(self.folder / "many.csv"), "-t", "t"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=harness.clean_environment()) as tool:
            _, status, usage = os.wait4(tool.pid, 0)
            tool.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(tool.returncode, 0)
        self.assertEqual(self.rows("SELECT count(*) AS n, sum(price) AS s FROM t"),
                         [{"n": rows, "s": sum(range(rows)) / 4}])
        if not harness.SANITIZED:
            self.assertLess(usage.ru_maxrss, 64 << 10)

    def test_ctrl_c_leaves_the_chunks_of_other_modes(self):
        fifo = self.folder / "slow.csv"
        os.mkfifo(fifo)
        tool = harness.Process([str(harness.BIN / "sluice"), "--server", self.server.address, "import", str(fifo), "-t",
                                "t", "--batch-rows", "1", "--mode", "stop"], self.folder, "tool")
        self.addCleanup(tool.kill)
        with open(fifo, "w", encoding="utf-8") as slow:
            slow.write("id\n1\n2\n")
            slow.flush()
            harness.wait_for(lambda: self.count("t") == 2, harness.PATIENCE, "both chunks")
            tool.process.send_signal(signal.SIGINT)
            self.assertEqual(tool.process.wait(5 * harness.PATIENCE), 5, tool.errors())
        self.assertIn("chunks that were inserted before it stay", tool.errors())
        self.assertEqual(self.count("t"), 2)

    def test_ctrl_c_rolls_back(self):
        fifo = self.folder / "slow.csv"
        os.mkfifo(fifo)
        tool = harness.Process([str(harness.BIN / "sluice"), "--server", self.server.address, "import", str(fifo), "-t",
                                "t", "--batch-rows", "1"], self.folder, "tool")
        self.addCleanup(tool.kill)
        with open(fifo, "w", encoding="utf-8") as slow:
            slow.write("id\n1\n2\n")
            slow.flush()
            tool.process.send_signal(signal.SIGINT)
            self.assertEqual(tool.process.wait(5 * harness.PATIENCE), 5, tool.errors())
        self.assertEqual(self.count("t"), 0)


class DumpTest(DataTest):
    def dump(self, *statements):
        harness.need(shutil.which("sqlite3"), "apt-get install sqlite3")
        path = harness.make_database(self.folder / "original.db", *statements)
        text = subprocess.run(["sqlite3", str(path), ".dump"], capture_output=True, check=True).stdout
        return path, self.file("dump.sql", text)

    def test_what_the_sqlite3_shell_dumps_comes_back(self):
        original, dump = self.dump(*DUMPED)
        done = self.tool("import", dump, check=0)
        notes = done.stderr.decode()
        self.assertRegex(notes, r"left out \d+ statements of the dump's own")
        self.assertEqual({row["table"]: row["rows"] for row in map(json.loads, done.stdout.splitlines())},
                         {"author": 4, "odd name; x": 3})
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(sorted_content(self.server.database), sorted_content(original))

    def test_a_dump_that_fails_says_where(self):
        dump = self.file("d.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);\nINSERT INTO t VALUES (1);\n"
                                  "INSERT INTO t VALUES (2),\n (2);\nINSERT INTO t VALUES (3);\n")
        done = self.tool("import", dump, check=1)
        self.assertIn("at: line 3 of d.sql", done.stderr.decode())
        self.assertEqual(self.count("t"), 0)
        done = self.tool("import", self.file("e.sql", "CREATE TABLE u (a);\n\nCREATE TABEL v (a);"), check=1)
        self.assertIn("at: line 3 of e.sql", done.stderr.decode())
        done = self.tool("import", self.file("f.sql", "INSERT INTO t VALUES (7);\nSELECT 'x"), check=1)
        self.assertIn("f.sql: line 2: the string that begins here has no end", done.stderr.decode())
        self.assertIn("what is above the failure is done", done.stderr.decode())
        self.assertEqual(self.count("t"), 1)
        done = self.tool("import", self.file("g.sql", "BEGIN;\nROLLBACK; -- due to errors\n"), check=0)
        self.assertIn("did not finish it", done.stderr.decode())


    def test_what_cannot_hold_for_a_whole_dump_is_refused(self):
        self.run_sql("CREATE TABLE ma (a)", "INSERT INTO ma VALUES (1), (2), (3)")
        dump = self.file("m.sql", "DELETE FROM ma;\n")
        for option in (("--max-affected", "1"), ("--validate",)):
            done = self.tool("import", dump, *option, check=2)
            self.assertIn("sluice batch FILE", done.stderr.decode())
            self.assertEqual(self.count("ma"), 3)
        self.tool("batch", dump, "--max-affected", "1", check=1)
        self.assertEqual(self.count("ma"), 3)

    def test_an_insert_of_any_size_is_loaded_in_parts(self):
        self.server = self.start("--limits-request-bytes", "1MiB")
        rows = ",\n".join(f"({i}, '{'x' * 1000}')" for i in range(5000))
        dump = self.file("many.sql", f"CREATE TABLE t (id INTEGER PRIMARY KEY, a);\nINSERT INTO t VALUES {rows};\n"
                                     "INSERT INTO t VALUES (5000, 'y');\n")
        told = json.loads(self.tool("import", dump, "--batch-rows", "500", check=0).stdout)
        self.assertEqual((told["rows"], told["chunks"]), (5001, 11))
        self.assertEqual(self.rows("SELECT sum(id) AS ids, sum(length(a)) AS size FROM t"),
                         [{"ids": 5000 * 5001 // 2, "size": 5_000_001}])

    def test_what_fits_into_no_message_is_told_with_its_line(self):
        self.server = self.start("--limits-request-bytes", "1MiB")
        large = "x" * (2 << 20)
        dump = self.file("l.sql", "CREATE TABLE t (a);\nINSERT INTO t VALUES ('a');\n"
                                  f"INSERT INTO t VALUES ('b'), ('{large}');\nINSERT INTO t VALUES ('c');\n"
                                  f"UPDATE t SET a = '{large}';\nINSERT INTO t VALUES ('d');\n")
        told = self.tool("import", dump, check=1).stderr.decode()
        self.assertRegex(told, r"^error: the row takes 20\d+ bytes, and the server no request above 1 MiB\n"
                               r"at: line 3 of l.sql\n")
        self.assertIn("executed: no\n", told)
        self.assertEqual(self.count("t"), 0)
        self.run_sql("DROP TABLE t")
        told = self.tool("import", dump, "--mode", "continue", check=1).stderr.decode()
        self.assertRegex(told, r"error: the statement takes 20\d+ bytes, .*\nat: line 5 of l.sql\n")
        self.assertEqual(self.rows("SELECT a FROM t"), [{"a": name} for name in "abcd"])

    def test_rowids_that_a_dump_names_are_kept(self):
        dump = self.file("r.sql", "CREATE TABLE t (a);\nINSERT INTO t(rowid,a) VALUES(7,'x');\n"
                                  "INSERT INTO t(_rowid_,a) VALUES(9,'y');\n")
        self.tool("import", dump, check=0)
        self.assertEqual(self.rows("SELECT rowid AS id, a FROM t"), [{"id": 7, "a": "x"}, {"id": 9, "a": "y"}])


class SchemaTest(DataTest):
    def setUp(self):
        super().setUp()
        self.run_sql("CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', UNIQUE (name))",
                     "CREATE TABLE book (id INTEGER PRIMARY KEY, author INTEGER REFERENCES author ON DELETE CASCADE, "
                     "title TEXT)", "CREATE VIEW titles AS\nSELECT title FROM book")

    def test_tables_are_listed_on_all_pages(self):
        script = "".join(f"CREATE TABLE page{i} (a);" for i in range(600))
        self.tool("batch", "-", stdin=script.encode(), check=0)
        tables = [json.loads(line) for line in self.tool("schema", "tables", check=0).stdout.splitlines()]
        self.assertEqual(len(tables), 603)
        tables = [json.loads(line)["name"] for line in self.tool("schema", "tables", "--prefix", "BO", check=0)
                  .stdout.splitlines()]
        self.assertEqual(tables, ["book"])
        self.assertEqual(json.loads(self.tool("schema", "schemas", check=0).stdout)["name"], "main")

    def test_a_table_is_shown_with_its_parts(self):
        page = self.tool("-o", "table", "schema", "describe", "book", check=0).stdout.decode()
        for words in ("table main.book", "title", "Primary key:\n  id", "(author) → author (id) on delete CASCADE"):
            self.assertIn(words, page)
        page = self.tool("-o", "table", "schema", "describe", "titles", check=0).stdout.decode()
        self.assertIn("Definition:\n  CREATE VIEW titles AS\n  SELECT title FROM book\n", page)
        table = json.loads(self.tool("-o", "json", "schema", "describe", "author", check=0).stdout)
        self.assertEqual(table["unique_keys"], [{"name": "", "columns": ["name"]}])
        self.assertEqual(table["columns"][1]["default_expression"], "'x'")
        self.assertIn("column,type", self.tool("-o", "csv", "schema", "describe", "book", check=0).stdout.decode())
        self.assertIn("author", self.tool("schema", "describe", "authr", check=1).stderr.decode())

    def test_the_rarer_parts_of_keys_and_indexes_are_shown(self):
        self.run_sql("CREATE TABLE part (a INTEGER REFERENCES author DEFERRABLE INITIALLY DEFERRED, b TEXT)",
                     "CREATE UNIQUE INDEX some ON part (lower(b), a DESC) WHERE a > 7")
        page = self.tool("-o", "table", "schema", "describe", "part", check=0).stdout.decode()
        self.assertIn("(a) → author (id) deferred\n", page)
        self.assertIn("some unique (lower(b), a desc) where a > 7\n", page)

    def test_statements_are_described_and_explained(self):
        described = json.loads(self.tool("describe", "SELECT id, title FROM book WHERE author = ?1", check=0).stdout)
        self.assertTrue(described["read_only"])
        self.assertEqual([column["name"] for column in described["columns"]], ["id", "title"])
        self.assertEqual(len(described["parameters"]), 1)
        page = self.tool("-o", "table", "describe", "DELETE FROM book WHERE id = :id", check=0).stdout.decode()
        self.assertTrue(page.startswith("DELETE, writes, has no result\n"), page)
        self.assertIn(":id", page)

        question = "SELECT title FROM book WHERE author = ?"
        page = self.tool("-o", "table", "explain", question, "-p", "7", check=0).stdout.decode()
        self.assertIn("SCAN book", page)
        self.assertIn("full_scan: ", page)
        self.assertIn("  try: CREATE INDEX", page)
        plan = json.loads(self.tool("explain", question, check=0).stdout)
        self.assertTrue(plan["plan"]["children"][0]["full_scan"])
        self.assertIn("0,statement", self.tool("-o", "csv", "explain", question, check=0).stdout.decode())
        for command in ("describe", "explain"):
            self.assertIn("^", self.tool(command, "SELECT nothing FROM book", check=1).stderr.decode())


class ConnectionTest(DataTest):
    def test_a_connection_is_opened_used_and_closed(self):
        done = self.tool("connections", "register", "sqlite:///shop.db", "--name", "shop", check=0)
        connection = done.stdout.decode().strip()
        self.assertRegex(connection, r"^conn_\w+$")
        self.assertIn("keep the id", done.stderr.decode())
        self.assertNotIn(connection, done.stderr.decode())
        self.tool("import", self.file("a.csv", "a\n1\n"), "-t", "t", "--create", "-c", connection, check=0)
        self.assertEqual(self.tool("query", "-c", connection, "SELECT a FROM t", check=0).stdout, b'{"a":1}\n')
        self.tool("connections", "register", "sqlite:///shop.db", "--name", "shop", check=1)
        told = json.loads(self.tool("-o", "json", "connections", "register", "sqlite:///shop.db", "--read-only",
                                    check=0).stdout)[0]
        self.assertTrue(told["read_only"])
        self.tool("query", "-c", told["connection_id"], "DELETE FROM t", check=6)
        closed = json.loads(self.tool("connections", "close", connection, "--drain-timeout", "1s", check=0).stdout)
        self.assertEqual(closed, {"drained": True, "database_closed": False})
        self.tool("connections", "close", connection, check=1)
        self.tool("connections", "close", "default", check=1)
        self.tool("connections", "register", "sqlite:///none.db", "--must-exist", check=1)
        self.tool("connections", "register", "sqlite:////etc/passwd", check=6)


class BackupTest(DataTest):
    def setUp(self):
        super().setUp()
        self.file("dump.sql", ";\n".join(DUMPED))
        self.tool("import", self.folder / "dump.sql", check=0)
        self.copy = self.folder / "copy.db"

    def test_a_copy_is_complete_and_serves_as_a_new_servers_database(self):
        told = json.loads(self.tool("backup", self.copy, check=0).stdout)
        content = self.copy.read_bytes()
        self.assertEqual((told["size_bytes"], told["sha256"]), (len(content), hashlib.sha256(content).hexdigest()))
        self.assertFalse((self.folder / "copy.db.partial").exists())
        self.run_sql("DELETE FROM author")
        restored = self.start(database=self.copy)
        asked = "SELECT * FROM author ORDER BY id"
        self.assertEqual(len(self.run_tool(restored, "query", asked, check=0).stdout.splitlines()), 4)
        self.run_tool(restored, "query", "INSERT INTO author (name) VALUES ('new')", check=0)
        self.assertEqual(self.rows(asked), [])

    def test_a_copy_is_what_the_original_was(self):
        self.tool("backup", self.copy, check=0)
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(sorted_content(self.copy), sorted_content(self.server.database))

    def test_nothing_is_overwritten_or_left_behind(self):
        self.copy.write_text("mine")
        self.tool("backup", self.copy, check=2)
        self.assertEqual(self.copy.read_text(), "mine")
        self.tool("backup", self.copy, "-c", "conn_nothing", "--force", check=1)
        self.assertEqual(self.copy.read_text(), "mine")
        self.tool("backup", self.copy, "--force", check=0)
        self.assertTrue(self.copy.read_bytes().startswith(b"SQLite format 3"))
        self.tool("backup", self.folder / "nowhere/copy.db", check=7)
        self.assertEqual(self.server.terminate(), 0)
        self.tool("backup", self.folder / "other.db", check=3)
        self.assertEqual([path.name for path in self.folder.glob("*.partial")], [])
        self.assertFalse((self.folder / "other.db").exists())

    def test_a_copy_goes_to_an_ordinary_file_only(self):
        os.mkfifo(self.folder / "pipe")
        os.symlink(self.folder / "nothing", self.folder / "dangling")
        for name, words in (("-", "standard output"), (self.folder, "is a folder"), (f"{self.folder}/", "is a folder"),
                            (self.folder / "pipe", "no ordinary file"), (self.folder / "dangling", "a link to nothing")):
            done = self.tool("backup", name, "--force", check=2)
            self.assertIn(words, done.stderr.decode())
        self.assertIn("there already", self.tool("backup", self.folder / "dangling", check=2).stderr.decode())
        self.assertEqual(list(self.folder.glob("*.partial")), [])

    def test_force_writes_through_a_link(self):
        (self.folder / "elsewhere").mkdir()
        target = self.folder / "elsewhere/real.db"
        target.write_text("mine")
        os.symlink("elsewhere/real.db", self.copy)
        self.tool("backup", self.copy, check=2)
        self.tool("backup", self.copy, "--force", check=0)
        self.assertTrue(self.copy.is_symlink())
        self.assertTrue(target.read_bytes().startswith(b"SQLite format 3"))


if __name__ == "__main__":
    harness.main()
