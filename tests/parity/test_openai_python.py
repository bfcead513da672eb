#!/usr/bin/env python3
"""The official `openai` client for Python, as it is, against the server with the model that ships: over
forty calls, each a thing that programs do. What the client makes of our answers is the verdict."""
import asyncio
import math
import os
import sys
import threading
import time

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

try:
    import openai
except ImportError as why:
    print(f"skipped: {why}; make test installs it")
    sys.exit(77)

MODEL = "nexus-mini"
ASK = [{"role": "user", "content": "What is a page cache?"}]
LONG = {"max_completion_tokens": 400, "extra_body": {"ignore_eos": True}}


class Calls(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ctx", "1024", "--parallel", "16")
        cls.addClassCleanup(cls.server.close)
        cls.key = cls.server.new_key("--scope", "infer")
        cls.client = cls.make()
        cls.addClassCleanup(cls.client.close)

    @classmethod
    def make(cls, key=None, kind=openai.OpenAI, **options):
        options.setdefault("max_retries", 0)
        return kind(base_url=cls.server.url + "/v1", api_key=key or cls.key, **options)

    def chat(self, client=None, messages=None, **options):
        options.setdefault("temperature", 0)
        options.setdefault("max_completion_tokens", 24)
        return (client or self.client).chat.completions.create(
            model=MODEL, messages=messages or ASK, **options)

    def complete(self, prompt="Once upon a time", **options):
        options.setdefault("temperature", 0)
        return self.client.completions.create(model=MODEL, prompt=prompt, **options)

    def refuses(self, kind, call, **fields):
        with self.assertRaises(kind) as caught:
            call()
        for name, value in fields.items():
            self.assertEqual(getattr(caught.exception, name), value, caught.exception)
        return caught.exception

    # ---- Models ----

    def test_01_models_list(self):
        models = list(self.client.models.list())
        self.assertEqual([m.id for m in models], [MODEL, "all-minilm-l6-v2"])
        self.assertEqual(models[0].object, "model")

    def test_02_models_retrieve(self):
        model = self.client.models.retrieve(MODEL)
        self.assertEqual((model.id, model.owned_by), (MODEL, "nexus"))
        self.assertGreater(model.created, 1e9)

    def test_03_model_that_is_not_there(self):
        self.refuses(openai.NotFoundError, lambda: self.client.models.retrieve("none/such"),
                     code="model_not_found", status_code=404)
        self.refuses(openai.NotFoundError, lambda: self.client.chat.completions.create(
            model="none", messages=ASK), code="model_not_found", param="model")

    # ---- Chat ----

    def test_04_chat(self):
        got = self.chat()
        choice, = got.choices
        self.assertRegex(got.id, "^chatcmpl-")
        self.assertEqual((got.object, got.model), ("chat.completion", MODEL))
        self.assertEqual((choice.index, choice.message.role), (0, "assistant"))
        self.assertGreater(len(choice.message.content), 0)
        self.assertIsNone(choice.message.refusal)
        self.assertIsNone(choice.message.tool_calls)
        self.assertIsNone(choice.logprobs)
        self.assertIn(choice.finish_reason, ("stop", "length"))
        self.assertIsNotNone(got.system_fingerprint)
        self.assertEqual(got.usage.total_tokens, got.usage.prompt_tokens + got.usage.completion_tokens)
        self.assertGreaterEqual(got.usage.prompt_tokens_details.cached_tokens, 0)

    def test_05_chat_stream(self):
        chunks = list(self.chat(stream=True))
        whole = self.chat()
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(len({(c.id, c.created, c.model) for c in chunks}), 1)
        self.assertEqual({c.object for c in chunks}, {"chat.completion.chunk"})
        self.assertEqual([c.choices[0].delta.role for c in chunks if c.choices[0].delta.role],
                         ["assistant"])
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason],
                         [whole.choices[0].finish_reason])
        self.assertTrue(all(c.usage is None for c in chunks))

    def test_06_stream_helper(self):
        events, deltas = [], ""
        with self.client.chat.completions.stream(model=MODEL, messages=ASK, temperature=0,
                                                 max_completion_tokens=24) as stream:
            for event in stream:
                events.append(event.type)
                if event.type == "content.delta":
                    deltas += event.delta
                    self.assertEqual(event.snapshot, deltas)
                if event.type == "content.done":
                    self.assertEqual(event.content, deltas)
            final = stream.get_final_completion()
        self.assertEqual(events.count("content.done"), 1)
        self.assertIn("chunk", events)
        self.assertEqual(final.choices[0].message.content, deltas)
        self.assertEqual(deltas, self.chat().choices[0].message.content)

    def test_07_stream_helper_with_usage(self):
        """The client's way to tell that an answer was too long is an exception with the answer."""
        with self.client.chat.completions.stream(model=MODEL, messages=ASK, temperature=0,
                                                 max_completion_tokens=4,
                                                 stream_options={"include_usage": True}) as stream:
            error = self.refuses(openai.LengthFinishReasonError, stream.get_final_completion)
        self.assertEqual(error.completion.usage.completion_tokens, 4)
        self.assertEqual(error.completion.choices[0].finish_reason, "length")

    def test_08_usage_chunk(self):
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertIsNotNone(chunks[-1].usage)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))
        self.assertIsNotNone(chunks[-2].choices[0].finish_reason)
        self.assertEqual(chunks[-1].usage.completion_tokens, self.chat().usage.completion_tokens)

    def test_09_three_answers(self):
        got = self.chat(n=3, temperature=1, seed=5)
        self.assertEqual([c.index for c in got.choices], [0, 1, 2])
        self.assertGreater(len({c.message.content for c in got.choices}), 1)
        self.assertEqual(got.usage.prompt_tokens, self.chat().usage.prompt_tokens)

    def test_10_three_streams(self):
        text, ends, roles = ["", "", ""], [0, 0, 0], [0, 0, 0]
        for chunk in self.chat(n=3, temperature=1, seed=5, stream=True):
            choice, = chunk.choices
            text[choice.index] += choice.delta.content or ""
            ends[choice.index] += choice.finish_reason is not None
            roles[choice.index] += choice.delta.role is not None
        self.assertEqual((ends, roles), ([1, 1, 1], [1, 1, 1]))
        whole = self.chat(n=3, temperature=1, seed=5)
        self.assertEqual(text, [c.message.content for c in whole.choices])

    def test_11_stop(self):
        whole = self.chat().choices[0].message.content
        stop = whole[6:10]
        for how in (stop, [stop], ["never in it", stop]):
            choice = self.chat(stop=how).choices[0]
            self.assertEqual(choice.message.content, whole[:whole.index(stop)])
            self.assertEqual(choice.finish_reason, "stop")
        streamed = "".join(c.choices[0].delta.content or "" for c in self.chat(stop=stop, stream=True))
        self.assertEqual(streamed, whole[:whole.index(stop)])

    def test_12_seed(self):
        def told(seed):
            return self.chat(temperature=1.2, seed=seed).choices[0].message.content
        self.assertEqual(told(7), told(7))
        self.assertGreater(len({told(seed) for seed in range(1, 6)}), 1)

    def test_13_logprobs(self):
        choice = self.chat(logprobs=True, top_logprobs=3).choices[0]
        self.same_bytes(choice.logprobs.content, choice.message.content)
        for token in choice.logprobs.content:
            self.assertLessEqual(token.logprob, 1e-6)
            self.assertEqual(len(token.top_logprobs), 3)
            best = [t.logprob for t in token.top_logprobs]
            self.assertEqual(best, sorted(best, reverse=True))
            self.assertLess(sum(math.exp(p) for p in best), 1.001)
            # At temperature 0 the likeliest is taken.
            self.assertEqual(token.top_logprobs[0].bytes, token.bytes)
            self.assertAlmostEqual(token.top_logprobs[0].logprob, token.logprob, places=5)

    def same_bytes(self, tokens, text):
        self.assertEqual(b"".join(bytes(t.bytes) for t in tokens).decode(), text)

    def test_14_logprobs_of_a_stream(self):
        tokens, text = [], ""
        for chunk in self.chat(logprobs=True, top_logprobs=2, stream=True):
            text += chunk.choices[0].delta.content or ""
            if chunk.choices[0].logprobs:
                tokens += chunk.choices[0].logprobs.content
        self.same_bytes(tokens, text)
        whole = self.chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content
        self.assertEqual([t.bytes for t in tokens], [t.bytes for t in whole])

    def test_15_logprobs_in_the_helper(self):
        with self.client.chat.completions.stream(model=MODEL, messages=ASK, temperature=0,
                                                 max_completion_tokens=24, logprobs=True,
                                                 top_logprobs=1) as stream:
            seen = [e.type for e in stream]
            final = stream.get_final_completion()
        self.assertIn("logprobs.content.delta", seen)
        self.same_bytes(final.choices[0].logprobs.content, final.choices[0].message.content)

    def test_16_logit_bias(self):
        first = self.chat(max_completion_tokens=1, logprobs=True, top_logprobs=2).choices[0]
        ids = self.server.control("POST", "/v1/tokenize",
                                  {"text": first.message.content, "add_special": False}).json["tokens"]
        self.assertEqual(len(ids), 1)
        other = self.chat(max_completion_tokens=1, logit_bias={str(ids[0]): -100}).choices[0]
        self.assertNotEqual(other.message.content, first.message.content)
        again = self.chat(max_completion_tokens=4, logit_bias={str(ids[0]): 100}).choices[0]
        self.assertEqual(again.message.content, first.message.content * 4)

    def test_17_penalties(self):
        def told(**how):
            return self.complete("one one one one one one", max_tokens=24, **how).choices[0].text
        self.assertNotEqual(told(), told(frequency_penalty=2, presence_penalty=2))
        self.assertEqual(told(), told(frequency_penalty=0, presence_penalty=0))

    def test_18_length(self):
        for how in ({"max_completion_tokens": 5}, {"max_tokens": 5, "max_completion_tokens": None},
                    {"max_tokens": 9, "max_completion_tokens": 5}):
            got = self.chat(extra_body={"ignore_eos": True}, **how)
            self.assertEqual((got.usage.completion_tokens, got.choices[0].finish_reason), (5, "length"))

    def test_19_roles(self):
        for role in ("system", "developer"):
            got = self.chat(messages=[{"role": role, "content": "Answer briefly."}, *ASK])
            self.assertGreater(got.usage.prompt_tokens, self.chat().usage.prompt_tokens)
        got = self.chat(messages=[*ASK, {"role": "assistant", "content": "Memory."},
                                  {"role": "user", "content": "Whose?", "name": "ann"}])
        self.assertTrue(got.choices)

    def test_20_content_parts(self):
        parts = [{"type": "text", "text": "What is a page"}, {"type": "text", "text": "cache?"}]
        got = self.chat(messages=[{"role": "user", "content": parts}])
        self.assertGreater(len(got.choices[0].message.content), 0)
        self.refuses(openai.BadRequestError, lambda: self.chat(messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "http://localhost/cat.png"}}]}]))

    def test_21_tools(self):
        tool = {"type": "function", "function": {
            "name": "weather", "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
        got = self.chat(tools=[tool], tool_choice="auto", parallel_tool_calls=False)
        self.assertIsInstance(got.choices[0].message.content, str)
        self.assertIsNone(got.choices[0].message.tool_calls)
        got = self.chat(tools=[tool], messages=[
            *ASK, {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Rain."}])
        self.assertIsInstance(got.choices[0].message.content, str)

    # ---- Text ----

    def test_22_completion(self):
        got = self.complete(max_tokens=6)
        self.assertEqual(got.object, "text_completion")
        self.assertGreater(len(got.choices[0].text), 0)
        self.assertEqual(got.usage.completion_tokens, 6)
        self.assertEqual(got.choices[0].finish_reason, "length")

    def test_23_completion_of_a_list(self):
        prompts = ["Once upon a time", "The kernel", "1 2 3"]
        got = self.complete(prompts, max_tokens=8, n=2, temperature=1, seed=1)
        self.assertEqual([c.index for c in got.choices], list(range(6)))
        got = self.complete(prompts, max_tokens=8)
        self.assertEqual([c.text for c in got.choices],
                         [self.complete(p, max_tokens=8).choices[0].text for p in prompts])

    def test_24_completion_of_ids(self):
        ids = self.server.control("POST", "/v1/tokenize", {"text": "Once upon a time"}).json["tokens"]
        text = self.complete(max_tokens=8).choices[0].text
        self.assertEqual(self.complete(ids, max_tokens=8).choices[0].text, text)
        self.assertEqual([c.text for c in self.complete([ids, ids], max_tokens=8).choices], [text] * 2)

    def test_25_echo(self):
        text = self.complete(max_tokens=6).choices[0].text
        self.assertEqual(self.complete(max_tokens=6, echo=True).choices[0].text,
                         "Once upon a time" + text)

    def test_26_completion_logprobs(self):
        choice = self.complete(max_tokens=6, logprobs=2).choices[0]
        told = choice.logprobs
        self.assertEqual("".join(told.tokens), choice.text)
        self.assertEqual(len(told.token_logprobs), 6)
        self.assertTrue(all(1 <= len(t) <= 3 for t in told.top_logprobs))
        self.assertEqual(told.text_offset[0], 0)
        for at, token in zip(told.text_offset, told.tokens):
            self.assertEqual(choice.text[at:at + len(token)], token)

    def test_27_completion_stream(self):
        chunks = list(self.complete(max_tokens=12, stream=True,
                                    stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 12)
        self.assertEqual("".join(c.choices[0].text for c in chunks[:-1]),
                         self.complete(max_tokens=12).choices[0].text)

    # ---- Refusals ----

    def test_28_fields(self):
        for how, param in (({"temperature": 2.5}, "temperature"), ({"top_p": -1}, "top_p"),
                           ({"n": 0}, "n"), ({"max_completion_tokens": -1}, "max_completion_tokens"),
                           ({"top_logprobs": 5}, "top_logprobs"), ({"presence_penalty": 3},
                                                                   "presence_penalty"),
                           ({"stop": ["a"] * 100}, "stop"), ({"logit_bias": {"x": 1}}, "logit_bias"),
                           ({"logit_bias": {"99999999": 1}}, "logit_bias"),
                           ({"extra_body": {"stream": "yes"}}, "stream")):
            error = self.refuses(openai.BadRequestError, lambda how=how: self.chat(**how),
                                 status_code=400, type="invalid_request_error")
            self.assertTrue((error.param or "").startswith(param), f"{how}: {error}")
        error = self.refuses(openai.BadRequestError, lambda: self.client.chat.completions.create(
            model=MODEL, messages=[]), param="messages")
        self.assertIn("messages", error.message)

    def test_29_role_that_is_none(self):
        error = self.refuses(openai.BadRequestError, lambda: self.chat(
            messages=[{"role": "wizard", "content": "x"}]))
        self.assertEqual(error.param, "messages[0].role")

    def test_30_prompt_longer_than_the_context(self):
        for call in (lambda: self.chat(messages=[{"role": "user", "content": "word " * 5000}]),
                     lambda: self.chat(stream=True,
                                       messages=[{"role": "user", "content": "word " * 5000}]),
                     lambda: self.complete("word " * 5000)):
            error = self.refuses(openai.BadRequestError, call, code="context_length_exceeded")
            self.assertIn("1024", error.message)
            self.assertIn(error.param, ("messages", "prompt"))

    def test_31_json_is_refused_for_now(self):
        for form in ({"type": "json_object"},
                     {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}):
            error = self.refuses(openai.BadRequestError,
                                 lambda form=form: self.chat(response_format=form))
            self.assertTrue(error.param.startswith("response_format"), error)

    def test_32_wrong_key(self):
        for key in ("sk-wrong", "nx-aaaaaaaa-" + "A" * 43):
            self.refuses(openai.AuthenticationError, lambda key=key: self.chat(self.make(key)),
                         status_code=401, code="invalid_api_key")

    def test_33_key_without_the_scope(self):
        client = self.make(self.server.new_key("--scope", "rag"))
        self.refuses(openai.PermissionDeniedError, lambda: self.chat(client), status_code=403)

    def test_34_rate(self):
        client = self.make(self.server.new_key("--rpm", "2"))
        for _ in range(2):
            self.chat(client, max_completion_tokens=1)
        error = self.refuses(openai.RateLimitError, lambda: self.chat(client),
                             code="rate_limit_exceeded", status_code=429)
        self.assertGreater(int(error.response.headers["retry-after"]), 0)
        self.assertLessEqual(int(error.response.headers["retry-after"]), 60)

    def test_35_retries_until_the_rate_allows(self):
        """A key of 60 a minute gets one a second, once its store is used up: the client waits as told."""
        client = self.make(self.server.new_key("--rpm", "60"), max_retries=4)
        impatient = client.with_options(max_retries=0)
        with self.assertRaises(openai.RateLimitError):
            for _ in range(70):
                impatient.models.list()
        began = time.monotonic()
        self.assertTrue(self.chat(client, max_completion_tokens=1).choices)
        self.assertLess(time.monotonic() - began, 10)

    # ---- Leaving ----

    def test_36_cancel_in_mid_stream(self):
        stream = self.chat(stream=True, **LONG)
        for _, _ in zip(range(3), stream):
            pass
        stream.close()
        self.assertTrue(self.server.until_idle(2))
        with self.client.chat.completions.stream(model=MODEL, messages=ASK, **LONG) as helper:
            next(iter(helper))
        self.assertTrue(self.server.until_idle(2))

    def test_37_timeout(self):
        self.refuses(openai.APITimeoutError, lambda: self.chat(
            timeout=0.05, n=16, temperature=1, **LONG))
        self.assertTrue(self.server.until_idle(2))
        self.assertTrue(self.chat().choices)

    # ---- Around ----

    def test_38_raw_response(self):
        raw = self.client.chat.completions.with_raw_response.create(
            model=MODEL, messages=ASK, max_completion_tokens=2)
        self.assertTrue(raw.headers["x-request-id"])
        self.assertEqual(raw.headers["content-type"], "application/json")
        self.assertEqual(raw.parse()._request_id, raw.headers["x-request-id"])
        named = self.chat(extra_headers={"x-request-id": "mine-1"})
        self.assertEqual(named._request_id, "mine-1")
        with self.client.chat.completions.with_streaming_response.create(
                model=MODEL, messages=ASK, max_completion_tokens=2, stream=True) as streamed:
            self.assertTrue(streamed.headers["content-type"].startswith("text/event-stream"))
            self.assertIn("data: [DONE]", list(streamed.iter_lines()))
        error = self.refuses(openai.BadRequestError, lambda: self.chat(temperature=9))
        self.assertTrue(error.request_id)

    def test_39_sixteen_at_once(self):
        prompts = [f"Chapter {i}. The" for i in range(16)]
        alone = [self.complete(p, max_tokens=24).choices[0].text for p in prompts]

        async def one(client, prompt):
            text = ""
            async for chunk in await client.completions.create(
                    model=MODEL, prompt=prompt, max_tokens=24, temperature=0, stream=True):
                text += chunk.choices[0].text
            return text

        async def all_of_them():
            async with self.make(kind=openai.AsyncOpenAI) as client:
                return await asyncio.gather(*(one(client, p) for p in prompts))

        self.assertEqual(asyncio.run(all_of_them()), alone)

    def test_40_threads_share_a_client(self):
        expected, got = self.chat().choices[0].message.content, []
        threads = [threading.Thread(target=lambda: got.append(self.chat().choices[0].message.content))
                   for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got, [expected] * 8)

    # ---- Embeddings ----

    def embed(self, texts, **options):
        return self.client.embeddings.create(model="all-minilm-l6-v2", input=texts, **options)

    def test_42_embeddings(self):
        # The client asks for base64 of its own accord, and unpacks it.
        both = self.embed(["What is a page cache?", "A kind of cake."])
        self.assertEqual([d.index for d in both.data], [0, 1])
        self.assertEqual({len(d.embedding) for d in both.data}, {384})
        self.assertAlmostEqual(math.hypot(*both.data[0].embedding), 1, places=5)
        self.assertEqual(both.usage.total_tokens, both.usage.prompt_tokens)
        floats = self.embed("What is a page cache?", encoding_format="float")
        for a, b in zip(floats.data[0].embedding, both.data[0].embedding, strict=True):
            self.assertAlmostEqual(a, b, places=7)
        packed = self.embed("What is a page cache?", encoding_format="base64")
        self.assertIsInstance(packed.data[0].embedding, str)

    def test_43_embeddings_dimensions_and_ids(self):
        short = self.embed("hello world", dimensions=64).data[0].embedding
        self.assertEqual(len(short), 64)
        self.assertAlmostEqual(math.hypot(*short), 1, places=5)
        text, = self.embed("hello world").data
        for ids in ([7592, 2088], [[7592, 2088]]):
            self.assertEqual(self.embed(ids).data[0].embedding, text.embedding)
        self.refuses(openai.BadRequestError, lambda: self.embed("x", dimensions=385),
                     param="dimensions")
        self.refuses(openai.BadRequestError, lambda: self.embed([40000]), param="input")
        self.refuses(openai.NotFoundError, lambda: self.client.embeddings.create(
            model="text-embedding-3-small", input="x"), code="model_not_found", param="model")

    def test_41_server_stops_in_mid_stream(self):
        """A stream that is cut says so: the client must not take it for a whole answer."""
        with Server("--ctx", "4096", "--drain", "0") as s, \
                openai.OpenAI(base_url=s.url + "/v1", api_key="none", max_retries=0) as client:
            stream = self.chat(client, stream=True, max_completion_tokens=4000,
                               extra_body={"ignore_eos": True})
            with self.assertRaises(openai.APIError) as caught:
                for i, _ in enumerate(stream):
                    if i == 3:
                        s.process.terminate()
            self.assertEqual(caught.exception.code, "server_stopping")
            self.assertEqual(s.process.wait(timeout=20), 0)


if __name__ == "__main__":
    print(f"openai {openai.__version__}, Python {sys.version.split()[0]}")
    harness.main()
