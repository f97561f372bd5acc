"""What ends a conversation and its transaction: the client, the lease, silence, an operator, the server's end."""
import signal
import time

import harness
import interact
import rpc
import transactions
from interact import INSERT, SLACK, Conversation
from rpc import Code, monitoring_pb2, transaction_pb2
from transactions import ENDLESS, inline


class EndTest(interact.TestCase):
    flags = ("--limits-stream-idle", "700ms")

    def test_a_half_close_rolls_back_and_ends_well(self):
        for action in ("begin", "run", "fail", None):
            with self.subTest(action=action):
                conversation = self.converse()
                if action:
                    conversation.begin()
                if action in ("run", "fail"):
                    conversation.run(INSERT, 1)
                if action == "fail":
                    conversation.run(INSERT, 1)
                conversation.half_close()
                self.assert_ends(conversation)
                self.await_gone()
        self.assertEqual((self.content(), self.counts().rolled_back), ([], 3))

    def test_a_half_close_lets_what_was_sent_before_it_be_done(self):
        conversation = self.converse()
        conversation.begin()
        running = conversation.send(query=conversation.query(f"INSERT INTO t {ENDLESS.format('n, n')} LIMIT 100000"))
        committed = conversation.send(commit=transaction_pb2.InteractCommit())
        conversation.half_close()
        self.assertEqual([response.call_id for response in conversation.responses], [running, committed])
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM t"), [(100_000,)])

    def test_a_client_that_goes_away_takes_its_transaction_with_it_at_once(self):
        for busy in (False, True):
            client = rpc.Client(self.server.address)
            conversation = Conversation(client)
            conversation.begin()
            conversation.run(INSERT, 1)
            if busy:
                conversation.send(query=conversation.query(ENDLESS.format("count(*)")))
                harness.wait_for(lambda: self.list().transactions[0].busy, 5, "a statement runs")
            begun = time.monotonic()
            conversation.drop() if busy else client.channel.close()
            self.await_gone()
            self.assertLess(time.monotonic() - begun, SLACK)
            conversation.half_close()
            client.channel.close()
        self.assertEqual(self.content(), [])

    def test_the_end_of_the_lease_is_the_end_of_the_stream(self):
        conversation = self.converse()
        handle = conversation.run(INSERT, 1, selector=inline(idle_timeout=0.3),
                                  connection_id="default").transaction.handle
        begun = time.monotonic()
        failure = self.assert_ends(conversation, Code.ABORTED, "TRANSACTION_EXPIRED")
        self.assertTrue(0.29 < time.monotonic() - begun < 0.3 + SLACK)
        self.assertEqual(failure.executed, "rolled_back")
        self.assert_told(failure, "EXPIRED", handle)
        self.await_gone()
        self.assertEqual(self.content(), [])

    def test_keep_alive_prolongs_the_lease(self):
        conversation = self.converse()
        conversation.begin(idle_timeout=0.6)
        begun = time.monotonic()
        while time.monotonic() - begun < 1.2:
            self.assert_state(conversation.ask(keep_alive=transaction_pb2.InteractKeepAlive()), "ACTIVE")
            time.sleep(0.02)
        self.assert_state(conversation.commit(), "COMMITTED")

    def test_the_end_of_its_life_ends_what_runs_and_the_stream(self):
        for _ in range(10):
            conversation = self.converse()
            conversation.begin(max_life=0.1)
            running = conversation.send(query=conversation.query(ENDLESS.format("count(*)")))
            begun, told = time.monotonic(), []
            failure = self.assert_fails(Code.ABORTED, lambda: told.extend(conversation.responses),
                                        reason="TRANSACTION_EXPIRED")
            self.assertLess(time.monotonic() - begun, 0.1 + SLACK)
            self.assert_told(failure, "EXPIRED")
            for response in told:
                self.assertEqual(response.call_id, running)
                self.assert_error(response, "TRANSACTION_EXPIRED", "EXPIRED", "rolled_back")
        self.await_gone()

    def test_a_lease_that_ends_before_its_first_statement_ends_the_stream_as_well(self):
        reasons = set()
        for _ in range(20):
            streams = [self.converse(timeout=5) for _ in range(50)]
            for stream in streams:
                stream.send(query=stream.query("SELECT 1", selector=inline(idle_timeout=0.001, read_only=True),
                                               connection_id="default"))
            for stream in streams:
                failure = self.failure(lambda: list(stream.responses))
                reasons.add((failure.code, failure.reason))
        self.assertEqual(reasons, {(Code.ABORTED, "TRANSACTION_EXPIRED")})

    def test_the_clients_deadline_ends_it_as_well(self):
        conversation = self.converse(timeout=0.4)
        conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        self.assert_fails(Code.DEADLINE_EXCEEDED, lambda: list(conversation.responses))
        self.await_gone()
        self.assertEqual(self.content(), [])

    def test_what_is_no_request_ends_it(self):
        method = self.rpc.channel.stream_stream("/sluice.v1.TransactionService/Interact")
        begin = transaction_pb2.InteractRequest(call_id=1, query=Conversation.query(
            INSERT, 1, selector=inline(), connection_id="default"))
        failure = self.assert_fails(Code.INTERNAL, lambda: list(method(iter([begin.SerializeToString(), b"\xff\xff"]),
                                                                       timeout=30)), reason="REQUEST_UNPARSABLE")
        self.assertNotEqual(failure.executed, "unknown")
        self.await_gone()
        self.assertEqual(self.content(), [])

    def test_an_operator_ends_the_stream(self):
        conversation = self.converse()
        handle = conversation.begin().transaction.handle
        transactions.call(self.rpc, "EndTransaction", handle=handle)
        failure = self.assert_ends(conversation, Code.ABORTED, "TRANSACTION_EXPIRED")
        self.assert_told(failure, "ROLLED_BACK", handle)

    def test_a_stream_without_a_transaction_may_be_silent_for_so_long(self):
        fresh, after = self.converse(), self.converse()
        after.begin()
        after.commit()
        begun = time.monotonic()
        for conversation in (fresh, after):
            self.assert_ends(conversation, Code.CANCELLED, "STREAM_STALLED")
            self.assertTrue(0.6 < time.monotonic() - begun < 0.7 + 2 * SLACK)

    def test_a_stream_with_a_transaction_is_silent_as_long_as_its_lease(self):
        conversation = self.converse()
        conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            self.assertEqual(len(self.list().transactions), 1)
            time.sleep(0.02)
        self.assert_state(conversation.commit(), "COMMITTED")
        self.assertEqual(self.content(), [(1, 1)])

    def test_two_streams_are_no_obstacle_to_each_other(self):
        """One waits for the writer that the other has, and both get on."""
        first, second = self.converse(), self.converse()
        first.run(INSERT, 1, selector=inline(), connection_id="default")
        second.begin()
        waiting = second.send(query=second.query(INSERT, 2))
        harness.wait_for(lambda: self.rpc.load().queued == 1, 5, "the second one waits")
        first.commit()
        self.assertEqual(second.next().call_id, waiting)
        second.commit()
        self.assertEqual(self.content(), [(1, 1), (2, 2)])


class StallTest(interact.TestCase):
    flags = ("--limits-stream-stall", "700ms")

    def test_a_client_that_takes_no_answer_is_ended(self):
        conversation = self.converse()
        conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        for _ in range(200):
            conversation.send(query=conversation.query("SELECT hex(zeroblob(1000000))"))
        harness.wait_for(lambda: not self.list().transactions, 0.7 + 4 * SLACK, "the transaction is gone")
        self.rpc.query("DELETE FROM t", timeout=SLACK)
        failure = self.assert_fails(Code.CANCELLED, lambda: list(conversation.responses))
        # Details would have to queue behind what the client does not take: the message has to say it.
        self.assertIn("STREAM_STALLED", failure.message)


class DrainTest(interact.TestCase):
    grace = "700ms"

    def test_Fault79_a_stream_without_a_transaction_ends_at_once(self):
        conversation, unused = self.converse(), self.converse()
        conversation.begin()
        conversation.rollback()
        info = monitoring_pb2.GetServerInfoRequest()
        harness.wait_for(lambda: self.rpc.monitoring.GetServerInfo(info).calls_in_flight == 3, 5, "both streams are there")
        begun = time.monotonic()
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(list(conversation.responses), [])  # it did something: UNAVAILABLE would deny that
        self.assert_ends(unused, Code.UNAVAILABLE, "SERVER_DRAINING")
        self.assertEqual(self.server.await_exit(), 0)
        self.assertLess(time.monotonic() - begun, SLACK)

    def test_Fault79_a_transaction_comes_to_its_end_and_so_does_the_stream(self):
        conversation = self.converse()
        conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        self.server.process.send_signal(signal.SIGTERM)
        harness.wait_for(lambda: "draining" in self.server.errors(), 5, "the server drains")
        self.assert_state(conversation.run(INSERT, 2), "ACTIVE")
        self.assert_state(conversation.commit(), "COMMITTED")
        self.assertEqual(list(conversation.responses), [])
        self.assertEqual(self.server.await_exit(), 0)
        self.connect(self.serve())
        self.assertEqual(self.content(), [(1, 1), (2, 2)])

    def test_Fault79_at_the_end_of_the_grace_it_is_rolled_back_and_told_so(self):
        for busy in (False, True):
            conversation = self.converse()
            conversation.run(INSERT, 1, selector=inline(), connection_id="default")
            if busy:
                conversation.send(query=conversation.query(ENDLESS.format("count(*)")))
            begun = time.monotonic()
            self.server.process.send_signal(signal.SIGTERM)
            failure = self.assert_fails(Code.ABORTED, lambda: list(conversation.responses), reason="SERVER_DRAINING",
                                        executed="rolled_back")
            self.assertGreater(time.monotonic() - begun, 0.5, failure)
            self.assertEqual(self.server.await_exit(), 0)
            self.connect(self.serve())
            self.assertEqual(self.content(), [])

    def test_Fault79_no_transaction_begins_any_more(self):
        conversation, other = self.converse(), self.converse()
        other.begin()
        conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        self.server.process.send_signal(signal.SIGTERM)
        harness.wait_for(lambda: "draining" in self.server.errors(), 5, "the server drains")
        self.assertEqual(self.failure(lambda: list(Conversation(self.rpc).responses)).reason, "SERVER_DRAINING")
        conversation.send(commit=transaction_pb2.InteractCommit())
        conversation.send(begin=transaction_pb2.BeginTransactionRequest(connection_id="default"))
        told = list(conversation.responses)
        self.assert_state(told[0], "COMMITTED")
        for response in told[1:]:
            self.assert_error(response, "SERVER_DRAINING", executed="no")


if __name__ == "__main__":
    harness.main()
