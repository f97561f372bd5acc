"""The Chinook database through the tool, Node, Python and buf, against what SQLite itself says. Its path comes from
SLUICE_CHINOOK; the file is only read, and served from a copy."""
import base64
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess

import harness
import rpc

CHINOOK = harness.Path(os.environ.get("SLUICE_CHINOOK") or
                       harness.ROOT.parent / "shared/data/chinook/chinook.sqlite")
BUF_KINDS = {"nullValue": lambda _: None, "int64Value": int, "doubleValue": float, "stringValue": str,
             "bytesValue": base64.b64decode}
NODE_KINDS = {"null_value": lambda _: None, "int64_value": int, "double_value": float, "string_value": str,
              "bytes_value": base64.b64decode}


def queries():
    """The statements of the file by their names, comments left out."""
    paragraphs = (harness.FOLDER / "chinook_queries.sql").read_text().split("\n\n")
    found = [re.match(r"-- (?P<name>.+)\n(?P<sql>(?!--)[^;]+);\n?$", paragraph) for paragraph in paragraphs]
    return {match["name"]: match["sql"] for match in found if match}


def as_typed(rows):
    """Python compares 1 and 1.0 as equal; with the type beside it, they differ."""
    return [tuple((type(value).__name__, value) for value in row) for row in rows]


class ChinookTest(rpc.TestCase):
    """One server on a copy of the file."""

    def setUp(self):
        super().setUp()
        harness.need(CHINOOK.is_file(), f"SLUICE_CHINOOK=PATH names the Chinook SQLite file; there is none at {CHINOOK}",
                     optional=True)
        self.path = self.folder / "chinook.sqlite"
        shutil.copyfile(CHINOOK, self.path)
        self.server = self.start(database=self.path)
        self.oracle = self.enterContext(contextlib.closing(sqlite3.connect(f"file:{CHINOOK}?immutable=1", uri=True)))

    def tables(self):
        rows = self.oracle.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        self.assertGreaterEqual(len(rows), 11)
        return [f'SELECT * FROM "{name}"' for name, in rows]

    def expected(self, sql):
        cursor = self.oracle.execute(sql)
        return [column[0] for column in cursor.description], cursor.fetchall()

    def statements(self):
        named = queries()
        self.assertGreaterEqual(len(named), 12)
        return [*self.tables(), *named.values()]

    def test_tool_streams_csv_byte_for_byte_as_the_sqlite3_shell(self):
        shell = shutil.which("sqlite3")
        harness.need(shell, "apt-get install sqlite3")
        for sql in self.statements():
            with self.subTest(sql=sql):
                want = subprocess.run([shell, "-readonly", "-csv", "-header", str(CHINOOK), sql],
                                      capture_output=True, check=True).stdout
                got = self.run_tool(self.server, "query", "--stream", "-o", "csv", sql, check=0).stdout
                self.assertEqual(got, want)

    def test_python_reads_every_value_with_its_type(self):
        client = self.client(self.server)
        for sql in self.statements():
            with self.subTest(sql=sql):
                names, rows = self.expected(sql)
                messages = list(client.stream(sql))
                self.assertEqual([column.name for column in messages[0].columns], names)
                self.assertEqual(as_typed(row for _, row in rpc.joined(messages)), as_typed(rows))
                unary = client.query(sql, max_rows=100_000, max_bytes=64 << 20)
                self.assertFalse(unary.truncated)
                self.assertEqual([column.name for column in unary.columns], names)
                self.assertEqual(as_typed(rpc.rows_of(unary)), as_typed(rows))

    def test_node_reads_every_value_with_its_type(self):
        command = [*harness.node_client("query.mjs"), self.server.address]
        statements = self.statements()
        requests = [{"sql": sql, "stream": stream, **({} if stream else {"max_rows": 100_000, "max_bytes": 64 << 20})}
                    for sql in statements for stream in (True, False)]
        done = subprocess.run(command, input="\n".join(map(json.dumps, requests)), capture_output=True, text=True,
                              timeout=harness.CALL_SECONDS * 2, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), len(requests))
        for request, answer in zip(requests, answers):
            with self.subTest(**request):
                self.assertNotIn("error", answer)
                names, rows = self.expected(request["sql"])
                self.assertEqual([column["name"] for column in answer["columns"]], names)
                got = [[NODE_KINDS[kind](value) for kind, value in row] for row in answer["rows"]]
                self.assertEqual(as_typed(got), as_typed(rows))
                if request["stream"]:
                    self.assertTrue(answer["last"])
                    self.assertEqual(int(answer.get("row_count") or 0), len(rows))

    def test_buf_curl_reads_every_value_with_its_type_by_reflection(self):
        for sql in queries().values():
            with self.subTest(sql=sql):
                self.compare_with_buf("Query", sql, {"maxRows": 100_000, "maxBytes": 64 << 20})
        for sql in self.tables()[:2]:
            with self.subTest(sql=sql):
                self.compare_with_buf("StreamQuery", sql, {})

    def compare_with_buf(self, method, sql, options):
        url = f"http://{self.server.address}/sluice.v1.QueryService/{method}"
        request = json.dumps({"connectionId": "default", "sql": sql, **options})
        done = subprocess.run([harness.buf(), "curl", "--http2-prior-knowledge", "--protocol", "grpc", "-d", request, url],
                              capture_output=True, text=True, timeout=harness.CALL_SECONDS, check=False,
                              env=harness.clean_environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        rows, text, decoder = [], done.stdout, json.JSONDecoder()
        while text.strip():
            message, end = decoder.raw_decode(text.lstrip())
            text = text.lstrip()[end:]
            rows += message.get("rows", [])
        got = [[BUF_KINDS[kind](item) for value in row["values"] for kind, item in value.items()] for row in rows]
        self.assertEqual(as_typed(got), as_typed(self.expected(sql)[1]))


if __name__ == "__main__":
    harness.main()
