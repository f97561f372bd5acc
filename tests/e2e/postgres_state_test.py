"""What a statement does to its session, or the database to a statement, the next caller does not meet."""
import harness
import postgres_case
import rpc
import transactions
from postgres_case import Load
from rpc import Code


class PostgresStateTest(postgres_case.TestCase):
    schema = (f"{postgres_case.TestCase.schema}; CREATE TABLE v(a int); INSERT INTO v VALUES(1); "
              "CREATE PROCEDURE ends_it() LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES(45, 'kept'); COMMIT; "
              "INSERT INTO t VALUES(46, 'lost'); RAISE 'no'; END$$")
    options = "?pool_max=3&pool_overflow=0"

    def test_Fault45_no_statement_leaves_a_transaction_open(self):
        for sql in ("DO $$BEGIN COMMIT; END$$", "DO $$BEGIN INSERT INTO t VALUES(1, 'x'); COMMIT; PERFORM 1/0; END$$",
                    "CALL ends_it()", "DO $$BEGIN EXECUTE 'BEGIN'; END$$", "DO $$BEGIN EXECUTE 'COMMIT'; END$$",
                    "SELECT 1; BEGIN", "PREPARE TRANSACTION 'x'", "/* x */ BEGIN", "START TRANSACTION", "END", "ABORT"):
            try:
                self.rpc.query(sql)
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
                self.assertNotIn(failure.code, (Code.UNAVAILABLE, Code.INTERNAL), failure)
                if "COMMIT;" in sql or "CALL" in sql:
                    self.assertEqual(failure.executed, "unknown", f"{sql} committed inside")
            for _ in range(4):
                self.rpc.query("SELECT 1 /* advisory */")
                self.assertEqual(self.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'"), "0", sql)
        self.assertEqual(self.content(), {1, 45})

    def test_Fault48_a_plan_that_no_longer_fits_is_made_anew(self):
        types = ("bigint", "text", "int", "numeric")
        read = {"bigint": 1, "int": 1, "text": "1", "numeric": "1"}
        answers = set()

        def ask(client, number, count):
            sql = "SELECT a FROM v" if number % 2 else "SELECT a FROM v /* advisory */"
            response = client.query(sql)
            [(value, )] = rpc.rows_of(response)
            if value not in (1, "1"):
                raise AssertionError(f"read {value!r}")
            answers.add((response.columns[0].native_type, type(value)))

        with Load(self.server.address, ask, count=4) as load:
            for number in range(12):
                self.psql(f"ALTER TABLE v ALTER a TYPE {types[number % len(types)]} USING a::{types[number % len(types)]}")
                harness.wait_for(lambda goal=load.calls + 20: load.calls > goal or load.faults or load.failures, 20,
                                 "reads go on")
        self.assertEqual((load.failures, load.faults), ([], []))
        self.assertGreater(len(answers), 2)
        for name, kind in answers:
            self.assertIs(kind, type(read[{"integer": "int"}.get(name, name)]), answers)

    def test_Fault48_in_a_transaction_it_is_aborted(self):
        begun = transactions.begin(self.rpc)
        begun.query("SELECT a FROM v")
        begun.rollback()
        begun = transactions.begin(self.rpc)
        begun.query("SELECT 1")
        self.psql("ALTER TABLE v ALTER a TYPE text")
        failure = self.failure(begun.query, "SELECT a FROM v")
        self.assertEqual((failure.code, failure.executed), (Code.ABORTED, "rolled_back"), failure)
        self.assertEqual(self.rpc.rows("SELECT a FROM v"), [("1", )])

    def test_Fault50_copy_is_refused_and_spins_nowhere(self):
        for sql in ("COPY t TO STDOUT", "copy t to stdout", "COPY t FROM STDIN", "COPY (SELECT 1) TO STDOUT",
                    "/* x */ COPY t TO STDOUT", "DO $$BEGIN EXECUTE 'COPY t TO STDOUT'; END$$"):
            failure = self.failure(self.rpc.query, sql, timeout=10)
            # A DO may have committed something before.
            self.assertEqual(failure.executed, "unknown" if sql.startswith("DO") else "no", sql)
            if not sql.startswith("DO"):
                self.assertEqual((failure.code, failure.executed), (Code.INVALID_ARGUMENT, "no"), failure)
            begun = transactions.begin(self.rpc)
            self.failure(begun.query, sql, timeout=10)
            begun.rollback()
        self.assert_answers()

    def test_a_write_whose_answer_is_too_large_is_not_told_undone(self):
        for key, hint in ((1, ""), (2, "/* advisory */")):
            try:
                self.rpc.query(f"INSERT INTO t VALUES($1, repeat('x', 5000000)) RETURNING b {hint}", key)
                self.assertIn(key, self.content())
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
                self.assertEqual(key in self.content(), failure.executed not in ("no", "rolled_back"), failure)


if __name__ == "__main__":
    harness.main()
