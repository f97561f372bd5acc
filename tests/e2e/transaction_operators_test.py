"""Transactions as operators see them: shown, listed and ended."""
import time

import harness
import rpc
import transactions
from rpc import Code, common_pb2
from transactions import begin, begin_with, call, seconds_of, state_of

SECRET = "do not show"


class ShowTest(transactions.TestCase):
    def shown(self, transaction):
        return call(self.rpc, "GetTransaction", handle=transaction.handle).transaction

    def test_an_open_one_is_shown_by_id_and_by_handle(self):
        before = time.time()
        transaction = begin(self.rpc, label="payroll")
        fresh = self.shown(transaction)
        self.assertEqual((fresh.handle, fresh.label, fresh.connection_name, state_of(fresh), fresh.statements),
                         (transaction.handle, "payroll", "default", "ACTIVE", 0))
        self.assertEqual((fresh.read_only, fresh.interactive, fresh.busy, fresh.holds_writer, fresh.waiting_calls),
                         (False,) * 4 + (0,))
        self.assertFalse(fresh.HasField("waits_for") or fresh.HasField("holds_writer_for"))
        self.assertEqual((fresh.last_statement, fresh.fingerprint, fresh.savepoints), ("", "", 0))
        self.assertEqual(fresh.isolation, self.engine.in_force[transactions.UNSPECIFIED])
        self.assertRegex(fresh.holder, r"127\.0\.0\.1:\d+$")
        self.assertAlmostEqual(fresh.begin_time.ToNanoseconds() / 1e9, before, delta=5 * harness.PATIENCE)
        self.assertTrue(25 < seconds_of(fresh.expires_in) <= 30, fresh.expires_in)
        self.assertEqual(self.rpc.load().handle, fresh.connection_handle)

        transaction.query("INSERT INTO t VALUES(1, $1)", 12345)
        transaction.query("SELECT a FROM t WHERE b = 12345 OR b = 'do not show'")
        transaction.act("Savepoint", name="s")
        used = self.shown(transaction)
        self.assertEqual((used.statements, used.savepoints, used.holds_writer), (2, 1, True))
        self.assertTrue(seconds_of(used.expires_in) <= 5 and seconds_of(used.holds_writer_for) <= seconds_of(used.age))
        self.assertRegex(used.fingerprint, "^[0-9a-f]{16}$")
        self.assertIn("select a from t", used.last_statement.lower())
        self.assertTrue(0 <= seconds_of(used.idle) <= seconds_of(used.age))
        by_id = transaction.shown()
        for message in (used, by_id):
            for field in ("age", "idle", "expires_in", "holds_writer_for"):
                message.ClearField(field)
        self.assertEqual(by_id, used)

    def test_no_value_no_text_and_no_id_is_shown(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(987654, $1)", SECRET)
        transaction.query(f"SELECT '{SECRET}', 987654, x'00c0ffee' FROM t WHERE b = $1", SECRET)
        for shown in (transaction.shown(), self.shown(transaction), *self.list().transactions):
            text = str(shown)
            for secret in (SECRET, "987654", "c0ffee", transaction.id):
                self.assertNotIn(secret, text.lower())

    def test_the_fingerprint_stands_for_the_statement_and_not_its_values(self):
        prints = []
        for sql in ("SELECT * FROM t WHERE a = 1", "select *  from t where a = 2 -- so", "SELECT * FROM t WHERE b = 1"):
            transaction = begin_with(self.rpc, sql)
            prints.append(transaction.shown().fingerprint)
            transaction.rollback()
        self.assertEqual(prints[0], prints[1])
        self.assertNotEqual(prints[0], prints[2])

    def test_to_look_is_no_use_of_it(self):
        transaction = begin(self.rpc, idle_timeout=0.4)
        end = time.monotonic() + 0.4 + 0.5 * harness.PATIENCE
        while self.list().transactions:
            transaction.state()
            self.assertLess(time.monotonic(), end, "it is kept by looking at it")
        self.assertEqual(transaction.state(), "EXPIRED")

    def test_a_finished_one_is_shown_to_its_owner_with_its_state_alone(self):
        for end, state in (("CommitTransaction", "COMMITTED"), ("RollbackTransaction", "ROLLED_BACK")):
            transaction = begin_with(self.rpc, "SELECT 1", label="gone")
            transaction.act(end)
            shown = transaction.shown()
            self.assertEqual((shown.handle, state_of(shown)), (transaction.handle, state))
            self.assertEqual({field.name for field, _ in shown.ListFields()}, {"handle", "state"})
            self.assert_fails(Code.NOT_FOUND, self.shown, transaction, reason="TRANSACTION_NOT_FOUND", executed="no")
        self.assert_fails(Code.INVALID_ARGUMENT, call, self.rpc, "GetTransaction", reason="PARAMETER_INVALID",
                          executed="no")

    def test_who_waits_for_the_writer_says_for_whom(self):
        holder = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)", label="first")
        waiter = begin(self.rpc, label="second")
        call_of_waiter = waiter.begin_query("INSERT INTO t VALUES(2, 2)")
        harness.wait_for(lambda: waiter.shown().HasField("waits_for"), 5, "the second one waits")
        shown = waiter.shown()
        self.assertEqual((shown.waits_for.held_by, shown.waits_for.label), (holder.handle, "first"))
        self.assertLessEqual(seconds_of(shown.waits_for.waited), seconds_of(shown.waits_for.held_for))
        self.assertEqual((shown.busy, shown.holds_writer, shown.HasField("idle")), (True, False, False))
        self.assertEqual(self.rpc.load().writer.held_by, holder.handle)
        holder.commit()
        self.assert_status(call_of_waiter.result().transaction, "ACTIVE", waiter.handle)
        shown = waiter.shown()
        self.assertEqual((shown.holds_writer, shown.HasField("waits_for")), (True, False))
        self.assertEqual(self.rpc.load().writer.held_by, waiter.handle)
        waiter.commit()
        self.assert_nothing_open()


class ListTest(transactions.TestCase):
    def handles(self, **fields):
        return [one.handle for one in self.list(**fields).transactions]

    def test_the_oldest_come_first_and_pages_follow_each_other(self):
        made = [begin(self.rpc).handle for _ in range(7)]
        self.assertEqual(self.handles(), made)
        read, token, pages = [], "", 0
        while token or not pages:
            page = self.list(page_size=3, page_token=token)
            self.assertEqual(page.total_size, 7)
            read += [one.handle for one in page.transactions]
            token, pages = page.next_page_token, pages + 1
        self.assertEqual((read, pages), (made, 3))
        self.assertEqual(self.list(page_size=7).next_page_token, "")

    def test_a_page_goes_on_where_it_was_though_transactions_come_and_go(self):
        made = [begin(self.rpc) for _ in range(6)]
        page = self.list(page_size=2)
        made[1].rollback()
        made[2].rollback()
        late = begin(self.rpc)
        self.assertEqual(self.handles(page_token=page.next_page_token),
                         [one.handle for one in (*made[3:], late)])

    def test_fifty_are_a_page_unless_asked_for_otherwise(self):
        for _ in range(51):
            begin(self.rpc)
        self.assertEqual((len(self.handles()), len(self.handles(page_size=1_000_000))), (50, 51))

    def test_a_connection_has_its_own(self):
        other = self.register("other")
        mine, others = begin(self.rpc), begin(self.rpc, connection_id=other)
        self.assertEqual(self.handles(connection_id="default"), [mine.handle])
        self.assertEqual(self.handles(connection_id=other), [others.handle])
        self.assertEqual(self.handles(), [mine.handle, others.handle])
        self.assertEqual([one.connection_name for one in self.list().transactions], ["default", "other"])

    def test_a_page_that_was_never_issued_is_refused(self):
        for _ in range(3):
            begin(self.rpc)
        token = self.list(page_size=1).next_page_token
        other = self.list(page_size=1, connection_id="default").next_page_token
        for fields in ({"page_size": -1}, {"page_token": "nothing"}, {"page_token": token, "connection_id": "default"},
                       {"page_token": other}, {"page_token": token[:-2]}):
            self.assert_fails(Code.INVALID_ARGUMENT, self.list, **fields, reason="PARAMETER_INVALID", executed="no")
        self.assert_fails(Code.NOT_FOUND, self.list, connection_id="conn_none", reason="CONNECTION_NOT_FOUND")


class EndTest(transactions.TestCase):
    def end(self, handle):
        return call(self.rpc, "EndTransaction", handle=handle).transaction

    def test_an_ended_one_is_rolled_back_and_its_owner_is_told(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)", label="stuck")
        was = self.end(transaction.handle)
        self.assertEqual((was.handle, was.label, state_of(was), was.holds_writer),
                         (transaction.handle, "stuck", "ACTIVE", True))
        self.rpc.query("INSERT INTO t VALUES(2, 2)", timeout=2 * harness.PATIENCE)
        for _ in range(2):
            for attempt in (transaction.commit, lambda: transaction.query("SELECT 1"),
                            lambda: transaction.act("KeepAlive")):
                failure = self.assert_fails(Code.ABORTED, attempt, reason="TRANSACTION_EXPIRED", executed="rolled_back")
                self.assert_told(failure, "ROLLED_BACK", transaction.handle)
                self.assertIn("operator", failure.message)
        self.assert_status(transaction.rollback(), "ROLLED_BACK", transaction.handle)
        self.assertEqual((self.content(), self.counts().ended), ([(2, 2)], 1))

    def test_a_statement_that_runs_or_waits_is_ended(self):
        for busy in (True, False):
            holder = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
            waiter = begin(self.rpc)
            waiting = waiter.begin_query("INSERT INTO t VALUES(2, 2)")
            harness.wait_for(lambda: waiter.shown().HasField("waits_for"), 5, "the second one waits")
            running = holder.begin_query(transactions.ENDLESS.format("count(*)")) if busy else None
            if busy:
                harness.wait_for(lambda: holder.shown().busy, 5, "a statement runs")
            self.end(waiter.handle)
            self.end(holder.handle)
            for call_in_it in filter(None, (waiting, running)):
                failure = rpc.Failure(call_in_it.exception(2 * harness.PATIENCE))
                self.assertEqual((failure.code, failure.reason), (Code.ABORTED, "TRANSACTION_EXPIRED"), failure)
                self.assert_told(failure, "ROLLED_BACK")
        self.assert_nothing_open()
        self.assertEqual(self.content(), [])

    def test_whom_it_cannot_find_it_does_not_end(self):
        transaction = begin(self.rpc)
        self.end(transaction.handle)
        for handle in (transaction.handle, "tx_000000000000", transaction.id):
            self.assert_fails(Code.NOT_FOUND, self.end, handle, reason="TRANSACTION_NOT_FOUND", executed="no")
        self.assert_fails(Code.INVALID_ARGUMENT, self.end, "", reason="PARAMETER_INVALID", executed="no")

    def close(self, connection_id, milliseconds):
        request = rpc.connection_pb2.CloseConnectionRequest(connection_id=connection_id)
        request.drain_timeout.FromMilliseconds(milliseconds)
        return self.rpc.connections.CloseConnection.future(request, timeout=harness.CALL_SECONDS)

    def await_closing(self, connection_id):
        harness.wait_for(lambda: self.reason(self.rpc.query, "SELECT 1", connection_id=connection_id) ==
                         "CONNECTION_NOT_FOUND", 5, "the connection takes nothing new")

    def reason(self, *attempt, **fields):
        try:
            attempt[0](*attempt[1:], **fields)
            return ""
        except rpc.grpc.RpcError as error:
            return rpc.Failure(error).reason

    def test_a_connection_that_closes_lets_its_own_come_to_their_end(self):
        other = self.register("other")
        transaction = begin(self.rpc, connection_id=other)
        transaction.query("CREATE TABLE u(a)")
        closing = self.close(other, 20_000)
        self.await_closing(other)
        transaction.query("INSERT INTO u VALUES(1)")
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)
        closed = closing.result()
        self.assertEqual((closed.drained, closed.database_closed), (True, True))
        again = self.register("other")
        self.assertEqual(self.rpc.rows("SELECT a FROM u", connection_id=again), [(1,)])

    def test_a_connection_that_closes_ends_those_that_outlast_its_patience(self):
        other = self.register("other")
        mine, others = begin(self.rpc), begin(self.rpc, connection_id=other)
        others.query("CREATE TABLE u(a)")
        closing = self.close(other, 200)
        self.assertTrue(closing.result().drained)
        for attempt in (lambda: others.query("SELECT 1"), others.commit):
            self.assert_fails(Code.ABORTED, attempt, reason="TRANSACTION_EXPIRED", executed="rolled_back")
        self.assert_status(mine.commit(), "COMMITTED", mine.handle)
        self.assert_nothing_open()


class ReadOnlyConnectionTest(transactions.TestCase):
    def test_its_transactions_are_read_only(self):
        writer = self.register("shop")
        self.rpc.query("CREATE TABLE u(a)", connection_id=writer)
        request = rpc.connection_pb2.RegisterConnectionRequest(url="sqlite:///shop.db", name="reader", read_only=True)
        reader = self.rpc.connections.RegisterConnection(request, timeout=harness.CALL_SECONDS).connection_id
        transaction = begin(self.rpc, connection_id=reader)
        self.assertTrue(transaction.shown().read_only)
        failure = self.assert_fails(Code.PERMISSION_DENIED, transaction.query, "INSERT INTO u VALUES(1)", executed="no",
                                    reason="READ_ONLY_VIOLATION")
        self.assert_told(failure, "ACTIVE", transaction.handle)
        self.assertEqual(common_pb2.TransactionState.Name(transaction.commit().state), "TRANSACTION_STATE_COMMITTED")


if __name__ == "__main__":
    harness.main()
