// greedy.mjs - llama.cpp's greedy continuation of token ids, for test_architectures.py.
//
// Reads one JSON object a line, {"model": path, "ids": [...], "n": count}, and answers each with
// one line: {"ids": [...]} or {"error": text}. Tokens in, tokens out: no template, no tokenizer, no
// stop at an end of text. CPU, one sequence, an f32 cache, no flash attention.
import readline from "node:readline";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const said = [];    // what llama.cpp complains of, since the last answer
const llama = await getLlama({
    gpu: false, build: "never", progressLogs: false, maxThreads: 1,
    logLevel: LlamaLogLevel.error, logger: (level, text) => said.push(text.trim()),
});

async function greedy({ model: modelPath, ids, n }) {
    const model = await llama.loadModel({ modelPath });
    try {
        const context = await model.createContext({
            contextSize: 256, batchSize: 256, threads: 1, flashAttention: false,
            experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
        });
        const out = [];
        const options = { temperature: 0, yieldEogToken: true };
        for await (const token of context.getSequence().evaluate(ids, options)) {
            out.push(token);
            if (out.length === n) break;
        }
        return { ids: out };
    } finally {
        await model.dispose();
    }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
    said.length = 0;
    let answer;
    try {
        answer = await greedy(JSON.parse(line));
    } catch (e) {
        answer = { error: String(e.message ?? e) };
        await new Promise((resolve) => setTimeout(resolve, 50));    // the rest of what it says
        answer.error += "; " + said.join("; ");
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
