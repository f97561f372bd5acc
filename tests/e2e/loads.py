"""Messages of BulkInsert, for tests and for the client processes that they start."""
import rpc
from rpc import query_pb2, value_pb2

ATOMIC, STOP_ON_ERROR, CONTINUE = (query_pb2.BATCH_MODE_ATOMIC, query_pb2.BATCH_MODE_STOP_ON_ERROR,
                                   query_pb2.BATCH_MODE_CONTINUE)


def encoded(rows):
    return [value_pb2.Row(values=[rpc.to_value(value) for value in row]) for row in rows]


def header(table, rows=(), **fields):
    """The first message of a load."""
    return query_pb2.BulkInsertRequest(connection_id=fields.pop("connection_id", "default"), table=table,
                                       rows=encoded(rows), **fields)


def chunk(rows):
    """A later one."""
    return query_pb2.BulkInsertRequest(rows=encoded(rows))


def messages(table, chunks, **fields):
    """A whole load: a message for each list of rows."""
    first, *others = chunks
    return [header(table, first, **fields), *map(chunk, others)]
