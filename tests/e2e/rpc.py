"""The services as Python callables, values as Python's own, and the details of an error."""
import harness

harness.load_stubs()

# pylint: disable=wrong-import-position,import-error
import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc.health.v1 import health_pb2, health_pb2_grpc
from sluice.v1 import (common_pb2, connection_pb2, connection_pb2_grpc, monitoring_pb2, monitoring_pb2_grpc, query_pb2,
                       query_pb2_grpc, transaction_pb2, transaction_pb2_grpc, value_pb2)

Code = grpc.StatusCode
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class Client:
    """A channel of its own, with every service on it."""

    def __init__(self, address, *interceptors):
        self.channel = grpc.intercept_channel(grpc.insecure_channel(address, OPTIONS), *interceptors)
        self.queries = query_pb2_grpc.QueryServiceStub(self.channel)
        self.connections = connection_pb2_grpc.ConnectionServiceStub(self.channel)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)
        self.monitoring = monitoring_pb2_grpc.MonitoringServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def query(self, sql, *params, timeout=harness.CALL_SECONDS, **fields):
        return self.queries.Query(request(query_pb2.QueryRequest, sql, params, fields), timeout=timeout)

    def rows(self, sql, *params, **fields):
        return rows_of(self.query(sql, *params, **fields))

    def stream(self, sql, *params, timeout=harness.CALL_SECONDS, **fields):
        """The messages as they come."""
        return self.queries.StreamQuery(request(query_pb2.StreamQueryRequest, sql, params, fields), timeout=timeout)

    def stream_rows(self, sql, *params, **fields):
        return [row for _, row in joined(self.stream(sql, *params, **fields))]

    def load(self):
        """The default connection as GetHealth shows it."""
        health = self.monitoring.GetHealth(monitoring_pb2.GetHealthRequest(connection_id="default"), timeout=5)
        return health.connections[0]


def request(kind, sql, params, fields):
    named = fields.pop("named", {})
    message = kind(connection_id=fields.pop("connection_id", "default"), sql=sql,
                   params=[to_value(param) for param in params], **fields)
    for name, value in named.items():
        message.named_params[name].CopyFrom(to_value(value))
    return message


def to_value(value):
    if isinstance(value, value_pb2.Value):
        return value
    if value is None:
        return value_pb2.Value(null_value=0)
    kinds = {bool: "bool_value", int: "int64_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return value_pb2.Value(**{kinds[type(value)]: value})


def from_value(value):
    kind = value.WhichOneof("kind")
    if kind == "null_value":
        return None
    if kind == "raw_value":
        return value.raw_value.data
    if kind not in ("bool_value", "int64_value", "double_value", "string_value", "bytes_value", "numeric_value",
                    "json_value"):
        raise AssertionError(f"a value of kind {kind}")
    return getattr(value, kind)


def rows_of(response):
    return [tuple(from_value(value) for value in row.values) for row in response.rows]


def joined(stream):
    """Rows with their number, split values put together; fails where the stream breaks its own rules."""
    count, row, missing, ended = 0, None, {}, False
    for number, message in enumerate(stream):
        assert not ended, "a message after the last"
        assert message.has_columns == (number == 0), "columns come first, and once"
        if message.last:
            assert not message.rows and message.row_count == count, (message.row_count, count)
            ended = True
        for item in message.rows:
            assert not missing, "a row before the parts of the one before it"
            row, missing = [], {}
            for column, value in enumerate(item.values):
                if value.WhichOneof("kind") == "split_value":
                    missing[column] = (value.split_value, bytearray())
                    row.append(None)
                else:
                    row.append(from_value(value))
            count += 1
            if not missing:
                yield count - 1, tuple(row)
        if message.HasField("part"):
            part = message.part
            split, data = missing[part.column]
            assert part.row == count - 1 and part.offset == len(data), "parts come in order"
            data += part.data
            if len(data) == split.size:
                text = split.type == value_pb2.VALUE_TYPE_STRING
                row[part.column] = data.decode() if text else bytes(data)
                del missing[part.column]
                if not missing:
                    yield count - 1, tuple(row)
    assert ended, "the stream ended without its last message"


class Failure:
    """A grpc.RpcError with its details unpacked."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.info = self.sql = self.retry = self.fields = self.request_id = None
        self.detail_bytes = 0
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self.detail_bytes = len(value)
                self._unpack(status_pb2.Status.FromString(value))
        self.reason = self.info.reason if self.info else ""
        self.executed = self.info.metadata.get("executed", "") if self.info else ""

    def _unpack(self, status):
        kinds = {error_details_pb2.ErrorInfo: "info", common_pb2.SqlDiagnostic: "sql",
                 error_details_pb2.RetryInfo: "retry", error_details_pb2.BadRequest: "fields",
                 error_details_pb2.RequestInfo: "request_id"}
        for detail in status.details:
            for kind, name in kinds.items():
                if detail.Is(kind.DESCRIPTOR):
                    assert getattr(self, name) is None, f"two details {name}"
                    message = kind()
                    detail.Unpack(message)
                    setattr(self, name, message)

    def __repr__(self):
        return f"{self.code.name} {self.reason} executed={self.executed}: {self.message}"


class TestCase(harness.TestCase):
    """Tests that call through Python's gRPC."""

    def client(self, server, *interceptors):
        return self.enterContext(Client(server.address, *interceptors))

    def failure(self, call, *arguments, **options):
        """How the call failed. Every failure of the server's says what became of the request."""
        try:
            result = call(*arguments, **options)
            if hasattr(result, "__iter__"):
                result = list(result)
        except grpc.RpcError as error:
            return Failure(error)
        self.fail(f"no failure but {str(result)[:500]}")

    def assert_fails(self, codes, call, *arguments, reason=None, executed=None, **options):
        failure = self.failure(call, *arguments, **options)
        codes = codes if isinstance(codes, tuple) else (codes,)
        self.assertIn(failure.code, codes, f"{failure} {arguments!r:.300}")
        if reason:
            self.assertEqual(failure.reason, reason, f"{failure} {arguments!r:.300}")
        if executed:
            self.assertEqual(failure.executed, executed, f"{failure} {arguments!r:.300}")
        return failure

    def await_idle(self, client, seconds):
        """Nothing runs any more; answers how long that took."""
        begin = harness.time.monotonic()
        harness.wait_for(lambda: client.load().active == 0, seconds, "no statement runs any more")
        return harness.time.monotonic() - begin
