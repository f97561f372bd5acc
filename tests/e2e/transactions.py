"""Transactions through the API, for tests and for the client processes that they start: begun, used, looked at."""
import dataclasses

import harness
import loads
import rpc
from rpc import common_pb2, connection_pb2, query_pb2, transaction_pb2

UNSPECIFIED, READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE = (
    common_pb2.ISOLATION_LEVEL_UNSPECIFIED, common_pb2.ISOLATION_LEVEL_READ_COMMITTED,
    common_pb2.ISOLATION_LEVEL_REPEATABLE_READ, common_pb2.ISOLATION_LEVEL_SERIALIZABLE)
LEVELS = (UNSPECIFIED, READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE)
COMMITTED, ROLLED_BACK, PENDING, UNKNOWN = (
    transaction_pb2.TRANSACTION_OUTCOME_COMMITTED, transaction_pb2.TRANSACTION_OUTCOME_ROLLED_BACK,
    transaction_pb2.TRANSACTION_OUTCOME_PENDING, transaction_pb2.TRANSACTION_OUTCOME_UNKNOWN)
ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT {} FROM s"
# More than a client takes unless it reads: some 40 MB.
LONG_ROWS = 20_000
LONG = ENDLESS.format("n, hex(zeroblob(1000))") + f" LIMIT {LONG_ROWS}"

# What a transaction may see or lose that one alone would not.
DIRTY_READ, OTHER_READ, PHANTOM, WRITE_SKEW, LOST_UPDATE = (
    "dirty read", "non-repeatable read", "phantom", "write skew", "lost update")


@dataclasses.dataclass(frozen=True)
class Engine:
    """What the tests have to know of a database. Statements of theirs are written for all of them."""

    name: str
    flags: tuple = ()  # of a server whose default connection is such a database
    in_force: dict = None  # the isolation that a level brings
    anomalies: dict = None  # what a level lets through
    one_writer: bool = False  # transactions that write run one after another


SQLITE = Engine("sqlite", in_force={level: SERIALIZABLE for level in LEVELS},
                anomalies={level: set() for level in LEVELS}, one_writer=True)


def seconds_of(duration):
    return duration.seconds + duration.nanos / 1e9


def options(**fields):
    """Of a transaction; times are in seconds."""
    out = common_pb2.TransactionOptions()
    for name in ("idle_timeout", "max_life"):
        if name in fields:
            getattr(out, name).FromNanoseconds(round(fields.pop(name) * 1e9))
    out.MergeFrom(common_pb2.TransactionOptions(**fields))
    return out


def inline(commit=False, **fields):
    """The selector of a request that begins a transaction."""
    return common_pb2.TransactionSelector(begin=options(**fields), commit=commit)


def within(id, commit=False):
    """The selector of a request in an open transaction."""
    return common_pb2.TransactionSelector(transaction_id=id, commit=commit)


def state_of(shown):
    """`ACTIVE`, …: of a TransactionStatus or a Transaction."""
    return common_pb2.TransactionState.Name(shown.state).removeprefix("TRANSACTION_STATE_")


def batch(client, statements, timeout=harness.CALL_SECONDS, **fields):
    """ExecuteBatch; a statement is SQL, or a tuple of SQL and its values."""
    steps = [(each, ) if isinstance(each, str) else each for each in statements]
    steps = [query_pb2.BatchStep(sql=sql, params=map(rpc.to_value, values)) for sql, *values in steps]
    fields.setdefault("connection_id", "default")
    return client.queries.ExecuteBatch(query_pb2.ExecuteBatchRequest(steps=steps, **fields), timeout=timeout)


def load(client, table, *chunks, timeout=harness.CALL_SECONDS, **fields):
    """BulkInsert of lists of rows."""
    return client.queries.BulkInsert(iter(loads.messages(table, chunks, **fields)), timeout=timeout)


def stream(client, sql, *values, **fields):
    """StreamQuery, read to its end: the messages."""
    return list(client.stream(sql, *values, **fields))


def call(client, method, timeout=harness.CALL_SECONDS, **fields):
    """A method of TransactionService by its name."""
    message = getattr(transaction_pb2, f"{method}Request")(**fields)
    return getattr(client.transactions, method)(message, timeout=timeout)


def outcome(client, **fields):
    response = call(client, "GetTransactionOutcome", **fields)
    return response.outcome


class Transaction:
    """One that is open, by its id."""

    def __init__(self, client, status):
        self.client, self.id, self.handle = client, status.transaction_id, status.handle

    def act(self, method, timeout=harness.CALL_SECONDS, **fields):
        """A method about it by its name; answers its status."""
        response = call(self.client, method, timeout=timeout, transaction_id=self.id, **fields)
        return response.transaction

    def query(self, sql, *values, commit=False, **fields):
        fields.setdefault("connection_id", "")
        return self.client.query(sql, *values, transaction=within(self.id, commit), **fields)

    def rows(self, sql, *values, **fields):
        return rpc.rows_of(self.query(sql, *values, **fields))

    def begin_query(self, sql, *values, timeout=harness.CALL_SECONDS, **fields):
        """A query whose answer is not waited for."""
        fields = {"connection_id": "", "transaction": within(self.id, fields.pop("commit", False)), **fields}
        message = rpc.request(query_pb2.QueryRequest, sql, values, fields)
        return self.client.queries.Query.future(message, timeout=timeout)

    def begin_batch(self, statements, timeout=harness.CALL_SECONDS):
        """A batch whose answer is not waited for."""
        message = query_pb2.ExecuteBatchRequest(steps=[query_pb2.BatchStep(sql=sql) for sql in statements],
                                                transaction=within(self.id))
        return self.client.queries.ExecuteBatch.future(message, timeout=timeout)

    def stream(self, sql, *values, commit=False, **fields):
        """The messages as they come."""
        fields.setdefault("connection_id", "")
        return self.client.stream(sql, *values, transaction=within(self.id, commit), **fields)

    def batch(self, statements, commit=False, **fields):
        fields.setdefault("connection_id", "")
        return batch(self.client, statements, transaction=within(self.id, commit), **fields)

    def load(self, table, *chunks, commit=False, **fields):
        fields.setdefault("connection_id", "")
        return load(self.client, table, *chunks, transaction=within(self.id, commit), **fields)

    def commit(self, **fields):
        return self.act("CommitTransaction", **fields)

    def rollback(self, **fields):
        return self.act("RollbackTransaction", **fields)

    def shown(self):
        """As GetTransaction shows it to its owner."""
        return call(self.client, "GetTransaction", transaction_id=self.id).transaction

    def state(self):
        return state_of(self.shown())


def begin(client, connection_id="default", **fields):
    """BeginTransaction; fields of TransactionOptions."""
    response = call(client, "BeginTransaction", connection_id=connection_id, options=options(**fields))
    return Transaction(client, response.transaction)


def begin_with(client, sql, *values, **fields):
    """One that its first statement begins."""
    return Transaction(client, client.query(sql, *values, transaction=inline(**fields)).transaction)


class TestCase(rpc.TestCase):
    """A server with a table t(a INTEGER PRIMARY KEY, b), and a client of it."""

    engine = SQLITE
    flags = ()
    grace = "100ms"  # what a test leaves open is not waited for

    def setUp(self):
        super().setUp()
        self.data_dir = self.folder / "data"
        self.connect(self.serve())
        self.rpc.query("CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER)")

    def serve(self, **fields):
        """A server on the data of this test."""
        return self.start(*self.engine.flags, *self.flags, "--shutdown-grace", self.grace, data_dir=self.data_dir,
                          **fields)

    def connect(self, server):
        self.server, self.rpc = server, self.client(server)

    def restart_after_kill(self):
        self.server.kill()
        self.connect(self.serve())

    def content(self):
        return self.rpc.rows("SELECT a, b FROM t ORDER BY a")

    def register(self, name):
        """Another connection's id."""
        request = connection_pb2.RegisterConnectionRequest(url=f"sqlite:///{name}.db", name=name)
        return self.rpc.connections.RegisterConnection(request, timeout=harness.CALL_SECONDS).connection_id

    def list(self, **fields):
        return call(self.rpc, "ListTransactions", **fields)

    def counts(self):
        """TransactionStats of the default connection."""
        return self.rpc.load().transactions

    def assert_status(self, status, state, handle=None):
        """What an answer tells of its transaction is whole."""
        self.assertEqual(state_of(status), state)
        self.assertRegex(status.handle, r"^tx_[0-9a-f]{12}$")
        if handle:
            self.assertEqual(status.handle, handle)
        is_open = state in ("ACTIVE", "FAILED")
        self.assertEqual((bool(status.transaction_id), status.HasField("expires_in"), status.HasField("expire_time")),
                         (is_open, is_open, is_open), status)
        self.assertIn(status.isolation, self.engine.in_force.values())

    def assert_told(self, failure, state, handle=None):
        """The metadata of an error tells the same."""
        facts = dict(failure.info.metadata)
        self.assertEqual(facts.get("transaction_state"), state, f"{failure} {facts}")
        self.assertRegex(facts["transaction"], r"^tx_[0-9a-f]{12}$")
        if handle:
            self.assertEqual(facts["transaction"], handle)
        is_open = state in ("ACTIVE", "FAILED")
        self.assertEqual("transaction_expires_in_ms" in facts, is_open, facts)
        if is_open:
            self.assertTrue(0 <= int(facts["transaction_expires_in_ms"]) <= 30_000, facts)

    def assert_nothing_open(self):
        self.assertEqual(list(self.list().transactions), [])
        load = self.rpc.load()
        self.assertEqual((load.transactions.open, load.writer.held_by), (0, ""))
