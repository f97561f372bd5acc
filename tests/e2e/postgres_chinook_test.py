"""The Chinook database on PostgreSQL through the tool, Node, Python and buf, value for value against what psql says. The
path of its script comes from SLUICE_CHINOOK_POSTGRES; psql loads it into a server of the test's own."""
import base64
import csv
import datetime
import io
import json
import os
import re
import subprocess

import harness
import rpc

SCRIPT = harness.Path(os.environ.get("SLUICE_CHINOOK_POSTGRES") or
                      harness.ROOT.parent / "shared/data/chinook/postgres.sql")
NULL = "\x01 is null"  # how psql is to show NULL: nothing else looks like that
ALL = {"max_rows": 100_000, "max_bytes": 64 << 20}
EPOCH = datetime.datetime(1970, 1, 1)
# The kind that values of a type have.
KINDS = {"integer": "int64_value", "bigint": "int64_value", "numeric": "numeric_value", "boolean": "bool_value",
         "double precision": "double_value", "text": "string_value", "character varying": "string_value",
         "bytea": "bytes_value", "timestamp without time zone": "timestamp_value"}


def queries():
    """The statements of the file by their names, comments left out."""
    paragraphs = (harness.FOLDER / "postgres_chinook_queries.sql").read_text().split("\n\n")
    found = [re.match(r"-- (?P<name>.+)\n(?P<sql>(?!--)[^;]+);\n?$", paragraph) for paragraph in paragraphs]
    return {match["name"]: match["sql"] for match in found if match}


def as_psql(kind, value):
    """What psql shows for a value, given as JSON and protocol buffers give it. Fractions stay numbers."""
    if kind == "null_value":
        return NULL
    if kind == "timestamp_value":
        return str(EPOCH + datetime.timedelta(microseconds=int(value)))
    if kind == "bool_value":
        return "t" if value else "f"
    if kind == "double_value":
        return float(value)
    return f"\\x{value.hex()}" if kind == "bytes_value" else str(value)


def from_json(kind, value):
    """A value as Node and buf give it, of a kind as in the proto file."""
    if kind == "timestamp_value":
        value = value.get("micros", 0)
    return as_psql(kind, base64.b64decode(value) if kind == "bytes_value" else value)


def from_message(value):
    kind = value.WhichOneof("kind")
    plain = getattr(value, kind)
    return as_psql(kind, plain.micros if kind == "timestamp_value" else plain)


def snake(name):
    """A name of a field as the proto file has it."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def in_15_digits(value):
    """As the tool writes fractions for people, like the shell of SQLite."""
    return float(f"{value:.15g}") if isinstance(value, float) else value


def csv_lines(text):
    """Of the tool's CSV: lines of pairs, of a field and whether it was in quotes. NULL is empty, and was not."""
    lines, line, at = [], [], 0
    field = re.compile(r'(?:(")((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n)')
    while at < len(text):
        match = field.match(text, at)
        assert match, text[at:at + 100]
        quote, quoted, bare, end = match.groups()
        line.append((quoted.replace('""', '"'), True) if quote else (bare, False))
        if end != ",":
            lines.append(line)
            line = []
        at = match.end()
    assert not line, "the last line does not end"
    return lines


class Expected:
    """What psql says of a statement: names and types of its columns, and rows of texts; fractions are numbers."""

    def __init__(self, postgres, sql):
        described = self.ask(postgres, f"{sql}\n\\gdesc\n")
        self.names = [name for name, _ in described[1:]]
        self.types = [re.sub(r"\(.*?\)", "", type) for _, type in described[1:]]
        header, *rows = self.ask(postgres, f"{sql};\n")
        assert header == self.names, (header, self.names)
        self.rows = [tuple(self.value(*cell) for cell in zip(self.types, row)) for row in rows]

    @staticmethod
    def ask(postgres, commands):
        done = subprocess.run([postgres.binaries / "psql", "--no-psqlrc", "--csv", "-v", "ON_ERROR_STOP=1", "--pset",
                               f"null={NULL}", "--dbname", postgres.conninfo("chinook"), "--file", "-"],
                              input=commands, capture_output=True, text=True, check=True)
        return list(csv.reader(io.StringIO(done.stdout)))

    @staticmethod
    def value(type, text):
        return float(text) if type == "double precision" and text != NULL else text


class PostgresChinookTest(rpc.TestCase):
    """One PostgreSQL with the data, and one gateway before it, for all tests."""

    expected = {}

    def setUp(self):
        super().setUp()
        harness.need(SCRIPT.is_file(),
                     f"SLUICE_CHINOOK_POSTGRES=PATH names Chinook's PostgreSQL script; there is none at {SCRIPT}",
                     optional=True)
        if not self.expected:
            self.load()
        self.server = self.start(database=self.postgres.url("chinook"))

    @classmethod
    def load(cls):
        cls.postgres = cls.enterClassContext(harness.start_postgres())
        cls.postgres.psql(SCRIPT.read_text())
        names = cls.postgres.psql("SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                                  "'public'::regnamespace ORDER BY 1", database="chinook").splitlines()
        assert len(names) == 11, names
        cls.tables = [f"SELECT * FROM {name} ORDER BY 1, 2" for name in names]
        assert len(queries()) >= 12
        cls.expected = {sql: Expected(cls.postgres, sql) for sql in (*cls.tables, *queries().values())}

    def for_each(self, check):
        for sql, expected in self.expected.items():
            with self.subTest(sql=sql):
                check(sql, expected)

    def test_psql_finds_all_of_the_data(self):
        rows = sum(len(self.expected[sql].rows) for sql in self.tables)
        self.assertGreater(rows, 15_000)
        values = {type: 0 for type in KINDS}
        for expected in self.expected.values():
            for type in expected.types:
                values[type] += len(expected.rows)
        self.assertTrue(all(values.values()), f"a type that nothing has: {values}")

    def test_tool_shows_every_value(self):
        def check(sql, expected):
            shown = self.run_tool(self.server, "query", "--stream", "-o", "csv", sql, check=0).stdout.decode()
            header, *lines = csv_lines(shown) or [[]]
            # Like the shell of SQLite, it writes no header over nothing.
            self.assertEqual([name for name, _ in header], expected.names if expected.rows else [])
            rows = [tuple(in_15_digits(value) for value in row) for row in expected.rows]
            self.assertEqual([self.of_tool(expected.types, line) for line in lines], rows)
        self.for_each(check)

    @staticmethod
    def of_tool(types, line):
        """A line of the tool's CSV as psql shows the same row."""
        def value(type, text, quoted):
            if not text and not quoted:
                return NULL
            if type == "bytea":
                return f"\\x{text.encode().hex()}"
            words = {"boolean": {"true": "t", "false": "f"}.get, "double precision": float}
            return words.get(type, str)(text)
        assert len(types) == len(line), (types, line)
        return tuple(value(type, *cell) for type, cell in zip(types, line))

    def check_columns(self, columns, expected):
        self.assertEqual([column.name for column in columns], expected.names)
        self.assertEqual([column.native_type for column in columns], expected.types)

    def check_rows(self, rows, expected):
        """`rows` of pairs of a kind and what psql shows for the value."""
        for row in rows:
            for (kind, _), type in zip(row, expected.types):
                self.assertIn(kind, ("null_value", KINDS[type]))
        self.assertEqual([tuple(text for _, text in row) for row in rows], expected.rows)

    def test_python_reads_every_value_with_its_kind(self):
        client = self.client(self.server)

        def check(sql, expected):
            messages = list(client.stream(sql))
            self.check_columns(messages[0].columns, expected)
            self.check_rows(self.of_python(row for message in messages for row in message.rows), expected)
            self.assertTrue(messages[-1].last)
            for _ in range(3):  # on its own, then on shared connections
                unary = client.query(sql, **ALL)
                self.assertFalse(unary.truncated)
                self.check_columns(unary.columns, expected)
                self.check_rows(self.of_python(unary.rows), expected)
        self.for_each(check)

    @staticmethod
    def of_python(rows):
        return [[(value.WhichOneof("kind"), from_message(value)) for value in row.values] for row in rows]

    def test_node_reads_every_value_with_its_kind(self):
        command = [*harness.node_client("query.mjs"), self.server.address]
        requests = [{"sql": sql, "stream": stream, **({} if stream else ALL)}
                    for sql in self.expected for stream in (True, False)]
        done = subprocess.run(command, input="\n".join(map(json.dumps, requests)), capture_output=True, text=True,
                              timeout=harness.CALL_SECONDS * 2, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), len(requests))
        for request, answer in zip(requests, answers):
            with self.subTest(**request):
                self.assertNotIn("error", answer)
                expected = self.expected[request["sql"]]
                self.assertEqual([column["name"] for column in answer["columns"]], expected.names)
                self.check_rows([[(kind, from_json(kind, value)) for kind, value in row] for row in answer["rows"]],
                                expected)
                if request["stream"]:
                    self.assertTrue(answer["last"])
                    self.assertEqual(int(answer.get("row_count") or 0), len(expected.rows))

    def test_buf_curl_reads_every_value_with_its_kind_by_reflection(self):
        def check(sql, expected):
            stream = sql in self.tables
            if stream and len(expected.rows) > 1000:
                return  # the others have the same types
            rows = self.ask_buf("StreamQuery" if stream else "Query", sql, {} if stream else ALL)
            self.check_rows([[(snake(kind), from_json(snake(kind), value)) for item in row["values"]
                              for kind, value in item.items()] for row in rows], expected)
        self.for_each(check)

    def ask_buf(self, method, sql, options):
        url = f"http://{self.server.address}/sluice.v1.QueryService/{method}"
        request = json.dumps({"connection_id": "default", "sql": sql, **options})
        done = subprocess.run([harness.buf(), "curl", "--http2-prior-knowledge", "--protocol", "grpc", "-d", request, url],
                              capture_output=True, text=True, timeout=harness.CALL_SECONDS, check=False,
                              env=harness.clean_environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        rows, text, decoder = [], done.stdout, json.JSONDecoder()
        while text.strip():
            message, end = decoder.raw_decode(text.lstrip())
            text = text.lstrip()[end:]
            rows += message.get("rows", [])
        return rows


if __name__ == "__main__":
    harness.main()
