"""Nobody gets another's answer: clients that ask for numbers of their own, in every way, while their calls are cancelled,
sessions are ended by the server's operator, and connections are cut on the way."""
import asyncio
import collections
import json
import os
import random
import subprocess
import sys
import threading
import time

import harness
import postgres_hunt_client
import rpc
import transactions

sys.path.append(str(harness.SUPPORT))
import fault_proxy  # pylint: disable=wrong-import-position

ANSWERS = int(os.environ.get("SLUICE_HUNT_ANSWERS") or (1_000_000 if harness.NIGHTLY else 100_000) // harness.PATIENCE)
# How many clients go to the database straight, and how many by a way on which connections are cut: processes, and clients
# of each.
STRAIGHT, CUT = (3, 17), (1, 13)
MOST_SECONDS = 1800 if harness.NIGHTLY else 200  # then what there is has to do
OTHERS = "datname = 'shop' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
# What a server may say under such circumstances, with what became of the call.
EXPECTED = {"BACKEND_LOST", "SQL_CANCELLED_BY_ADMIN", "CALL_CANCELLED", "DEADLINE_PASSED", "COMMIT_OUTCOME_UNKNOWN",
            "POOL_EXHAUSTED", "TRANSACTION_EXPIRED", "TRANSACTION_FAILED", "TRANSACTION_LIMIT"}
SCHEMA = """
CREATE TABLE notes(nonce bigint PRIMARY KEY);
CREATE TABLE keys(id int PRIMARY KEY, value bigint);
INSERT INTO keys SELECT id, id * 7919 + 13 FROM generate_series(0, 999) id;
"""


class Hunters:
    """A process of postgres_hunt_client.py."""

    def __init__(self, folder, server, first, clients):
        self.notes = folder / f"notes{first}"
        self.last = {"answers": 0, "wrong": []}
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(harness.FOLDER / "postgres_hunt_client.py"), server.address, str(first),
             str(clients), str(self.notes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.last = json.loads(line)

    def stop(self):
        """Answers what it has to say in the end."""
        self.process.stdin.close()
        self.reader.join(2 * harness.CALL_SECONDS)
        assert not self.reader.is_alive(), "clients hang"
        assert self.process.wait() == 0
        return self.last

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process.stdin.close()


class PostgresHuntTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        self.postgres.psql(SCHEMA, database="shop")
        self.proxy = self.enterContext(fault_proxy.FaultProxy(self.postgres.port))
        self.servers = [self.start(database=self.postgres.url("shop")), self.start(database=self.proxy.url("shop"))]
        self.harm = collections.Counter()

    def start_hunters(self):
        first, hunters = 1, []
        for server, (processes, clients) in zip(self.servers, (STRAIGHT, CUT)):
            for _ in range(processes):
                hunters.append(Hunters(self.folder, server, first, clients))
                self.addCleanup(hunters[-1].kill)
                first += clients
        return hunters

    def do_harm(self):
        """Something that befalls those who are under way."""
        what = random.choices(["terminate", "cancel", "cut", "cut at", "terminate all"], [6, 6, 2, 6, 1])[0]
        self.harm[what] += 1
        limit = "" if what == "terminate all" else f"ORDER BY random() LIMIT {random.randint(1, 3)}"
        if what == "cut":
            self.proxy.cut(random.choice((fault_proxy.RST, fault_proxy.FIN)))
        elif what == "cut at":
            speaker, kind = random.choice([(fault_proxy.SERVER, kind) for kind in "12DCZ"] +
                                          [(fault_proxy.CLIENT, kind) for kind in "PBES"])
            self.proxy.cut_on(speaker, kind, keep=random.choice((0, 0, 1, 5, 9)))
        else:
            verb = "pg_cancel_backend" if what == "cancel" else "pg_terminate_backend"
            some = f"SELECT pid FROM pg_stat_activity WHERE {OTHERS} {limit}"
            self.postgres.psql(f"SELECT count({verb}(pid)) FROM ({some}) AS these")

    def test_nobody_gets_anothers_answer(self):
        hunters = self.start_hunters()
        begin = time.monotonic()
        while sum(each.last["answers"] for each in hunters) < ANSWERS and time.monotonic() - begin < MOST_SECONDS:
            self.assertEqual([each.last["wrong"] for each in hunters if each.last["wrong"]], [])
            self.assertEqual([each.process.poll() for each in hunters], [None] * len(hunters))
            time.sleep(random.uniform(0, 0.5))
            self.do_harm()
        told = [each.stop() for each in hunters]
        seconds = time.monotonic() - begin
        self.report(told, seconds)
        self.assertGreater(sum(each["answers"] for each in told), ANSWERS / 10)
        self.assertEqual([wrong for each in told for wrong in each["wrong"]], [])
        self.check_notes(hunters)
        self.check_failures(told)
        for server in self.servers:
            client = self.client(server)
            self.proxy.clear()
            self.await_idle(client, 10)
            self.assertEqual(client.load().transactions.open, 0)

    def test_the_answer_to_another_question_is_noticed(self):
        async def mix_up():
            told = {"notes": []}
            client = postgres_hunt_client.Client(self.servers[0].address, 1, told)
            right, last = client.call, {}

            async def wrong(method, message):
                answer = await right(method, message)
                before, last[method] = last.get(method, answer), answer
                return before

            client.call = wrong
            await client.ask()
            for way in (client.ask, client.look_up, client.ask_alone, client.write, client.be_slow, client.transact,
                        client.ask):
                with self.assertRaises(postgres_hunt_client.Wrong, msg=way.__name__):
                    await way()
            await client.batch()
            with self.assertRaises(postgres_hunt_client.Wrong):
                await client.batch()
            await client.channel.close()

        postgres_hunt_client.CANCELLED = postgres_hunt_client.HURRIED = 0
        asyncio.run(mix_up())

    def test_Fault33_a_cancel_that_comes_late_hits_no_later_statement_of_its_transaction(self):
        client = self.client(self.servers[0])
        begun = transactions.begin(client)
        for n in range(600):
            begun.act("Savepoint", name="here")
            try:
                begun.query("SELECT pg_sleep(0.002)", timeout=random.uniform(0.002, 0.006))
            except rpc.grpc.RpcError:
                begun.act("RollbackToSavepoint", name="here")
            for _ in range(3):
                self.assertEqual(begun.rows("SELECT $1::int, pg_sleep(0.0005)::text", n), [(n, "")])
            begun.act("ReleaseSavepoint", name="here")
        begun.commit()

    def report(self, told, seconds):
        ways, failures = (sum((collections.Counter(each[name]) for each in told), collections.Counter())
                          for name in ("ways", "failures"))
        print(f"\n{sum(each['answers'] for each in told)} answers in {seconds:.0f} s, by the way that is cut "
              f"{told[-1]['answers']}; wrong: {sum(each['count'] for each in told)}\n  {dict(ways)}\n  {dict(failures)}\n"
              f"  {dict(self.harm)}", flush=True)

    def check_notes(self, hunters):
        """What was told of writes is what the database has."""
        stored = {int(line) for line in self.postgres.psql("SELECT nonce FROM notes", database="shop").split()}
        there, gone = set(), set()
        for each in hunters:
            for line in each.notes.read_text().split():
                (there if line[0] == "+" else gone).add(int(line[1:]))
        self.assertEqual(sorted(there - stored)[:10], [], "told as written, and not there")
        self.assertEqual(sorted(gone & stored)[:10], [], "told as not written, and there")
        self.assertGreater(len(there), ANSWERS / 1000)
        self.assertGreater(len(gone), 0)

    def check_failures(self, told):
        for each in told:
            for failure in each["failures"]:
                code, reason, executed = (failure.split(" ") + ["", ""])[:3]
                if failure == "cancelled here" or not reason:
                    continue
                self.assertIn(reason, EXPECTED, failure)
                self.assertTrue(executed, failure)
                self.assertNotEqual(code, "INTERNAL", failure)
            self.assertGreater(sum(each["failures"].values()), 0)


if __name__ == "__main__":
    harness.main()
