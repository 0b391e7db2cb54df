// What OpenAI's official client for Node, unmodified, sees of a yard: one JSON object on standard output.
// The client finds the yard as any program of its users would: by OPENAI_BASE_URL and OPENAI_API_KEY.
import OpenAI, { toFile } from "openai";

const BATCH_LIMIT_MS = 20_000;
const client = new OpenAI();
const said = (content) => [{ role: "user", content }];
const schema = { type: "object", properties: { city: { type: "string" } } };

async function chat() {
  const asked = { model: "auto", messages: said("hello"), task: "by-node" };
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  return { answer: data, job: response.headers.get("x-tokenyard-job"), cost: response.headers.get("x-tokenyard-cost-usd") };
}

async function stream() {
  const chunks = [];
  const asked = { model: "auto", messages: said("hello"), stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create(asked)) chunks.push(chunk);
  const helper = client.chat.completions.stream({ model: "auto", messages: said("hello") });
  return { chunks, whole: await helper.finalContent() };
}

// The client's own loop: it calls the function that the model named and sends its result back, until there is text.
async function tool(streamed) {
  const called = [];
  const weather = (given) => {
    called.push(given);
    return "21 degrees";
  };
  const tools = [{ type: "function", function: { name: "weather", parameters: schema, parse: JSON.parse, function: weather } }];
  const runner = client.chat.completions.runTools({ model: "auto", messages: said("tool"), tools, stream: streamed });
  return { text: await runner.finalContent(), called, messages: runner.messages };
}

async function refused(user, changes) {
  try {
    await user.chat.completions.create({ model: "auto", messages: said("hello"), ...changes });
  } catch (error) {
    const known = Object.keys(OpenAI).filter((name) => error.constructor === OpenAI[name]);
    return { class: known[0], status: error.status, code: error.code, job: error.error?.job ?? null };
  }
  throw new Error("it was not refused");
}

async function errors() {
  return {
    key: await refused(new OpenAI({ apiKey: "ty_none_none" }), {}),
    model: await refused(client, { model: "maker/none" }),
    field: await refused(client, { n: 0 }),
    intent: await refused(client, { intent: { require: { region: "moon" } } }),
    streamed: await refused(client, { model: "maker/none", stream: true }),
    provider: await refused(client, { model: "maker/ill@sick", messages: said("400") }),
  };
}

async function batch() {
  const endpoint = "/v1/chat/completions";
  const body = { model: "auto", messages: said("hello") };
  const text = [0, 1, 2].map((n) => JSON.stringify({ custom_id: `q-${n}`, method: "POST", url: endpoint, body })).join("\n");
  const file = await client.files.create({ file: await toFile(Buffer.from(text), "lines.jsonl"), purpose: "batch" });
  const found = await client.files.retrieve(file.id);
  const back = await (await client.files.content(file.id)).text();
  const made = await client.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h" });
  const limit = Date.now() + BATCH_LIMIT_MS;
  let ended = await client.batches.retrieve(made.id);
  while (ended.status === "in_progress" && Date.now() < limit) {
    await new Promise((wake) => setTimeout(wake, 50));
    ended = await client.batches.retrieve(made.id);
  }
  const output = ended.output_file_id && (await (await client.files.content(ended.output_file_id)).text());
  const listed = [];
  for await (const each of client.batches.list({ limit: 1 })) listed.push(each.id);
  return { file, found, same: back === text, made, ended, output, listed, deleted: await client.files.delete(file.id) };
}

async function models() {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  return { listed, one: await client.models.retrieve("maker/small") };
}

const seen = { chat: await chat(), stream: await stream(), tool: await tool(false), tool_streamed: await tool(true) };
console.log(JSON.stringify({ ...seen, errors: await errors(), batch: await batch(), models: await models() }));
