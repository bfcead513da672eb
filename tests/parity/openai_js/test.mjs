// test.mjs URL KEYS - the official OpenAI client, as it is, against a server with the model that ships:
// forty calls, each a thing that programs do. KEYS is JSON: keys by their name. test_openai_js.py starts
// the server and runs this.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [url, keys] = [process.argv[2], JSON.parse(process.argv[3])];
const model = 'nexus-mini';
const messages = [{role: 'user', content: 'What is a page cache?'}];
const long = {max_completion_tokens: 400, ignore_eos: true, temperature: 0};

const make = (apiKey, options = {}) =>
    new OpenAI({baseURL: url + '/v1', apiKey, maxRetries: 0, ...options});
const client = make(keys.infer);
const admin = async (path, body) => (await fetch(url + path, {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body),
    headers: {authorization: 'Bearer ' + keys.admin, 'content-type': 'application/json'},
})).json();

const chat = (how = {}, c = client, options) => c.chat.completions.create(
    {model, messages, temperature: 0, max_completion_tokens: 24, ...how}, options);
const complete = (how = {}) => client.completions.create(
    {model, prompt: 'Once upon a time', temperature: 0, max_tokens: 8, ...how});
const collect = async (stream) => {
    const all = [];
    for await (const chunk of stream) all.push(chunk);
    return all;
};
const text_of = (chunks, i = 0) => chunks.flatMap((c) => c.choices)
    .filter((c) => c.index === i).map((c) => c.delta.content ?? '').join('');
const bytes_of = (tokens) => Buffer.from(tokens.flatMap((t) => t.bytes)).toString();

// What the call is refused with; checks its class and fields.
async function refused(kind, call, fields = {}) {
    try {
        await call();
    } catch (error) {
        assert.ok(error instanceof kind, `${kind.name} expected: ${error.constructor.name} ${error}`);
        for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value, name);
        return error;
    }
    assert.fail(`${kind.name} expected, but it was answered`);
}

async function idle(ms = 2000) {
    for (const end = Date.now() + ms; Date.now() < end;) {
        const {running, waiting} = await admin('/admin/requests');
        if (running.length + waiting.length === 0) return;
        await new Promise((done) => setTimeout(done, 10));
    }
    assert.fail('something is under way still');
}

const calls = {
    // ---- Models ----
    async 'models.list'() {
        const found = await collect(client.models.list());
        assert.deepEqual(found.map((m) => m.id), [model, 'all-minilm-l6-v2']);
    },
    async 'models.retrieve'() {
        const found = await client.models.retrieve(model);
        assert.deepEqual([found.id, found.object, found.owned_by], [model, 'model', 'nexus']);
    },
    async 'a model that is not there'() {
        await refused(OpenAI.NotFoundError, () => client.models.retrieve('none/such'),
            {status: 404, code: 'model_not_found'});
        await refused(OpenAI.NotFoundError, () => chat({model: 'none'}), {param: 'model'});
    },

    // ---- Chat ----
    async 'chat'() {
        const got = await chat();
        assert.match(got.id, /^chatcmpl-/);
        assert.equal(got.object, 'chat.completion');
        assert.equal(got.choices[0].message.role, 'assistant');
        assert.equal(got.choices[0].message.refusal, null);
        assert.ok(got.choices[0].message.content.length > 0);
        assert.equal(got.choices[0].logprobs, null);
        assert.equal(got.usage.total_tokens, got.usage.prompt_tokens + got.usage.completion_tokens);
        assert.ok(got.usage.prompt_tokens_details.cached_tokens >= 0);
    },
    async 'a stream, event by event'() {
        const chunks = await collect(await chat({stream: true}));
        const whole = await chat();
        assert.equal(text_of(chunks), whole.choices[0].message.content);
        assert.equal(new Set(chunks.map((c) => `${c.id} ${c.created} ${c.model}`)).size, 1);
        assert.equal(chunks[0].choices[0].delta.role, 'assistant');
        assert.deepEqual(chunks.map((c) => c.choices[0].finish_reason).filter(Boolean),
            [whole.choices[0].finish_reason]);
    },
    async 'the stream helper'() {
        const seen = {};
        let text = '', done = null;
        const stream = client.chat.completions.stream(
            {model, messages, temperature: 0, max_completion_tokens: 24});
        for (const name of ['connect', 'chunk', 'content', 'message', 'finalMessage', 'finalContent',
            'finalChatCompletion', 'end', 'chatCompletion'])
            stream.on(name, () => { seen[name] = (seen[name] ?? 0) + 1; });
        stream.on('content.delta', (e) => {
            text += e.delta;
            assert.equal(e.snapshot, text);
        });
        stream.on('content.done', (e) => { done = e.content; });
        const final = await stream.finalChatCompletion();
        assert.equal(done, text);
        assert.equal(final.choices[0].message.content, text);
        assert.equal(await stream.finalContent(), text);
        assert.equal(text, (await chat()).choices[0].message.content);
        for (const name of ['connect', 'message', 'finalMessage', 'finalContent', 'finalChatCompletion',
            'end']) assert.equal(seen[name], 1, name);
        assert.ok(seen.chunk > 1);
    },
    async 'the stream helper with usage'() {
        const final = await client.chat.completions.stream({model, messages, temperature: 0,
            max_completion_tokens: 24, stream_options: {include_usage: true}}).finalChatCompletion();
        assert.equal(final.usage.completion_tokens, (await chat()).usage.completion_tokens);
    },
    async 'the stream helper, read as events'() {
        const stream = client.chat.completions.stream(
            {model, messages, temperature: 0, max_completion_tokens: 24});
        const chunks = await collect(stream);
        assert.equal(text_of(chunks), (await stream.finalMessage()).content);
    },
    async 'the stream helper, handed on'() {
        const stream = client.chat.completions.stream(
            {model, messages, temperature: 0, max_completion_tokens: 24});
        const lines = [];
        for await (const piece of stream.toReadableStream()) lines.push(Buffer.from(piece).toString());
        assert.ok(lines.join('').trim().split('\n').every((line) => JSON.parse(line).choices));
    },
    async 'the event with the usage'() {
        const chunks = await collect(await chat({stream: true, stream_options: {include_usage: true}}));
        assert.deepEqual(chunks.at(-1).choices, []);
        assert.ok(chunks.at(-1).usage.completion_tokens > 0);
        assert.ok(chunks.slice(0, -1).every((c) => c.usage === null && c.choices.length === 1));
    },
    async 'three answers'() {
        const got = await chat({n: 3, temperature: 1, seed: 5});
        assert.deepEqual(got.choices.map((c) => c.index), [0, 1, 2]);
        assert.ok(new Set(got.choices.map((c) => c.message.content)).size > 1);
    },
    async 'three answers at once in a stream'() {
        const chunks = await collect(await chat({n: 3, temperature: 1, seed: 5, stream: true}));
        const whole = await chat({n: 3, temperature: 1, seed: 5});
        assert.deepEqual([0, 1, 2].map((i) => text_of(chunks, i)),
            whole.choices.map((c) => c.message.content));
    },
    async 'stop'() {
        const whole = (await chat()).choices[0].message.content, stop = whole.slice(6, 10);
        for (const how of [stop, [stop], ['never in it', stop]]) {
            const {choices: [choice]} = await chat({stop: how});
            assert.equal(choice.message.content, whole.slice(0, whole.indexOf(stop)));
            assert.equal(choice.finish_reason, 'stop');
        }
        assert.equal(text_of(await collect(await chat({stop, stream: true}))),
            whole.slice(0, whole.indexOf(stop)));
    },
    async 'seed'() {
        const told = async (seed) => (await chat({temperature: 1.2, seed})).choices[0].message.content;
        assert.equal(await told(7), await told(7));
        assert.ok(new Set([await told(1), await told(2), await told(3), await told(4)]).size > 1);
    },
    async 'logprobs'() {
        const {choices: [choice]} = await chat({logprobs: true, top_logprobs: 3});
        assert.equal(bytes_of(choice.logprobs.content), choice.message.content);
        for (const t of choice.logprobs.content) {
            assert.equal(t.top_logprobs.length, 3);
            assert.ok(t.logprob <= 1e-6 && t.top_logprobs[0].logprob >= t.top_logprobs[1].logprob);
        }
    },
    async 'logprobs of a stream'() {
        const chunks = await collect(await chat({logprobs: true, top_logprobs: 2, stream: true}));
        const tokens = chunks.flatMap((c) => c.choices[0].logprobs?.content ?? []);
        assert.equal(bytes_of(tokens), text_of(chunks));
    },
    async 'logprobs in the helper'() {
        const seen = [];
        const stream = client.chat.completions.stream({model, messages, temperature: 0,
            max_completion_tokens: 24, logprobs: true, top_logprobs: 1});
        stream.on('logprobs.content.delta', (e) => seen.push(...e.content));
        const {choices: [choice]} = await stream.finalChatCompletion();
        assert.equal(bytes_of(choice.logprobs.content), choice.message.content);
        assert.equal(seen.length, choice.logprobs.content.length);
    },
    async 'logit_bias'() {
        const one = {max_completion_tokens: 1};
        const first = (await chat(one)).choices[0].message.content;
        const {tokens: [id]} = await admin('/v1/tokenize', {text: first, add_special: false});
        assert.notEqual((await chat({...one, logit_bias: {[id]: -100}})).choices[0].message.content, first);
        assert.equal((await chat({max_completion_tokens: 3, logit_bias: {[id]: 100}}))
            .choices[0].message.content, first.repeat(3));
    },
    async 'penalties'() {
        const told = async (how) => (await complete(
            {prompt: 'one one one one one', max_tokens: 24, ...how})).choices[0].text;
        assert.notEqual(await told(), await told({frequency_penalty: 2, presence_penalty: 2}));
    },
    async 'length'() {
        for (const how of [{max_completion_tokens: 5}, {max_tokens: 5, max_completion_tokens: null},
            {max_tokens: 9, max_completion_tokens: 5}]) {
            const got = await chat({...how, ignore_eos: true});
            assert.equal(got.usage.completion_tokens, 5);
            assert.equal(got.choices[0].finish_reason, 'length');
        }
    },
    async 'roles'() {
        for (const role of ['system', 'developer'])
            assert.ok((await chat({messages: [{role, content: 'Be brief.'}, ...messages]}))
                .usage.prompt_tokens > (await chat()).usage.prompt_tokens);
    },
    async 'content in parts'() {
        const content = [{type: 'text', text: 'What is a page'}, {type: 'text', text: 'cache?'}];
        assert.ok((await chat({messages: [{role: 'user', content}]})).choices[0].message.content);
        await refused(OpenAI.BadRequestError, () => chat({messages: [{role: 'user', content: [
            {type: 'image_url', image_url: {url: 'http://localhost/cat.png'}}]}]}));
    },
    async 'tools'() {
        const tools = [{type: 'function', function: {name: 'weather', description: 'Of a city.',
            parameters: {type: 'object', properties: {city: {type: 'string'}}}}}];
        const got = await chat({tools, tool_choice: 'auto'});
        assert.equal(typeof got.choices[0].message.content, 'string');
        assert.equal(got.choices[0].message.tool_calls, undefined);
        const told = await chat({tools, messages: [...messages,
            {role: 'assistant', content: null, tool_calls: [{id: 'call_1', type: 'function',
                function: {name: 'weather', arguments: '{"city": "Bonn"}'}}]},
            {role: 'tool', tool_call_id: 'call_1', content: 'Rain.'}]});
        assert.equal(typeof told.choices[0].message.content, 'string');
        const stream = client.chat.completions.stream({model, messages, tools, temperature: 0,
            max_completion_tokens: 24});
        assert.equal((await stream.finalChatCompletion()).choices[0].message.content,
            got.choices[0].message.content);
    },

    // ---- Text ----
    async 'a completion'() {
        const got = await complete();
        assert.equal(got.object, 'text_completion');
        assert.deepEqual([got.usage.completion_tokens, got.choices[0].finish_reason], [8, 'length']);
    },
    async 'completions of a list'() {
        const prompt = ['Once upon a time', 'The kernel', '1 2 3'];
        const got = await complete({prompt});
        assert.deepEqual(got.choices.map((c) => c.index), [0, 1, 2]);
        for (const [i, p] of prompt.entries())
            assert.equal(got.choices[i].text, (await complete({prompt: p})).choices[0].text);
    },
    async 'completions of ids'() {
        const {tokens} = await admin('/v1/tokenize', {text: 'Once upon a time'});
        const {text} = (await complete()).choices[0];
        assert.equal((await complete({prompt: tokens})).choices[0].text, text);
        assert.deepEqual((await complete({prompt: [tokens, tokens]})).choices.map((c) => c.text),
            [text, text]);
    },
    async 'echo'() {
        const {text} = (await complete()).choices[0];
        assert.equal((await complete({echo: true})).choices[0].text, 'Once upon a time' + text);
    },
    async 'logprobs of a completion'() {
        const {choices: [{text, logprobs}]} = await complete({logprobs: 2});
        assert.equal(logprobs.tokens.join(''), text);
        assert.equal(logprobs.token_logprobs.length, 8);
        assert.equal(logprobs.text_offset[0], 0);
    },
    async 'a completion as a stream'() {
        const chunks = await collect(await complete({stream: true,
            stream_options: {include_usage: true}}));
        assert.equal(chunks.at(-1).usage.completion_tokens, 8);
        assert.equal(chunks.flatMap((c) => c.choices).map((c) => c.text).join(''),
            (await complete()).choices[0].text);
    },

    // ---- Refusals ----
    async 'fields out of range'() {
        for (const [how, param] of [[{temperature: 2.5}, 'temperature'], [{n: 0}, 'n'],
            [{max_completion_tokens: -1}, 'max_completion_tokens'], [{top_logprobs: 5}, 'top_logprobs'],
            [{messages: []}, 'messages'], [{stream: 'yes'}, 'stream'],
            [{messages: [{role: 'wizard', content: 'x'}]}, 'messages[0].role']])
            await refused(OpenAI.BadRequestError, () => chat(how),
                {status: 400, type: 'invalid_request_error', param});
    },
    async 'a prompt longer than the context'() {
        const much = {messages: [{role: 'user', content: 'word '.repeat(5000)}]};
        for (const how of [much, {...much, stream: true}])
            assert.match((await refused(OpenAI.BadRequestError, () => chat(how),
                {code: 'context_length_exceeded'})).message, /1024/);
        await refused(OpenAI.BadRequestError, () => client.chat.completions.stream(
            {model, ...much}).finalChatCompletion(), {code: 'context_length_exceeded'});
    },
    async 'JSON is refused for now'() {
        for (const response_format of [{type: 'json_object'},
            {type: 'json_schema', json_schema: {name: 'x', schema: {}}}])
            assert.match((await refused(OpenAI.BadRequestError, () => chat({response_format}))).param,
                /^response_format/);
    },
    async 'a wrong key'() {
        await refused(OpenAI.AuthenticationError, () => chat({}, make('sk-wrong')),
            {status: 401, code: 'invalid_api_key'});
    },
    async 'a key without the scope'() {
        await refused(OpenAI.PermissionDeniedError, () => chat({}, make(keys.rag)), {status: 403});
    },
    async 'a key that has asked too often'() {
        const slow = make(keys.rpm2);
        for (let i = 0; i < 2; i++) await chat({max_completion_tokens: 1}, slow);
        const error = await refused(OpenAI.RateLimitError, () => chat({}, slow),
            {status: 429, code: 'rate_limit_exceeded'});
        assert.ok(Number(error.headers.get('retry-after')) > 0);
    },
    async 'retries until the rate allows'() {
        const impatient = make(keys.rpm60), patient = make(keys.rpm60, {maxRetries: 4});
        await refused(OpenAI.RateLimitError, async () => {
            for (let i = 0; i < 70; i++) await collect(impatient.models.list());
        });
        const began = Date.now();
        assert.ok((await chat({max_completion_tokens: 1}, patient)).choices);
        assert.ok(Date.now() - began < 10000);
    },

    // ---- Leaving ----
    async 'leaving a stream'() {
        for await (const chunk of await chat({...long, stream: true})) {
            assert.ok(chunk.choices);
            break;
        }
        await idle();
        const controller = new AbortController();
        const stream = await chat({...long, stream: true}, client, {signal: controller.signal});
        let n = 0;
        try {
            for await (const _ of stream) if (++n === 3) controller.abort();
        } catch (error) {
            assert.ok(error instanceof OpenAI.APIUserAbortError, error);
        }
        assert.ok(n < 100);
        await idle();
        const helper = client.chat.completions.stream({model, messages, ...long});
        helper.once('content', () => helper.abort());
        await refused(OpenAI.APIUserAbortError, () => helper.done());
        await idle();
    },
    async 'a timeout'() {
        await refused(OpenAI.APIConnectionTimeoutError, () => chat(
            {...long, n: 16, temperature: 1}, client, {timeout: 50}));
        await idle();
    },

    // ---- Around ----
    async 'the response as it came'() {
        const {data, response, request_id} = await chat().withResponse();
        assert.equal(response.headers.get('x-request-id'), request_id);
        assert.equal(data._request_id, request_id);
        const named = await chat({}, client, {headers: {'x-request-id': 'mine-1'}});
        assert.equal(named._request_id, 'mine-1');
        const error = await refused(OpenAI.BadRequestError, () => chat({temperature: 9}));
        assert.ok(error.requestID);
        const raw = await chat({stream: true}).asResponse();
        assert.match(raw.headers.get('content-type'), /^text\/event-stream/);
        assert.ok((await raw.text()).endsWith('data: [DONE]\n\n'));
    },
    async 'sixteen at once'() {
        const prompts = [...Array(16).keys()].map((i) => `Chapter ${i}. The`), alone = [];
        for (const prompt of prompts)
            alone.push((await complete({prompt, max_tokens: 24})).choices[0].text);
        const together = await Promise.all(prompts.map(async (prompt) => (await collect(
            await complete({prompt, max_tokens: 24, stream: true}))).map((c) => c.choices[0].text).join('')));
        assert.deepEqual(together, alone);
    },
};

let n_failed = 0;
for (const [name, call] of Object.entries(calls)) {
    try {
        await call();
        console.log(`ok      ${name}`);
    } catch (error) {
        n_failed++;
        console.log(`FAILED  ${name}\n${error.stack ?? error}`);
    }
}
const n = Object.keys(calls).length;
console.log(`${n} calls, ${n_failed} failed`);
process.exit(n_failed || n < 40 ? 1 : 0);
