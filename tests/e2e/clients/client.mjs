// Sluice through @grpc/grpc-js and @grpc/proto-loader, as any Node program would call it.
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const LOADING = { keepCase: true, longs: String, enums: String, oneofs: true };

export class Client {
  constructor(protoDir, address) {
    const files = ['sluice/v1/query.proto', 'sluice/v1/transaction.proto', 'google/rpc/status.proto',
      'google/rpc/error_details.proto'];
    const definition = loader.loadSync(files, { ...LOADING, includeDirs: [protoDir] });
    const { QueryService, TransactionService } = grpc.loadPackageDefinition(definition).sluice.v1;
    const options = { 'grpc.max_receive_message_length': -1, 'grpc.enable_retries': 0 };
    this.definition = definition;
    this.service = new QueryService(address, grpc.credentials.createInsecure(), options);
    this.transactions = new TransactionService(address, grpc.credentials.createInsecure(), options);
  }

  close() {
    this.service.close();
    this.transactions.close();
  }

  query(request) {
    return new Promise((resolve, reject) => {
      this.service.Query(toRequest(request), deadline(), (error, response) => {
        if (error) reject(error);
        else resolve(toResult(response));
      });
    });
  }

  // A unary method of TransactionService.
  transact(method, request) {
    return new Promise((resolve, reject) => {
      this.transactions[method](request, deadline(), (error, response) => (error ? reject(error) : resolve(response)));
    });
  }

  // Resolves once the stream has ended well; a stream without its last message has not.
  stream(request) {
    return new Promise((resolve, reject) => {
      const result = { columns: [], rows: [], last: false };
      const call = this.service.StreamQuery(toRequest(request), deadline());
      call.on('data', (message) => {
        if (message.has_columns) result.columns = message.columns;
        result.rows.push(...toRows(message.rows));
        if (message.last) Object.assign(result, { last: true, row_count: message.row_count });
      });
      call.on('error', reject);
      call.on('end', () => resolve(result));
    });
  }

  // What a program finds in an error: the code, and the details by the last part of their type's name.
  explain(error) {
    const out = { code: error.code, message: error.details };
    const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
    if (!bytes) return out;
    for (const detail of this.definition['google.rpc.Status'].deserialize(bytes).details) {
      const name = detail.type_url.split('/').pop();
      out[name.split('.').pop()] = this.definition[name].deserialize(detail.value);
    }
    return out;
  }
}

export function toResult({ columns = [], rows, command_tag: tag, transaction }) {
  return { columns, rows: toRows(rows), tag, transaction };
}

export function deadline() {
  return { deadline: Date.now() + 60_000 };
}

export function toRequest({ params = [], ...rest }) {
  const values = params.map(([kind, value]) => ({
    [kind]: kind === 'bytes_value' ? Buffer.from(value, 'base64') : value,
  }));
  return { connection_id: 'default', ...rest, params: values };
}

function toRows(rows) {
  return (rows ?? []).map(({ values }) => values.map((value) => [value.kind, plain(value[value.kind])]));
}

function plain(value) {
  if (Buffer.isBuffer(value)) return value.toString('base64');
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
