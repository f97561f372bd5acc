"""Clients of postgres_hunt_test.py, a process of its own.

    postgres_hunt_client.py ADDRESS FIRST CLIENTS NOTES

Each of its clients asks, one call after the other, for a number that nobody else asks for, in every way there is,
cancels some of its calls, and looks at every answer. After a line on standard input, or its end, they stop. Prints how many
answers there were so far, once a while, and in the end a line of JSON. NOTES get a line for each number that was
written, as far as its client knows: `+` it is there, `-` it is not.
"""
import asyncio
import collections
import contextlib
import json
import random
import sys

import rpc
import transactions
from rpc import grpc, query_pb2, query_pb2_grpc, transaction_pb2, transaction_pb2_grpc

TEXTS = 300  # more than a connection keeps prepared
KEYS = 1000
CANCELLED, HURRIED = 0.04, 0.04  # of the calls
SECONDS = 60  # that any other call may take
INSERT = "INSERT INTO notes(nonce) VALUES($1) RETURNING nonce"
ALONE = "/* advisory: a connection of its own */"
STEPS = 30  # of a batch, at most


def value_of_key(key):
    """As the test fills the table."""
    return key * 7919 + 13


class Wrong(Exception):
    """An answer that is not the one to the question."""


class Over(Exception):
    """The call was cancelled by this client."""


def check(truth, *what):
    if not truth:
        raise Wrong(repr(what)[:1000])


def columns(response):
    return [column.name for column in response.columns]


class Client:
    """A channel of its own."""

    def __init__(self, address, number, told):
        self.rand = random.Random(number)
        self.number, self.count, self.told = number, 0, told
        self.channel = grpc.aio.insecure_channel(address, rpc.OPTIONS)
        self.queries = query_pb2_grpc.QueryServiceStub(self.channel)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)
        self.ways = ((self.ask, 40), (self.look_up, 15), (self.ask_alone, 8), (self.write, 12), (self.fail, 8),
                     (self.be_slow, 2), (self.stream, 4), (self.leave_stream, 2), (self.batch, 12),
                     (self.fail_in_batch, 2), (self.transact, 6))

    def nonce(self):
        """No other client's, and never the same again."""
        self.count += 1
        return self.number << 32 | self.count

    def note(self, sign, nonces):
        self.told["notes"] += [f"{sign}{nonce}" for nonce in nonces]

    async def run(self, stop):
        ways, weights = zip(*self.ways)
        while not stop.is_set():
            [way] = self.rand.choices(ways, weights)
            try:
                answers = await way()
                self.told["answers"] += answers
                self.told["ways"][way.__name__] += 1
            except Wrong as wrong:
                self.told["wrong"].append(f"{way.__name__} of {self.number}: {wrong}")
            except Over:
                self.told["failures"]["cancelled here"] += 1
            except grpc.RpcError as error:
                self.told["failures"][self.reason(rpc.Failure(error))] += 1
                await asyncio.sleep(0.001)
        await self.channel.close()

    @staticmethod
    def reason(failure):
        return f"{failure.code.name} {failure.reason} {failure.executed}"

    async def call(self, method, message):
        """The answer. Some calls are cancelled, or are in a hurry, and end at any moment."""
        fate = self.rand.random()
        hurry = fate < HURRIED
        call = method(message, timeout=10 ** self.rand.uniform(-3.5, -1.5) if hurry else SECONDS)
        if HURRIED <= fate < HURRIED + CANCELLED:
            asyncio.get_running_loop().call_later(10 ** self.rand.uniform(-4, -1.5), call.cancel)
        try:
            return await call
        except asyncio.CancelledError:
            raise Over from None

    def query_message(self, sql, *values, **fields):
        return rpc.request(query_pb2.QueryRequest, sql, values, fields)

    async def query(self, sql, *values, **fields):
        return await self.call(self.queries.Query, self.query_message(sql, *values, **fields))

    # Each of these answers how many answers it had.

    async def ask(self):
        nonce, number = self.nonce(), min(int(self.rand.expovariate(1 / 40)), TEXTS)
        if number % 3:
            response = await self.query(f"SELECT $1::bigint AS n, 'k{number}'::text AS k", nonce)
            expected = ["n", "k"], [(nonce, f"k{number}")]
        else:
            response = await self.query(f"SELECT 'k{number}' AS k{number}, $1 || 'x' AS t, $1::text", str(nonce))
            expected = [f"k{number}", "t", "text"], [(f"k{number}", f"{nonce}x", str(nonce))]
        check((columns(response), rpc.rows_of(response)) == expected, expected, response)
        return 1

    async def look_up(self):
        key = self.rand.randrange(KEYS)
        response = await self.query("SELECT id, value FROM keys WHERE id = $1", key)
        check(rpc.rows_of(response) == [(key, value_of_key(key))], key, response)
        return 1

    async def ask_alone(self):
        nonce = self.nonce()
        response = await self.query(f"SELECT $1::bigint AS alone {ALONE}", nonce)
        check((columns(response), rpc.rows_of(response)) == (["alone"], [(nonce,)]), nonce, response)
        return 1

    async def be_slow(self):
        """Some of these outlast what is allowed beside others."""
        nonce = self.nonce()
        response = await self.query("SELECT $1::bigint AS slow, pg_sleep($2)::text", nonce,
                                    self.rand.choice((0.0, 0.0, 0.0, 0.005, 0.3)))
        check(rpc.rows_of(response) == [(nonce, "")], nonce, response)
        return 1

    async def fail(self):
        """The error has to be one's own, too."""
        word = f"x{self.nonce()}"
        try:
            response = await self.query("SELECT $1::text::int AS failing", word)
        except grpc.RpcError as error:
            return self.judge(error, word)
        raise Wrong(f"{word} is no number: {response}")

    def judge(self, error, word):
        failure = rpc.Failure(error)
        if failure.info is None or failure.info.metadata.get("sqlstate") != "22P02":
            raise error
        check(f'"{word}"' in failure.message, word, failure)
        return 1

    async def write(self):
        nonce = self.nonce()
        try:
            response = await self.query(INSERT, nonce)
        except grpc.RpcError as error:
            self.learn(error, [nonce])
            raise
        check((rpc.rows_of(response), response.rows_affected) == ([(nonce,)], 1), nonce, response)
        self.note("+", [nonce])
        return 1

    def learn(self, error, nonces):
        if rpc.Failure(error).executed in ("no", "rolled_back"):
            self.note("-", nonces)

    async def stream(self):
        nonce, count = self.nonce(), int(10 ** self.rand.uniform(0, 3.5))
        message = rpc.request(query_pb2.StreamQueryRequest,
                              "SELECT $1::bigint + g, repeat('y', 100) FROM generate_series(0, $2) g",
                              (nonce << 20, count), {})
        try:
            messages = [each async for each in self.queries.StreamQuery(message, timeout=SECONDS)]
        except asyncio.CancelledError:
            raise Over from None
        found = [row.values[0].int64_value for each in messages for row in each.rows]
        check(found == [(nonce << 20) + n for n in range(count + 1)], nonce, count, len(found), found[:1], found[-1:])
        check(messages[-1].last, messages[-1])
        return 1

    async def leave_stream(self):
        """In the middle."""
        nonce = self.nonce()
        message = rpc.request(query_pb2.StreamQueryRequest, "SELECT $1::bigint, repeat('z', 1000) FROM "
                              "generate_series(1, 20000)", (nonce,), {})
        call = self.queries.StreamQuery(message, timeout=SECONDS)
        try:
            async for each in call:
                check(all(row.values[0].int64_value == nonce for row in each.rows), nonce)
                if self.rand.random() < 0.3:
                    call.cancel()
                    return 1
        except asyncio.CancelledError:
            raise Over from None
        return 1

    def batch_of(self, nonces):
        steps = [query_pb2.BatchStep(sql="SELECT $1::bigint AS step", params=[rpc.to_value(nonce)])
                 if nonce % 3 else query_pb2.BatchStep(sql=INSERT, params=[rpc.to_value(nonce)]) for nonce in nonces]
        return query_pb2.ExecuteBatchRequest(connection_id="default", steps=steps)

    async def batch(self):
        nonces = [self.nonce() for _ in range(self.rand.randint(1, STEPS))]
        message = self.batch_of(nonces)
        message.mode = self.rand.choice((query_pb2.BATCH_MODE_ATOMIC, query_pb2.BATCH_MODE_ATOMIC,
                                         query_pb2.BATCH_MODE_STOP_ON_ERROR, query_pb2.BATCH_MODE_CONTINUE))
        written = [nonce for nonce in nonces if nonce % 3 == 0]
        try:
            response = await self.call(self.queries.ExecuteBatch, message)
        except grpc.RpcError as error:
            self.learn(error, written)
            raise
        answers = 0
        for nonce, result in zip(nonces, response.results):
            if not result.HasField("error"):
                check(rpc.rows_of(result) == [(nonce,)], nonce, response)
                answers += 1
        check(len(response.results) <= len(nonces), nonces, response)
        whole = answers == len(nonces)
        check(whole or message.mode != query_pb2.BATCH_MODE_ATOMIC, nonces, response)
        if whole:
            self.note("+", written)
        return answers

    async def fail_in_batch(self):
        nonces = [self.nonce() for _ in range(self.rand.randint(2, STEPS))]
        message, word = self.batch_of(nonces), f"x{self.nonce()}"
        message.steps.add(sql="SELECT $1::text::int AS failing", params=[rpc.to_value(word)])
        try:
            response = await self.call(self.queries.ExecuteBatch, message)
        except grpc.RpcError as error:
            self.learn(error, [nonce for nonce in nonces if nonce % 3 == 0])
            return self.judge(error, word)
        raise Wrong(f"{word} is no number: {response}")

    async def transact(self):
        """Its own rows, and nobody else's that are not committed."""
        nonces = [self.nonce(), self.nonce()]
        begun = await self.query(INSERT, nonces[0], transaction=transactions.inline(idle_timeout=2))
        check(rpc.rows_of(begun) == [(nonces[0],)], nonces, begun)
        id = begun.transaction.transaction_id
        try:
            seen = await self.query("SELECT nonce FROM notes WHERE nonce BETWEEN $1 AND $2", *nonces, connection_id="",
                                    transaction=transactions.within(id))
            check(rpc.rows_of(seen) == [(nonces[0],)], nonces, seen)
            if self.rand.random() < 0.2:
                raise Over
        except BaseException:
            await self.roll_back(id)
            self.note("-", nonces)
            raise
        try:
            last = await self.query(INSERT, nonces[1], connection_id="", transaction=transactions.within(id, commit=True))
        except Over:
            await self.roll_back(id)
            raise
        except grpc.RpcError as error:
            self.learn(error, nonces)
            await self.roll_back(id)
            raise
        check(rpc.rows_of(last) == [(nonces[1],)], nonces, last)
        self.note("+", nonces)
        return 3

    async def roll_back(self, id):
        """Others need not wait for its time to pass."""
        message = transaction_pb2.RollbackTransactionRequest(transaction_id=id)
        with contextlib.suppress(grpc.RpcError):
            await self.transactions.RollbackTransaction(message, timeout=SECONDS)


async def hunt(address, first, clients, notes):
    told = {"answers": 0, "wrong": [], "ways": collections.Counter(), "failures": collections.Counter(), "notes": []}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    running = [asyncio.ensure_future(Client(address, first + n, told).run(stop)) for n in range(clients)]
    with open(notes, "w", encoding="utf-8") as file:
        while True:
            done, _ = await asyncio.wait(running, timeout=0.2)
            file.writelines(f"{note}\n" for note in told["notes"])
            told["notes"].clear()
            if len(done) == len(running):
                break
            print(json.dumps({"answers": told["answers"], "wrong": told["wrong"][:5]}), flush=True)
    for each in running:
        each.result()
    print(json.dumps({**told, "wrong": told["wrong"][:50], "count": len(told["wrong"])}), flush=True)


if __name__ == "__main__":
    asyncio.run(hunt(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
