"""BulkInsert: a whole database through it, its errors, its modes, its memory, and clients that keep it waiting."""
import contextlib
import os
import sqlite3
import threading
import time

import harness
import loads
import rpc
from chinook_test import CHINOOK, as_typed
from rpc import Code, query_pb2

ROWS_PER_CHUNK = 500
MEMORY_MIB = 100
LOAD_MB = 200 if not harness.SANITIZED else 20


class BulkTestCase(rpc.TestCase):
    flags = ()

    def setUp(self):
        super().setUp()
        self.data_dir = self.folder / "data"
        self.connect(self.start(*self.flags, data_dir=self.data_dir, listen=f"unix:{self.folder}/s.sock"))

    def connect(self, server):
        self.server, self.rpc = server, self.client(server)

    def load(self, messages, timeout=harness.CALL_SECONDS):
        return self.rpc.queries.BulkInsert(iter(messages), timeout=timeout)

    def content(self, table="t"):
        return self.rpc.stream_rows(f"SELECT * FROM {table} ORDER BY rowid")


class ChinookTest(rpc.TestCase):
    """The same database again, made of its schema and its rows."""

    def setUp(self):
        super().setUp()
        harness.need(CHINOOK.is_file(), optional=True,
                     install=f"SLUICE_CHINOOK=PATH names the Chinook SQLite file; there is none at {CHINOOK}")
        self.oracle = self.enterContext(contextlib.closing(sqlite3.connect(f"file:{CHINOOK}?immutable=1", uri=True)))

    def schema(self, database):
        return database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()

    def tables(self):
        """Those that others refer to come first."""
        names = [name for kind, name, _, _ in self.schema(self.oracle) if kind == "table"]
        ordered = []
        while len(ordered) < len(names):
            for name in names:
                needed = {row[2] for row in self.oracle.execute(f'PRAGMA foreign_key_list("{name}")')} - {name}
                if name not in ordered and needed <= set(ordered):
                    ordered.append(name)
        return ordered

    def test_a_database_is_rebuilt_value_for_value(self):
        copy = self.folder / "original.db"
        copy.write_bytes(CHINOOK.read_bytes())
        source = self.client(self.start(database=copy))
        target_server = self.start()
        target = self.client(target_server)
        for kind in ("table", "index"):
            for found, _, _, sql in self.schema(self.oracle):
                if found == kind and sql:
                    target.query(sql)
        for mode in (loads.ATOMIC, loads.CONTINUE):
            for name in reversed(self.tables()):
                target.query(f'DELETE FROM "{name}"')
            for name in self.tables():
                self.carry_over(source, target, name, mode)
            self.assert_same(target)
        self.assert_keys_are_enforced(target)
        self.assertEqual(target_server.terminate(), 0)
        with contextlib.closing(sqlite3.connect(target_server.database)) as rebuilt:
            self.assertEqual(self.schema(rebuilt), self.schema(self.oracle))
            self.assertEqual(rebuilt.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.assertEqual(rebuilt.execute("PRAGMA foreign_key_check").fetchall(), [])
            for name in self.tables():
                sql = f'SELECT rowid, * FROM "{name}"'
                self.assertEqual(as_typed(rebuilt.execute(sql)), as_typed(self.oracle.execute(sql)))

    def carry_over(self, source, target, name, mode):
        """From one server into the other as it comes."""
        count = 0

        def messages():
            nonlocal count
            yield loads.header(name, mode=mode)
            rows = []
            for _, row in rpc.joined(source.stream(f'SELECT * FROM "{name}" ORDER BY rowid')):
                count += 1
                rows.append(row)
                if len(rows) == ROWS_PER_CHUNK:
                    yield loads.chunk(rows)
                    rows = []
            yield loads.chunk(rows)

        response = target.queries.BulkInsert(messages(), timeout=harness.CALL_SECONDS)
        self.assertEqual((response.rows_received, response.rows_affected, response.chunks_failed), (count, count, 0))
        self.assertGreater(count, 0)

    def assert_same(self, target):
        for name in self.tables():
            sql = f'SELECT * FROM "{name}" ORDER BY rowid'
            self.assertEqual(as_typed(target.stream_rows(sql)), as_typed(self.oracle.execute(sql).fetchall()), name)

    def assert_keys_are_enforced(self, target):
        count = target.rows("SELECT count(*) FROM Album")
        rows = [(1001, "Behind the Rows", 1), (1002, "Of Nobody", 1_000_000)]
        failure = self.assert_fails(Code.FAILED_PRECONDITION, target.queries.BulkInsert,
                                    iter(loads.messages("Album", [rows])), executed="rolled_back", timeout=30)
        self.assertEqual(failure.sql.engine_code, "SQLITE_CONSTRAINT_FOREIGNKEY")
        self.assertEqual(target.rows("SELECT count(*) FROM Album"), count)


class ErrorTest(BulkTestCase):
    def setUp(self):
        super().setUp()
        self.rpc.query("CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT NOT NULL, total REAL)")

    def assert_refused(self, messages, code, reason, words=(), row=None):
        failure = self.assert_fails(code, self.load, messages, reason=reason)
        self.assertIn(failure.executed, ("no", "rolled_back"))
        for word in words:
            self.assertIn(word, failure.message)
        self.assertEqual(failure.info.metadata.get("row"), row, failure)
        self.assertEqual(self.content("orders"), [])
        return failure

    def test_header_fields_after_the_first_message_are_refused(self):
        first = loads.header("orders", [(1, "a", 1.0)])
        for fields in ({"table": "orders"}, {"connection_id": "default"}, {"columns": ["id"]}, {"schema": "main"},
                       {"mode": loads.CONTINUE}, {"request_id": "123e4567-e89b-12d3-a456-426614174000"},
                       {"max_affected_rows": 1}, {"validate_only": True}, {"labels": {"a": "b"}},
                       {"on_conflict": query_pb2.CONFLICT_ACTION_SKIP}):
            with self.subTest(fields=fields):
                later = query_pb2.BulkInsertRequest(rows=loads.encoded([(2, "b", 2.0)]), **fields)
                self.assert_refused([first, later], Code.INVALID_ARGUMENT, "PARAMETER_INVALID", [*fields])

    def test_an_unknown_table_is_told_with_the_nearest_name(self):
        failure = self.assert_refused(loads.messages("order", [[(1, "a", 1.0)]]), Code.NOT_FOUND, "TABLE_NOT_FOUND",
                                      ["order"])
        self.assertEqual(failure.info.metadata["nearest"], "orders")
        self.assert_refused(loads.messages("", [[(1, "a", 1.0)]]), Code.INVALID_ARGUMENT, "PARAMETER_INVALID",
                            ["table"])
        self.assert_refused(loads.messages("orders", [[(1, "a", 1.0)]], schema="other"), Code.NOT_FOUND,
                            "TABLE_NOT_FOUND", ["other"])
        self.assert_refused(loads.messages("orders", [[(1, "a", 1.0)]], connection_id="none"), Code.NOT_FOUND,
                            "CONNECTION_NOT_FOUND")

    def test_unknown_columns_are_told(self):
        self.assert_refused(loads.messages("orders", [[(1, "a")]], columns=["id", "custom"]), Code.INVALID_ARGUMENT,
                            "PARAMETER_INVALID", ["columns[1]", "custom"])
        self.assert_refused(loads.messages("orders", [[(1, 2)]], columns=["id", "ID"]), Code.INVALID_ARGUMENT,
                            "PARAMETER_INVALID", ["columns[1]", "twice"])

    def test_a_row_with_the_wrong_number_of_values_is_named(self):
        for wrong in ((3, "c"), (3, "c", 1.0, 1), ()):
            chunks = [[(1, "a", 1.0), (2, "b", 1.0)], [(4, "d", 1.0), wrong, (5, "e", 1.0)]]
            self.assert_refused(loads.messages("orders", chunks), Code.INVALID_ARGUMENT, "PARAMETER_INVALID",
                                ["values"], row="3")

    def test_a_row_that_breaks_a_constraint_is_named(self):
        good = [(n, "a", 1.0) for n in range(300)]
        for row, code, engine_code in (((400, None, 1.0), Code.INVALID_ARGUMENT, "SQLITE_CONSTRAINT_NOTNULL"),
                                       ((7, "again", 1.0), Code.ALREADY_EXISTS, "SQLITE_CONSTRAINT_PRIMARYKEY")):
            failure = self.assert_refused(loads.messages("orders", [good[:200], [*good[200:], row]]), code, "SQL_ERROR",
                                          row="300")
            self.assertEqual(failure.sql.engine_code, engine_code)

    def test_more_rows_than_allowed_are_rolled_back(self):
        rows = [(n, "a", 1.0) for n in range(4)]
        self.assert_refused(loads.messages("orders", [rows[:2], rows[2:]], max_affected_rows=3),
                            Code.FAILED_PRECONDITION, "AFFECTED_ROWS_EXCEEDED")
        self.assertEqual(self.load(loads.messages("orders", [rows], max_affected_rows=4)).rows_affected, 4)

    def test_an_atomic_load_that_failed_is_answered_while_its_client_goes_on(self):
        ended = threading.Event()

        def messages():
            yield loads.header("orders", [(1, None, 1.0)])
            while not ended.wait(0.01):
                yield loads.chunk([(2, "b", 1.0)])

        try:
            self.assert_refused(messages(), Code.INVALID_ARGUMENT, "SQL_ERROR", row="0")
        finally:
            ended.set()

    def test_an_atomic_load_that_failed_is_told_to_a_client_that_sends_nothing_more(self):
        released = threading.Event()
        self.addCleanup(released.set)

        def messages():
            yield loads.header("orders", [(1, None, 1.0)])
            released.wait()

        call = self.rpc.queries.BulkInsert.future(messages(), timeout=harness.CALL_SECONDS)
        # Long before it would be idle for too long.
        harness.wait_for(call.done, 3, "the client is told")
        failure = rpc.Failure(call.exception())
        self.assertEqual((failure.reason, failure.executed), ("SQL_ERROR", "rolled_back"), failure)


class ModeTest(BulkTestCase):
    def setUp(self):
        super().setUp()
        self.rpc.query("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL)")

    def outcomes(self, response):
        return [(each.chunk, each.rows, each.rows_affected, each.replayed, each.error.reason,
                 each.error.metadata.get("row")) for each in response.chunks]

    def test_continue_tells_each_chunk_and_goes_on(self):
        chunks = [[(1, "a"), (2, "b")], [(3, "c"), (4, None)], [(5, "e")], [(6, "f"), (1, "again")], [(7, "g")]]
        response = self.load(loads.messages("t", chunks, mode=loads.CONTINUE))
        self.assertEqual(self.outcomes(response),
                         [(0, 2, 2, False, "", None), (1, 2, 0, False, "SQL_ERROR", "3"),
                          (2, 1, 1, False, "", None), (3, 2, 0, False, "SQL_ERROR", "6"),
                          (4, 1, 1, False, "", None)])
        self.assertEqual([each.error.code for each in response.chunks],
                         [0, Code.INVALID_ARGUMENT.value[0], 0, Code.ALREADY_EXISTS.value[0], 0])
        self.assertEqual((response.rows_received, response.rows_affected, response.chunk_count,
                          response.chunks_failed), (8, 4, 5, 2))
        self.assertEqual(self.content(), [(1, "a"), (2, "b"), (5, "e"), (7, "g")])

    def test_stop_on_error_takes_nothing_behind_the_first_failure(self):
        ended = threading.Event()

        def messages():
            yield from loads.messages("t", [[(1, "a")], [(2, "b"), (3, None)]], mode=loads.STOP_ON_ERROR)
            number = 10
            while not ended.wait(0.001):
                number += 1
                yield loads.chunk([(number, "behind")])

        try:
            response = self.load(messages())
        finally:
            ended.set()
        self.assertEqual(self.outcomes(response), [(0, 1, 1, False, "", None), (1, 2, 0, False, "SQL_ERROR", "2")])
        self.assertEqual((response.rows_affected, response.chunks_failed), (1, 1))
        self.assertEqual(self.content(), [(1, "a")])

    def test_a_load_that_ends_with_an_error_does_not_deny_the_chunks_that_are_there(self):
        for mode in (loads.CONTINUE, loads.STOP_ON_ERROR):
            for number, later in enumerate((loads.header("t", [(9, "x")]), query_pb2.BulkInsertRequest(table="t"))):
                self.rpc.query("DELETE FROM t")

                def messages(first=loads.header("t", [(1, "a")], mode=mode), later=later):
                    yield first
                    harness.wait_for(lambda: self.content() == [(1, "a")], 10, "the chunk is there")
                    yield later

                with self.subTest(mode=mode, number=number):
                    self.assert_fails(Code.INVALID_ARGUMENT, self.load, messages(), reason="PARAMETER_INVALID",
                                      executed="unknown")
                    self.assertEqual(self.content(), [(1, "a")])

    def test_atomic_is_the_default_and_keeps_nothing_of_a_failure(self):
        chunks = [[(1, "a")], [(2, "b"), (3, None)]]
        for fields in ({}, {"mode": loads.ATOMIC}):
            self.assert_fails(Code.INVALID_ARGUMENT, self.load, loads.messages("t", chunks, **fields),
                              reason="SQL_ERROR", executed="rolled_back")
        self.assertEqual(self.content(), [])

    def test_a_trial_tells_what_would_be_and_keeps_nothing(self):
        for mode in (loads.ATOMIC, loads.CONTINUE):
            response = self.load(loads.messages("t", [[(1, "a")], [(2, "b")]], mode=mode, validate_only=True))
            self.assertEqual((response.rows_affected, response.chunks_failed), (2, 0))
            self.assertEqual(self.content(), [])

    def test_taken_keys_are_skipped_or_updated(self):
        self.load(loads.messages("t", [[(1, "a"), (2, "b")]]))
        response = self.load(loads.messages("t", [[(2, "x")], [(3, "c")]],
                                            on_conflict=query_pb2.CONFLICT_ACTION_SKIP))
        self.assertEqual((response.rows_affected, response.rows_skipped), (1, 1))
        response = self.load(loads.messages("t", [[(2, "y"), (4, "d")]],
                                            on_conflict=query_pb2.CONFLICT_ACTION_UPDATE))
        self.assertEqual((response.rows_affected, response.rows_skipped), (2, 0))
        self.assertEqual(self.content(), [(1, "a"), (2, "y"), (3, "c"), (4, "d")])

    def test_outcomes_beyond_a_thousand_are_those_that_failed(self):
        chunks = [[(n, None if n >= 900 and n % 3 == 0 else "x")] for n in range(1600)]
        response = self.load(loads.messages("t", chunks, mode=loads.CONTINUE))
        failed = [n for n in range(900, 1600) if n % 3 == 0]
        self.assertEqual([each.chunk for each in response.chunks], [*range(1000), *[n for n in failed if n >= 1000]])
        self.assertEqual((response.chunk_count, response.chunks_failed, response.rows_affected),
                         (1600, len(failed), 1600 - len(failed)))

    def break_off(self, chunks, wanted, **fields):
        """Sends chunks but never the end, and goes away once `wanted` rows are there."""
        released = threading.Event()

        def messages():
            yield from loads.messages("t", chunks, **fields)
            released.wait()

        with rpc.Client(self.server.address) as other:
            call = other.queries.BulkInsert.future(messages(), timeout=harness.CALL_SECONDS)
            try:
                harness.wait_for(lambda: self.rpc.rows("SELECT count(*) FROM t") == [(wanted,)], 10, "rows are there")
                call.cancel()
            finally:
                released.set()

    def test_a_load_that_broke_off_is_sent_again_and_only_what_is_missing_is_inserted(self):
        for number, mode in enumerate((loads.CONTINUE, loads.STOP_ON_ERROR)):
            for killed in (False, True):
                with self.subTest(mode=mode, killed=killed):
                    self.rpc.query("DELETE FROM t")
                    fields = {"mode": mode, "request_id": f"123e4567-e89b-12d3-a456-42661417400{number * 2 + killed}"}
                    chunks = [[(n * 10 + i, f"chunk {n}") for i in range(5)] for n in range(6)]
                    self.break_off(chunks[:3], 15, **fields)
                    if killed:
                        self.server.kill()
                        self.connect(self.start(data_dir=self.data_dir, listen=self.server.address))
                    response = self.load(loads.messages("t", chunks, **fields))
                    self.assertEqual([each.replayed for each in response.chunks], [True] * 3 + [False] * 3)
                    self.assertEqual((response.rows_received, response.rows_affected, response.chunks_failed),
                                     (30, 30, 0))
                    self.assertEqual(self.content(), [row for rows in chunks for row in rows])
                    response = self.load(loads.messages("t", chunks, **fields))
                    self.assertEqual([each.replayed for each in response.chunks], [True] * 6)
                    self.assertEqual(self.rpc.rows("SELECT count(*) FROM t"), [(30,)])


class MemoryTest(BulkTestCase):
    def test_a_large_load_takes_bounded_memory(self):
        self.rpc.query("CREATE TABLE t(n INTEGER, value BLOB)")
        rows = [(n, os.urandom(1000)) for n in range(250)]
        first, later = loads.header("t", rows), loads.chunk(rows)
        for mode in (loads.ATOMIC, loads.CONTINUE):
            with self.subTest(mode=mode):
                first.mode = mode
                count = LOAD_MB * 4
                response = self.load((first if n == 0 else later for n in range(count)), timeout=120 * harness.PATIENCE)
                self.assertEqual((response.rows_affected, response.chunk_count), (250 * count, count))
                if not harness.SANITIZED:
                    self.assertLess(self.server.memory(), MEMORY_MIB)
                self.assertEqual(self.rpc.rows("SELECT count(*), sum(length(value)) FROM t"),
                                 [(250 * count, 250_000 * count)])
                self.rpc.query("DELETE FROM t")


class IdleTest(BulkTestCase):
    flags = ("--sqlite-load-idle", "300ms", "--sqlite-load-limit", "1500ms")

    def setUp(self):
        super().setUp()
        self.rpc.query("CREATE TABLE t(a)")
        self.rpc.query("CREATE TABLE other(a)")
        self.released = threading.Event()
        self.addCleanup(self.released.set)

    def messages(self, pause=None, **fields):
        """One chunk, then silence; or one after each pause."""
        yield loads.header("t", [(1,)], **fields)
        while not self.released.wait(pause):
            yield loads.chunk([(2,)])

    def begin(self, messages):
        """A load that has the writer."""
        call = self.rpc.queries.BulkInsert.future(messages, timeout=harness.CALL_SECONDS)
        harness.wait_for(lambda: self.rpc.load().active, 10, "the load runs")
        return call

    def assert_expired(self, call, words):
        failure = rpc.Failure(call.exception())
        self.assertEqual((failure.code, failure.reason, failure.executed),
                         (Code.ABORTED, "TRANSACTION_EXPIRED", "rolled_back"), failure)
        self.assertIn(words, failure.message)
        self.assertEqual(self.content(), [])

    def test_a_client_that_sends_nothing_is_expired_and_others_write_on(self):
        begin = time.monotonic()
        call = self.begin(self.messages())
        self.rpc.query("INSERT INTO other VALUES(0)")
        took = time.monotonic() - begin
        self.assertGreater(took, 0.2, "the load had the writer")
        self.assertLess(took, 0.3 + 1 * harness.PATIENCE)
        for number in range(1, 20):
            self.rpc.query("INSERT INTO other VALUES(?1)", number)
        harness.wait_for(call.done, 2 * harness.PATIENCE, "its client is told at once, though it sends nothing")
        self.assert_expired(call, "300ms")
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM other"), [(20,)])

    def test_a_client_that_only_trickles_is_expired_when_the_load_is_too_old(self):
        begin = time.monotonic()
        call = self.begin(self.messages(pause=0.05))
        self.rpc.query("INSERT INTO other VALUES(1)")
        took = time.monotonic() - begin
        self.assertGreater(took, 1.4)
        self.assertLess(took, 1.5 + 1 * harness.PATIENCE)
        self.assert_expired(call, "1.5s")

    def test_a_load_by_chunks_keeps_no_one_waiting_and_does_not_expire(self):
        call = self.rpc.queries.BulkInsert.future(self.messages(mode=loads.CONTINUE), timeout=harness.CALL_SECONDS)
        harness.wait_for(lambda: self.content() == [(1,)], 10, "the chunk is there")
        end = time.monotonic() + 1
        while time.monotonic() < end:  # longer than an atomic load may be silent
            self.rpc.query("INSERT INTO other VALUES(1)")
        self.assertFalse(call.done())
        self.released.set()
        self.assertEqual(call.result().rows_affected, 1)

    def test_a_load_that_has_sent_no_row_keeps_no_one_waiting(self):
        sent = threading.Event()

        def messages():
            yield loads.header("t")
            sent.set()
            self.released.wait()
            yield loads.chunk([(1,)])

        call = self.rpc.queries.BulkInsert.future(messages(), timeout=harness.CALL_SECONDS)
        self.assertTrue(sent.wait(10))
        end = time.monotonic() + 1
        while time.monotonic() < end:  # had it the writer, it would expire
            self.rpc.query("INSERT INTO other VALUES(1)")
        self.released.set()
        self.assertEqual(call.result().rows_affected, 1)


class SilenceTest(BulkTestCase):
    flags = ("--limits-stream-idle", "500ms")

    def setUp(self):
        super().setUp()
        self.rpc.query("CREATE TABLE t(a)")
        self.released = threading.Event()
        self.addCleanup(self.released.set)

    def silent(self, *parts):
        yield from parts
        self.released.wait()

    def test_a_call_whose_client_never_begins_is_ended(self):
        call = self.rpc.queries.BulkInsert.future(self.silent(), timeout=harness.CALL_SECONDS)
        harness.wait_for(call.done, 5 * harness.PATIENCE, "it is ended")
        failure = rpc.Failure(call.exception())
        self.assertEqual((failure.code, failure.reason, failure.executed),
                         (Code.CANCELLED, "STREAM_STALLED", "no"), failure)

    def test_a_load_by_chunks_whose_client_falls_silent_is_ended_and_its_chunks_stay(self):
        for mode in (loads.CONTINUE, loads.STOP_ON_ERROR):
            call = self.rpc.queries.BulkInsert.future(self.silent(loads.header("t", [(1,)], mode=mode)),
                                                      timeout=harness.CALL_SECONDS)
            harness.wait_for(call.done, 5 * harness.PATIENCE, "it is ended")
            failure = rpc.Failure(call.exception())
            self.assertEqual((failure.code, failure.reason, failure.executed),
                             (Code.CANCELLED, "STREAM_STALLED", "unknown"), failure)
        self.assertEqual(self.content(), [(1,), (1,)])

    def test_a_message_that_cannot_be_read_does_not_deny_the_chunks_before_it(self):
        method = self.rpc.channel.stream_unary("/sluice.v1.QueryService/BulkInsert")

        def messages(mode):
            yield loads.header("t", [(1,)], mode=mode).SerializeToString()
            if mode == loads.CONTINUE:
                harness.wait_for(lambda: self.content() == [(1,)], 10, "the chunk is there")
            yield b"\xff\xff\xff"

        for mode, executed in ((loads.CONTINUE, "unknown"), (loads.ATOMIC, "rolled_back")):
            self.assert_fails(Code.INTERNAL, method, messages(mode), timeout=harness.CALL_SECONDS,
                              reason="REQUEST_UNPARSABLE", executed=executed)
        self.assertEqual(self.content(), [(1,)])


if __name__ == "__main__":
    harness.main()
