// Sluice's Query by grpc-js and pg, as one would write it: one process, a pool of 20, a named prepared statement.
// grpcjs.mjs PROTO_DIR [pg's settings as JSON]; prints where it listens.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import pg from "pg";

const [protos, database] = process.argv.slice(2);
const definition = loader.loadSync("sluice/v1/query.proto", {includeDirs: [protos], keepCase: true, longs: Number});
const {QueryService} = grpc.loadPackageDefinition(definition).sluice.v1;
const pool = new pg.Pool({...JSON.parse(database), max: 20});
const names = new Map();

function nameOf(sql) {
  if (!names.has(sql)) names.set(sql, `s${names.size}`);
  return names.get(sql);
}

async function query({request}, answer) {
  try {
    const values = request.params.map((value) => value.int64_value);
    const {rows} = await pool.query({name: nameOf(request.sql), text: request.sql, values, rowMode: "array"});
    const toValue = (value) => (typeof value === "number" ? {int64_value: value} : {string_value: value});
    answer(null, {rows: rows.map((row) => ({values: row.map(toValue)})), has_columns: true});
  } catch (error) {
    answer({code: grpc.status.INTERNAL, message: error.message});
  }
}

const server = new grpc.Server();
server.addService(QueryService.service, {Query: query});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(JSON.stringify({listen: `127.0.0.1:${port}`}));
});
process.on("SIGTERM", () => process.exit());
