"""No more transactions than may be open, and what became of all of them in figures."""
import harness
import transactions
from rpc import Code, monitoring_pb2, transaction_pb2
from transactions import begin, begin_with, call, inline, seconds_of, stream


class LimitTest(transactions.TestCase):
    flags = ("--transactions-per-connection", "5", "--transactions-per-caller", "3")

    def assert_full(self, client, words):
        for attempt in (lambda: begin(client), lambda: begin_with(client, "INSERT INTO t VALUES(1, 1)"),
                        lambda: stream(client, "SELECT 1", transaction=inline())):
            failure = self.assert_fails(Code.RESOURCE_EXHAUSTED, attempt, reason="TRANSACTION_LIMIT", executed="no")
            self.assertRegex(failure.message, words)
            self.assertTrue(failure.retry)
        responses = list(client.transactions.Interact(iter([transaction_pb2.InteractRequest(
            begin=transaction_pb2.BeginTransactionRequest(connection_id="default"))]), timeout=30))
        self.assertEqual([response.error.reason for response in responses], ["TRANSACTION_LIMIT"])

    def test_a_caller_and_a_connection_have_no_more_than_they_may(self):
        second = self.client(self.server)
        mine = [begin(self.rpc) for _ in range(3)]
        self.assert_full(self.rpc, "3 .*caller")
        others = [begin(second) for _ in range(2)]
        self.assert_full(second, "5 .*connection")
        counts = self.counts()
        self.assertEqual((counts.open, counts.limit, counts.begun, counts.refused), (5, 5, 5, 8))
        mine[0].rollback()
        begin(second)
        others[0].commit()
        begin(second)
        self.assert_full(second, "5 .*connection")
        self.assertEqual(self.content(), [])

    def test_another_connection_has_a_limit_of_its_own(self):
        other, clients = self.register("other"), [self.rpc, self.client(self.server), self.client(self.server)]
        for client in clients:
            begin(client)
        for client in clients[:2]:
            begin(client)
        self.assert_fails(Code.RESOURCE_EXHAUSTED, begin, clients[2], reason="TRANSACTION_LIMIT")
        begin(clients[2], connection_id=other)

    def test_callers_on_a_unix_socket_are_several(self):
        server = self.start(*self.flags, "--shutdown-grace", self.grace, listen=f"unix:{self.folder}/s.sock")
        first, second = self.client(server), self.client(server)
        for _ in range(3):
            begin(first)
        begin(second)


class CountTest(transactions.TestCase):
    flags = ("--transactions-idle-timeout", "300ms", "--transactions-max-life", "20s")

    def test_health_counts_what_became_of_them(self):
        begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)").commit()
        self.rpc.query("INSERT INTO t VALUES(2, 2)", transaction=inline(commit=True))
        begin_with(self.rpc, "SELECT 1").rollback()
        self.assert_fails(Code.ALREADY_EXISTS, begin_with, self.rpc, "INSERT INTO t VALUES(1, 1)")
        call(self.rpc, "EndTransaction", handle=begin(self.rpc).handle)
        begin(self.rpc)
        harness.wait_for(lambda: self.counts().expired == 1, 5 * harness.PATIENCE, "a lease ends")
        still = begin(self.rpc)
        counts = self.counts()
        self.assertTrue(0 < seconds_of(counts.oldest) < 5 * harness.PATIENCE)
        counts.ClearField("oldest")
        self.assertEqual(counts, monitoring_pb2.TransactionStats(
            open=1, limit=1000, begun=7, committed=2, rolled_back=2, expired=1, ended=1))
        still.rollback()
        self.assertEqual(seconds_of(self.counts().oldest), 0)


if __name__ == "__main__":
    harness.main()
