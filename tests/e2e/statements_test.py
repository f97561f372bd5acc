"""Statements and requests that must not run, or must not run away: each refused or ended, and the server goes on."""
import statistics
import threading
import time

import harness
import rpc
from rpc import Code, query_pb2, value_pb2

ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT {} FROM s"


class RefusalTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start()
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        self.rpc.query("INSERT INTO t VALUES(1, 'one')")

    def assert_refused(self, code, reason, sql, *params):
        for call in (self.rpc.query, self.rpc.stream):
            with self.subTest(sql=sql, call=call.__name__):
                self.assert_fails(code, call, sql, *params, reason=reason, executed="no")

    def assert_untouched(self):
        self.assertEqual(self.rpc.rows("SELECT * FROM t"), [(1, "one")])
        self.rpc.query("UPDATE t SET b = 'two'")
        self.assertEqual(self.rpc.rows("SELECT b FROM t"), [("two",)])

    def test_statements_that_would_overflow_a_stack_are_refused(self):
        def chain(length):
            return ("WITH a0 AS(SELECT 1 x)" + "".join(f",a{n} AS(SELECT*FROM a{n - 1})" for n in range(1, length)) +
                    f"SELECT x FROM a{length - 1}")

        self.assertEqual(self.rpc.rows(chain(1000), read_only=True), [(1,)])
        for length in (1001, 30_000):
            self.assert_refused(Code.PERMISSION_DENIED, "STATEMENT_REFUSED", chain(length))
        self.assert_untouched()

    def test_a_chain_of_views_is_followed_to_its_end(self):
        self.rpc.query("CREATE VIEW v0 AS SELECT 1 AS x")
        steps = [query_pb2.BatchStep(sql=f"CREATE VIEW v{n} AS SELECT * FROM v{n - 1}") for n in range(1, 1000)]
        self.rpc.queries.ExecuteBatch(query_pb2.ExecuteBatchRequest(connection_id="default", steps=steps),
                                      timeout=harness.CALL_SECONDS)
        self.assertEqual(self.rpc.rows("SELECT x FROM v999"), [(1,)])
        self.assert_untouched()

    def test_Fault44_transaction_control_as_sql_is_refused(self):
        verbs = ["BEGIN", "BEGIN DEFERRED", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE TRANSACTION", "COMMIT",
                 "COMMIT TRANSACTION", "END", "END TRANSACTION", "ROLLBACK", "ROLLBACK TRANSACTION", "SAVEPOINT s",
                 "RELEASE s", "RELEASE SAVEPOINT s", "ROLLBACK TO s", "ROLLBACK TRANSACTION TO SAVEPOINT s"]
        corpus = [shape.format(verb) for verb in verbs for shape in ("{}", "{};")]
        corpus += ["begin", "bEgIn", " \t\r\n COMMIT", "-- a comment\nROLLBACK", "/* so */ BEGIN /* and so */ ; -- x",
                   "/* a /* b */ COMMIT", ";BEGIN", ";;; /**/ COMMIT", "\ufeffBEGIN"]
        for sql in corpus:
            self.assert_refused(Code.INVALID_ARGUMENT, "TRANSACTION_CONTROL_REFUSED", sql)
        for sql in ("PREPARE TRANSACTION 'x'", "START TRANSACTION", "BEGIN WORK", "COMMIT AND CHAIN"):
            for call in (self.rpc.query, self.rpc.stream):
                self.assert_fails(Code.INVALID_ARGUMENT, call, sql, executed="no")
        self.assertEqual(self.rpc.rows("SELECT 'BEGIN' AS \"COMMIT\" -- ROLLBACK"), [("BEGIN",)])
        self.assert_untouched()

    def test_Fault51_stacked_statements_are_refused(self):
        for sql in ("SELECT 1; DROP TABLE t", "select 1; drop table t;", "SELECT 1;;SELECT 2", "SELECT 1; -- x\nSELECT 2",
                    "UPDATE t SET b = 2; UPDATE t SET b = 3", "SELECT ';'; DELETE FROM t", "SELECT 1; garbage",
                    "SELECT 1;\ufeffDROP TABLE t", "SELECT 1;/**/DROP TABLE t"):
            for call in (self.rpc.query, self.rpc.stream):
                with self.subTest(sql=sql):
                    failure = self.assert_fails(Code.INVALID_ARGUMENT, call, sql, executed="no")
                    self.assertIn(failure.reason, ("STATEMENT_REFUSED", "TRANSACTION_CONTROL_REFUSED"))
        for sql in ("SELECT 1;", "SELECT 1 ; -- end", "SELECT 1;;; /* end */ ;", "/* begin */ SELECT 1"):
            self.assertEqual(self.rpc.rows(sql), [(1,)], sql)
        self.assertEqual(self.rpc.rows("SELECT ';' -- ; DROP TABLE t"), [(";",)])
        self.assert_untouched()

    def test_Fault67_what_reaches_beyond_the_database_is_refused_and_writes_nothing(self):
        outside = self.folder / "outside"
        outside.mkdir()
        victim = outside / "victim.db"
        before = sorted(path.name for path in self.server.data_dir.iterdir())
        for sql in (f"ATTACH '{victim}' AS x", "ATTACH ':memory:' AS x", f"VACUUM INTO '{victim}'", "VACUUM",
                    f"/**/vAcUuM/**/into '{victim}'", "DETACH main", "PRAGMA journal_mode", "PRAGMA query_only=0",
                    "PRAGMA writable_schema=1", "PRAGMA hard_heap_limit=1", f"PRAGMA temp_store_directory='{outside}'",
                    "SELECT load_extension('x')", "SELECT fts3_tokenizer('simple')", "EXPLAIN ATTACH 'x' AS x",
                    "SELECT * FROM pragma_journal_mode"):
            self.assert_refused(Code.PERMISSION_DENIED, None, sql)
        self.assert_refused(Code.PERMISSION_DENIED, None, "ATTACH ?1 AS x", str(victim))
        self.assert_refused(Code.PERMISSION_DENIED, None, "VACUUM INTO ?1", str(victim))
        self.assert_refused(Code.PERMISSION_DENIED, None, "SELECT load_extension(?1, ?2)", "a", "b")
        self.assert_refused(Code.PERMISSION_DENIED, None, "SELECT fts3_tokenizer(?1, ?2)", "simple", b"A" * 8)
        self.assertEqual(list(outside.iterdir()), [])
        self.assertEqual(sorted(path.name for path in self.server.data_dir.iterdir()), before)
        self.assert_untouched()


class RequestTest(rpc.TestCase):
    """Requests as no honest client would send them."""

    QUERY = "/sluice.v1.QueryService/Query"

    def raw(self, client, data, timeout=harness.CALL_SECONDS):
        return client.channel.unary_unary(self.QUERY)(data, timeout=timeout)

    def test_Fault52_too_many_or_too_large_parameters_are_refused_before_anything_runs(self):
        server = self.start("--limits-request-bytes", "80MiB")
        client = self.client(server)
        for call in (client.query, client.stream):
            for count in (40_000, 70_000):
                self.assert_fails(Code.INVALID_ARGUMENT, call, "SELECT ?1", *[1] * count, executed="no")
                self.assert_fails(Code.INVALID_ARGUMENT, call, f"SELECT ?{count}", *[1] * count, executed="no")
            failure = self.assert_fails((Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT), call, "SELECT length(?1)",
                                        bytes((65 << 20) + 1), executed="no")
            self.assertEqual(failure.reason, "VALUE_TOO_LARGE")
        self.assertEqual(client.rows("SELECT length(?1)", bytes(64 << 20)), [(64 << 20,)])

    def test_Fault52_nul_in_text_is_kept_and_bad_utf8_is_refused(self):
        server = self.start()
        client = self.client(server)
        client.query("CREATE TABLE t(a)")
        client.query("INSERT INTO t VALUES(?1)", "a\0b\0")
        self.assertEqual(client.rows("SELECT a, length(CAST(a AS BLOB)) FROM t"), [("a\0b\0", 4)])
        bad = b"\xff\xfe\xc0\x80"
        for field in (query_pb2.QueryRequest(connection_id="default", sql="SELECT 'AAAA'"),
                      query_pb2.QueryRequest(connection_id="default", sql="SELECT ?1",
                                             params=[value_pb2.Value(string_value="AAAA")]),
                      query_pb2.QueryRequest(connection_id="AAAA", sql="SELECT 1"),
                      query_pb2.QueryRequest(connection_id="default", sql="SELECT 1", labels={"AAAA": "x"})):
            data = field.SerializeToString().replace(b"AAAA", bad)
            self.assert_fails((Code.INVALID_ARGUMENT, Code.INTERNAL), self.raw, client, data,
                              reason="REQUEST_UNPARSABLE", executed="no")
        self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELECT '\0'")
        self.assertEqual(client.rows("SELECT 1"), [(1,)])

    def test_Fault77_too_large_garbled_or_deep_messages_end_one_call_only(self):
        server = self.start()
        client = self.client(server)
        large = query_pb2.QueryRequest(connection_id="default", sql="SELECT 1",
                                       params=[value_pb2.Value(bytes_value=b"secret" * (3 << 20))])
        self.assert_fails(Code.RESOURCE_EXHAUSTED, self.raw, client, large.SerializeToString())
        for garbage in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"secret" * 100, b"\x07"):
            self.assert_fails((Code.INVALID_ARGUMENT, Code.INTERNAL), self.raw, client, garbage)
        for depth in (33, 60, 200, 20_000):
            data = b"\x0a\x07default\x12\x08SELECT 1" + self.field(3, self.nested(depth))
            failure = self.assert_fails((Code.INVALID_ARGUMENT, Code.INTERNAL), self.raw, client, data)
            self.assertNotIn("secret", failure.message)
        self.assertEqual(client.rows("SELECT 1"), [(1,)])
        self.assertNotIn("secret", server.errors())

    @staticmethod
    def field(number, payload):
        """A length-delimited field on the wire."""
        length, size = bytearray(), len(payload)
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        length.append(size)
        tag = number << 3 | 2
        head = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
        return head + bytes(length) + payload

    def nested(self, depth):
        value = self.field(6, b"secret")
        for _ in range(depth):
            value = self.field(16, self.field(4, value))
        return value


class RunawayTest(rpc.TestCase):
    def test_Fault66_runaway_sql_ends_while_neighbours_stay_fast(self):
        server = self.start("--command-timeout", "20s")
        client, neighbour = self.client(server), self.client(server)
        client.query("CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT)")
        client.query(f"INSERT INTO item {ENDLESS.format('n, hex(n)')} LIMIT 1000")
        endless = [ENDLESS.format("count(*)"), f"INSERT INTO item {ENDLESS.format('n + 5000, zeroblob(100)')}",
                   "SELECT count(*) FROM item a, item b, item c, item d WHERE a.name || b.name = c.name || d.id",
                   "SELECT max(length(hex(randomblob(n * 0 + 100)))) FROM (" + ENDLESS.format("n") + ")"]
        took, done = [], threading.Event()

        def point_reads():
            while not done.is_set():
                begin = time.monotonic()
                self.assertEqual(len(neighbour.query("SELECT name FROM item WHERE id = ?1", 7).rows), 1)
                took.append(time.monotonic() - begin)

        reader = threading.Thread(target=point_reads)
        reader.start()
        try:
            for sql in endless:
                with self.subTest(sql=sql):
                    begin = time.monotonic()
                    self.assert_fails(Code.DEADLINE_EXCEEDED, client.query, sql, timeout=0.5)
                    self.assertLess(time.monotonic() - begin, 0.5 + 1 * harness.PATIENCE)
            self.await_idle(client, 1 * harness.PATIENCE + 1)
        finally:
            done.set()
            reader.join()
        self.assertGreater(len(took), 20)
        self.assertLess(statistics.median(took), 0.05 * harness.PATIENCE)
        self.assertLess(max(took), 1 * harness.PATIENCE)
        self.assertEqual(client.rows("SELECT count(*) FROM item"), [(1000,)])

    def test_Fault66_values_that_explode_are_cut_at_the_limit(self):
        server = self.start()
        client = self.client(server)
        for sql in ("SELECT zeroblob(1000000000)", "SELECT printf('%.*c', 1000000000, 'x')",
                    "SELECT hex(zeroblob(60000000))", "SELECT replace(hex(zeroblob(30000)), '0', hex(zeroblob(30000)))",
                    "SELECT group_concat(hex(zeroblob(1000000))) FROM (" + ENDLESS.format("n") + " LIMIT 100)"):
            for call in (client.query, client.stream):
                with self.subTest(sql=sql, call=call.__name__):
                    failure = self.assert_fails((Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT), call, sql)
                    self.assertIn(failure.executed, ("no", "rolled_back"))
        if not harness.SANITIZED:
            self.assertLess(server.memory(), 400)
        self.assertEqual(client.rows("SELECT 1"), [(1,)])

    def test_Fault66_the_servers_own_limit_ends_what_has_no_deadline(self):
        server = self.start("--command-timeout", "1s")
        client = self.client(server)
        begin = time.monotonic()
        self.assert_fails(Code.DEADLINE_EXCEEDED, client.query, ENDLESS.format("count(*)"), timeout=None,
                          reason="DEADLINE_PASSED", executed="no")
        self.assertLess(time.monotonic() - begin, 1 + 1 * harness.PATIENCE)


if __name__ == "__main__":
    harness.main()
