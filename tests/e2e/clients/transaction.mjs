// Transactions through @grpc/grpc-js: transaction.mjs PROTO_DIR ADDRESS SCENARIO, on a table account(id, balance) with
// 100 in 1 and nothing in 2. Prints what happened as one line of JSON; the test that starts it says what should have.
import { Client, deadline, toRequest, toResult } from './client.mjs';

const [protoDir, address, scenario] = process.argv.slice(2);
const client = new Client(protoDir, address);
const int = (value) => ['int64_value', String(value)];
const READ = 'SELECT balance FROM account WHERE id = $1';
const ADD = 'UPDATE account SET balance = balance + $2 WHERE id = $1';

async function failureOf(promise) {
  try {
    await promise;
  } catch (error) {
    if (error.code === undefined) throw error;
    const { code, ErrorInfo: info } = client.explain(error);
    return { code, reason: info?.reason, metadata: info?.metadata };
  }
  throw new Error('it did not fail');
}

// One conversation; each request is answered in its turn.
class Conversation {
  constructor() {
    this.call = client.transactions.Interact(deadline());
    this.sent = 0;
    this.waiting = [];
    this.ended = new Promise((resolve) => {
      this.call.on('error', (error) => resolve(client.explain(error)));
      this.call.on('end', () => resolve({ code: 0 }));
    });
    this.call.on('data', (response) => this.waiting.shift()(response));
  }

  ask(action) {
    this.sent += 1;
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.call.write({ call_id: String(this.sent), ...action });
    });
  }

  async query(sql, params, transaction) {
    const request = toRequest({ sql, params, transaction });
    const { query, error, transaction: status } = await this.ask({ query: request });
    return { ...(query && toResult(query)), reason: error?.reason, transaction: status };
  }
}

const scenarios = {
  // BEGIN comes with the first call, and COMMIT with the last one.
  async transfer() {
    const looked = await client.query({ sql: READ, params: [int(1)], transaction: { begin: { label: 'node' } } });
    const transaction = { transaction_id: looked.transaction.transaction_id };
    const took = await client.query({ sql: ADD, params: [int(1), int(-70)], transaction });
    const last = { ...transaction, commit: true };
    const gave = await client.query({ sql: ADD, params: [int(2), int(70)], transaction: last });
    const late = await failureOf(client.query({ sql: READ, params: [int(1)], transaction }));
    return { looked, took, gave, late };
  },

  async failure() {
    const begun = await client.transact('BeginTransaction', { connection_id: 'default' });
    const transaction = { transaction_id: begun.transaction.transaction_id };
    const added = await client.query({ sql: ADD, params: [int(2), int(1)], transaction });
    const failed = await failureOf(client.query({ sql: 'INSERT INTO account VALUES(1, 0)', transaction }));
    const commit = await failureOf(client.transact('CommitTransaction', transaction));
    const rolledBack = await client.transact('RollbackTransaction', transaction);
    const again = await client.transact('RollbackTransaction', transaction);
    return { added, failed, commit, rolledBack, again };
  },

  async expiry() {
    const begin = { idle_timeout: { nanos: 200_000_000 } };
    const { transaction } = await client.query({ sql: ADD, params: [int(2), int(1)], transaction: { begin } });
    // Gets the writer when the lease of the first one ends.
    const waited = await client.query({ sql: ADD, params: [int(1), int(5)] });
    const late = await failureOf(client.transact('CommitTransaction', { transaction_id: transaction.transaction_id }));
    const rolledBack = await client.transact('RollbackTransaction', { transaction_id: transaction.transaction_id });
    return { transaction, waited, late, rolledBack };
  },

  async interact() {
    const conversation = new Conversation();
    const ahead = await Promise.all([
      conversation.query(ADD, [int(1), int(-30)], { begin: { label: 'node' } }),
      conversation.ask({ savepoint: { name: 's' } }),
      conversation.query('SELECT nothing'),
      conversation.ask({ rollback_to_savepoint: { name: 's' } }),
      conversation.query(ADD, [int(2), int(30)]),
      conversation.ask({ commit: {} }),
    ]);
    const begun = await conversation.ask({ begin: { connection_id: 'default' } });
    await conversation.query(ADD, [int(1), int(1000)]);
    conversation.call.end(); // which rolls back
    return { ahead, begun, ended: await conversation.ended };
  },

  async interactExpiry() {
    const conversation = new Conversation();
    const begin = { idle_timeout: { nanos: 200_000_000 } };
    const begun = await conversation.query(ADD, [int(1), int(1000)], { begin });
    return { begun, ended: await conversation.ended };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
client.close();
