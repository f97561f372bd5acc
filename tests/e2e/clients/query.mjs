// Runs statements through @grpc/grpc-js: query.mjs PROTO_DIR ADDRESS. Each line on standard input is a request as
// JSON ({"sql": …, "stream": true, "params": [[KIND, VALUE]…]}); the answer is one line: columns and rows, each value
// as [KIND, VALUE] with what JSON cannot say as text, or an error with its details.
import readline from 'node:readline';
import { Client } from './client.mjs';

const client = new Client(process.argv[2], process.argv[3]);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { stream, ...request } = JSON.parse(line);
  try {
    console.log(JSON.stringify(await (stream ? client.stream(request) : client.query(request))));
  } catch (error) {
    if (error.code === undefined) throw error;
    console.log(JSON.stringify({ error: client.explain(error) }));
  }
}
client.close();
