// Writes rows and reads streams until the server ends: load.mjs PROTO_DIR ADDRESS NAME. One line on standard output for
// each write: its id, and "OK" or the error with its details; one for each stream.
import { Client } from './client.mjs';

const [protoDir, address, name] = process.argv.slice(2);
const client = new Client(protoDir, address);
const SERIES =
  'WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 50000) SELECT n, hex(n) FROM s';

function tell(outcome) {
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

async function attempt(outcome, call) {
  try {
    const result = await call();
    tell({ ...outcome, code: 0, last: result.last, count: result.rows.length });
    return true;
  } catch (error) {
    if (error.code === undefined) throw error;
    const { code, message, ErrorInfo: info } = client.explain(error);
    tell({ ...outcome, code, message, reason: info?.reason ?? '', executed: info?.metadata?.executed ?? '' });
    return false;
  }
}

async function write(worker) {
  for (let n = 0; ; n += 1) {
    const id = `${name}-${worker}-${n}`;
    const params = [['string_value', id]];
    if (!(await attempt({ id }, () => client.query({ sql: 'INSERT INTO t VALUES(?1)', params })))) return;
  }
}

async function stream() {
  while (await attempt({ stream: true }, () => client.stream({ sql: SERIES })));
}

await Promise.all([write(0), write(1), stream()]);
client.close();
