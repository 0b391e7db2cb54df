// What OpenAI's official client for Node adds streams up to. Reads a JSON list of streams (each a list of chunks) from
// standard input and writes a list of completions, or of `{"error": ...}` where the client refuses a stream.
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";

async function addedUp(chunks) {
  const lines = chunks.map((chunk) => JSON.stringify(chunk) + "\n");
  const stream = new ReadableStream({
    start(controller) {
      for (const line of lines) controller.enqueue(new TextEncoder().encode(line));
      controller.close();
    },
  });
  try {
    return await ChatCompletionStream.fromReadableStream(stream).finalChatCompletion();
  } catch (error) {
    return { error: String(error) };
  }
}

let given = "";
for await (const piece of process.stdin) given += piece;
const completions = [];
for (const chunks of JSON.parse(given)) completions.push(await addedUp(chunks));
console.log(JSON.stringify(completions));
