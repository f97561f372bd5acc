"""The core of transactions from Node: inline and explicit, failed, expired, and in a conversation."""
import json
import subprocess

import harness
import transactions
from rpc import Code

ACTIVE, FAILED, COMMITTED, ROLLED_BACK, EXPIRED = map(
    "TRANSACTION_STATE_{}".format, ("ACTIVE", "FAILED", "COMMITTED", "ROLLED_BACK", "EXPIRED"))


class NodeTest(transactions.TestCase):
    def setUp(self):
        self.node = harness.node_client("transaction.mjs")
        super().setUp()
        self.rpc.query("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER)")
        self.rpc.query("INSERT INTO account VALUES(1, 100), (2, 0)")

    def play(self, scenario):
        done = subprocess.run([*self.node, self.server.address, scenario], capture_output=True, text=True, check=False,
                              timeout=harness.CALL_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_nothing_open()
        return json.loads(done.stdout)

    def balances(self):
        return [balance for balance, in self.rpc.rows("SELECT balance FROM account ORDER BY id")]

    def assert_failed(self, failure, code, reason, state):
        self.assertEqual((failure["code"], failure["reason"], failure["metadata"]["transaction_state"]),
                         (code.value[0], reason, state), failure)

    def states(self, told, *names):
        return [told[name]["transaction"]["state"] for name in names]

    def test_a_transfer(self):
        told = self.play("transfer")
        self.assertEqual(told["looked"]["rows"], [[["int64_value", "100"]]])
        self.assertEqual(self.states(told, "looked", "took", "gave"), [ACTIVE, ACTIVE, COMMITTED])
        self.assertTrue(told["looked"]["transaction"]["transaction_id"].startswith("txn_"))
        self.assertNotIn("transaction_id", told["gave"]["transaction"])
        self.assert_failed(told["late"], Code.FAILED_PRECONDITION, "TRANSACTION_FINISHED", "COMMITTED")
        self.assertEqual(self.balances(), [30, 70])

    def test_a_failure_and_its_rollback(self):
        told = self.play("failure")
        self.assertEqual(self.states(told, "added", "rolledBack", "again"), [ACTIVE, ROLLED_BACK, ROLLED_BACK])
        self.assert_failed(told["failed"], Code.ALREADY_EXISTS, "SQL_ERROR", "FAILED")
        self.assert_failed(told["commit"], Code.FAILED_PRECONDITION, "TRANSACTION_FAILED", "FAILED")
        self.assertEqual(self.balances(), [100, 0])

    def test_a_lease_that_ends(self):
        told = self.play("expiry")
        self.assertEqual((told["transaction"]["state"], told["rolledBack"]["transaction"]["state"]), (ACTIVE, EXPIRED))
        self.assert_failed(told["late"], Code.ABORTED, "TRANSACTION_EXPIRED", "EXPIRED")
        self.assertEqual(told["late"]["metadata"]["executed"], "rolled_back")
        self.assertEqual(self.balances(), [105, 0])

    def test_a_conversation(self):
        told = self.play("interact")
        self.assertEqual([answer["transaction"]["state"] for answer in told["ahead"]],
                         [ACTIVE, ACTIVE, FAILED, ACTIVE, ACTIVE, COMMITTED])
        self.assertEqual(told["ahead"][2]["reason"], "SQL_ERROR")
        self.assertEqual((told["begun"]["transaction"]["state"], told["ended"]["code"]), (ACTIVE, 0))
        self.assertEqual(self.balances(), [70, 30])

    def test_a_conversation_whose_lease_ends(self):
        told = self.play("interactExpiry")
        self.assertEqual(told["begun"]["transaction"]["state"], ACTIVE)
        ended = told["ended"]
        self.assertEqual((ended["code"], ended["ErrorInfo"]["reason"]), (Code.ABORTED.value[0], "TRANSACTION_EXPIRED"))
        self.assertEqual(self.balances(), [100, 0])


if __name__ == "__main__":
    harness.main()
