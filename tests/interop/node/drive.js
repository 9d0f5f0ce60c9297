// node drive.js SDK: one JSON line {call, args} on stdin, one JSON line {value} or {error} on stdout.
const readline = require("readline");
const { sdks } = require("./sdks");

const known = JSON.parse(process.env.CREDENTIALS);
const calls = sdks[process.argv[2]](known);

function told(error) {
  const response = error.response || {};
  return { message: String(error.message), code: error.code, status: response.status, data: response.data };
}

async function answer(line) {
  const { call, args } = JSON.parse(line);
  try {
    return { value: (await calls[call](...args)) ?? null };
  } catch (error) {
    return { error: told(error) };
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
  }
})();
