"""What a database consists of and how it runs a statement, over the wire, against what SQLite itself says of the Chinook
database. Its path comes from SLUICE_CHINOOK; the file is only read, and served from a copy."""
import contextlib
import os
import shutil
import sqlite3
import subprocess

import harness
import rpc

# pylint: disable=wrong-import-position,import-error
from sluice.v1 import plan_pb2, query_pb2, schema_pb2, schema_pb2_grpc

CHINOOK = harness.Path(os.environ.get("SLUICE_CHINOOK") or
                       harness.ROOT.parent / "shared/data/chinook/chinook.sqlite")
STATEMENTS = [
    "SELECT * FROM Track WHERE AlbumId = 5",
    "SELECT Name FROM Track WHERE Composer = 'AC/DC' ORDER BY Milliseconds",
    "SELECT a.Title, count(*) FROM Album a JOIN Track t ON t.AlbumId = a.AlbumId GROUP BY a.AlbumId",
    "SELECT * FROM Customer WHERE Country = 'Brazil' AND City = 'São Paulo'",
    "SELECT Name FROM Genre UNION SELECT Name FROM MediaType",
    "SELECT * FROM Invoice i WHERE Total > (SELECT avg(Total) FROM Invoice)",
]


class CatalogTest(rpc.TestCase):
    """One server on a copy of the file."""

    def setUp(self):
        super().setUp()
        harness.need(CHINOOK.is_file(), f"SLUICE_CHINOOK=PATH names the Chinook SQLite file; there is none at {CHINOOK}",
                     optional=True)
        self.path = self.folder / "chinook.sqlite"
        shutil.copyfile(CHINOOK, self.path)
        self.server = self.start(database=self.path)
        self.calls = self.client(self.server)
        self.schema = schema_pb2_grpc.SchemaServiceStub(self.calls.channel)
        self.oracle = self.enterContext(contextlib.closing(sqlite3.connect(f"file:{CHINOOK}?immutable=1", uri=True)))

    def ask(self, sql, *params):
        return self.oracle.execute(sql, params).fetchall()

    def explain(self, sql):
        request = query_pb2.ExplainRequest(connection_id="default", sql=sql)
        return self.calls.queries.Explain(request, timeout=harness.CALL_SECONDS)

    def describe(self, table):
        request = schema_pb2.DescribeTableRequest(connection_id="default", table=table)
        return self.schema.DescribeTable(request, timeout=harness.CALL_SECONDS)

    def test_pages_list_every_table_once_in_order(self):
        want = [name for name, in self.ask("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
                                           " AND name NOT LIKE 'sqlite%' ORDER BY name")]
        self.assertGreaterEqual(len(want), 11)
        found, token = [], ""
        while True:
            page = self.schema.ListTables(schema_pb2.ListTablesRequest(
                connection_id="default", page_size=4, page_token=token), timeout=harness.CALL_SECONDS)
            self.assertEqual(page.page.total_size, len(want))
            found += [table.name for table in page.tables]
            token = page.page.next_page_token
            if not token:
                break
        self.assertEqual(found, want)

    def test_every_table_has_the_columns_keys_and_indexes_that_sqlite_says(self):
        for name, in self.ask("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"):
            with self.subTest(table=name):
                table = self.describe(name.upper())
                self.assertEqual(table.name, name)
                columns = [(column.name, column.native_type, column.primary_key_position) for column in table.columns]
                self.assertEqual(columns, self.ask("SELECT name, type, pk FROM pragma_table_info(?)", name))
                keys = sorted((key.referenced_table, key.columns[0], key.referenced_columns[0], key.on_delete)
                              for key in table.foreign_keys)
                self.assertEqual(keys, sorted(self.ask(
                    "SELECT \"table\", \"from\", \"to\", on_delete FROM pragma_foreign_key_list(?)", name)))
                indexes = [(index.name, int(index.unique)) for index in table.indexes]
                self.assertEqual(indexes, self.ask(
                    "SELECT name, \"unique\" FROM pragma_index_list(?) ORDER BY name", name))

    def test_the_text_of_a_plan_is_that_of_the_sqlite3_shell(self):
        shell = shutil.which("sqlite3")
        harness.need(shell, "apt-get install sqlite3")
        for sql in STATEMENTS:
            with self.subTest(sql=sql):
                want = subprocess.run([shell, "-readonly", str(CHINOOK), "EXPLAIN QUERY PLAN " + sql],
                                      capture_output=True, check=True, text=True).stdout
                self.assertEqual(self.explain(sql).text, want.rstrip("\n"))

    def test_a_suggested_index_is_used_once_it_is_there(self):
        kind = plan_pb2.PlanFinding
        suggested = 0
        for sql in STATEMENTS:
            with self.subTest(sql=sql):
                before = self.explain(sql)
                missing = [finding for finding in before.findings if finding.kind == kind.KIND_MISSING_INDEX]
                for finding in missing:
                    self.calls.query(finding.suggestion)
                    suggested += 1
                if missing:
                    after = self.explain(sql)
                    self.assertNotEqual(after.text, before.text)
                    self.assertNotIn(kind.KIND_MISSING_INDEX, [finding.kind for finding in after.findings])
        self.assertGreaterEqual(suggested, 2)

    def test_describe_tells_columns_and_parameters(self):
        request = query_pb2.DescribeRequest(connection_id="default",
                                            sql="SELECT Name, UnitPrice FROM Track WHERE AlbumId = :album")
        described = self.calls.queries.Describe(request, timeout=harness.CALL_SECONDS)
        self.assertEqual([column.name for column in described.columns], ["Name", "UnitPrice"])
        self.assertEqual([parameter.name for parameter in described.parameters], ["album"])
        self.assertTrue(described.read_only)

    def test_an_unknown_table_names_the_nearest(self):
        failure = self.failure(self.describe, "Tracks")
        self.assertEqual(failure.reason, "TABLE_NOT_FOUND")
        self.assertEqual(failure.info.metadata["nearest"], "Track")


if __name__ == "__main__":
    harness.main()
