// Pushes to a client of a pushtunnel server, with stock @grpc/grpc-js.
//
//     node push.js SERVER CLIENT TEXT
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const proto = path.join(__dirname, "../quickstart/notifierpb/notifier.proto");
const { Notifier } = grpc.loadPackageDefinition(loader.loadSync(proto)).examples.notifier.v1;

const [server, client, text] = process.argv.slice(2);
const notifier = new Notifier(server, grpc.credentials.createInsecure());
const to = new grpc.Metadata();
to.set("pushtunnel-client", client); // this is all that is not plain gRPC
const options = () => ({ deadline: Date.now() + 10_000 });

function fail(err) {
  const outcome = err.metadata.get("pushtunnel-outcome")[0];
  console.error(`${grpc.status[err.code]}: ${err.details} (outcome: ${outcome})`);
  process.exitCode = 1;
}

notifier.Notify({ text }, to, options(), (err, answer) => {
  if (err) return fail(err);
  console.log("shown by", answer.display);
  notifier
    .Install({ version: text }, to, options())
    .on("data", (step) => console.log(`${step.percent}%`))
    .on("error", fail);
});
