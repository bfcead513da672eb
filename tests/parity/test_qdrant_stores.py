#!/usr/bin/env python3
"""The Qdrant stores of LangChain and LlamaIndex, as they are, against our server: create, add, search with
a filter, hybrid search, read, delete. Embeddings are small and made here; nothing is fetched.

    NX_QDRANT_AGAINST=local    against the client's local mode: a test of this test
"""
import asyncio
import math
import os
import sys
import uuid
import warnings
import zlib

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore as LangChainStore
    from langchain_qdrant import RetrievalMode, SparseEmbeddings, SparseVector
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
    from llama_index.core.vector_stores.types import (
        FilterCondition, FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery,
        VectorStoreQueryMode)
    from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore
    from qdrant_client import AsyncQdrantClient, QdrantClient
    from qdrant_client import models as m
except ImportError as why:
    print(f"skipped: {why}; make test installs it")
    sys.exit(77)

warnings.filterwarnings("ignore", message=".*Api key is used with an insecure connection.*")
AGAINST_LOCAL = os.environ.get("NX_QDRANT_AGAINST") == "local"

TEXTS = ["a cat sleeps on the mat", "dogs run in the park", "markets fell on monday",
         "the cat and the dog", "rain in the park on monday", "bread and butter"]
METADATA = [{"topic": "animals", "n": i, "tags": ["t%d" % (i % 2), "all"]} if i in (0, 1, 3)
            else {"topic": "other", "n": i, "tags": ["t%d" % (i % 2)]} for i in range(6)]
DIM = 64


def words(text):
    return [zlib.crc32(w.encode()) % 100000 for w in text.split()]


def embed(text):
    """A bag of words, of unit length."""
    v = [0.0] * DIM
    for w in words(text):
        v[w % DIM] += 1.0
    length = math.sqrt(sum(x * x for x in v)) or 1.0
    return [x / length for x in v]


class Dense(Embeddings):
    def embed_documents(self, texts):
        return [embed(t) for t in texts]

    def embed_query(self, text):
        return embed(text)


class Sparse(SparseEmbeddings):
    def embed_documents(self, texts):
        return [self.embed_query(t) for t in texts]

    def embed_query(self, text):
        at = sorted(set(words(text)))
        return SparseVector(indices=at, values=[float(words(text).count(w)) for w in at])


class Case(harness.Case):
    @classmethod
    def setUpClass(cls):
        if AGAINST_LOCAL:
            cls.q, cls.where = QdrantClient(":memory:"), None
            return
        cls.server = Server(ready=False)
        cls.addClassCleanup(cls.server.close)
        cls.where = {"url": cls.server.url, "api_key": cls.server.new_key("--scope", "rag,admin"),
                     "prefer_grpc": False, "timeout": 60}
        cls.q = QdrantClient(**cls.where)

    def setUp(self):
        super().setUp()
        self.name = self.id().split(".")[-1]
        self.addCleanup(self.q.delete_collection, self.name)


class LangChain(Case):
    def store(self, mode=RetrievalMode.DENSE, **how):
        """Made by the store itself, as LangChain's users do."""
        if mode != RetrievalMode.DENSE:
            how.update(sparse_embedding=Sparse(), sparse_vector_name="words")
        ids = [str(uuid.uuid5(uuid.NAMESPACE_URL, t)) for t in TEXTS]
        if self.where:
            return ids, LangChainStore.from_texts(
                TEXTS, Dense(), metadatas=METADATA, ids=ids, collection_name=self.name, retrieval_mode=mode,
                **self.where, **how)
        self.q.create_collection(
            self.name, vectors_config={"": m.VectorParams(size=DIM, distance=m.Distance.COSINE)},
            sparse_vectors_config={"words": m.SparseVectorParams()} if mode != RetrievalMode.DENSE else None)
        store = LangChainStore(self.q, self.name, Dense(), retrieval_mode=mode, **how)
        store.add_texts(TEXTS, METADATA, ids)
        return ids, store

    @staticmethod
    def texts(documents):
        return [d.page_content for d in documents]

    @staticmethod
    def topic(name):
        return m.Filter(must=[m.FieldCondition(key="metadata.topic", match=m.MatchValue(value=name))])

    def test_langchain_cycle(self):
        ids, store = self.store()
        found = store.similarity_search("the cat sleeps", k=2)
        self.assertEqual(set(self.texts(found)), {TEXTS[0], TEXTS[3]})
        self.assertEqual(found[0].metadata["topic"], "animals")
        pairs = store.similarity_search_with_score("markets fell on monday", k=1)
        self.assertEqual(pairs[0][0].page_content, TEXTS[2])
        self.assertAlmostEqual(pairs[0][1], 1.0, places=5)
        found = store.similarity_search("in the park", k=6, filter=self.topic("animals"))
        self.assertEqual(set(self.texts(found)), {TEXTS[0], TEXTS[1], TEXTS[3]})
        found = store.similarity_search("in the park", k=6, score_threshold=0.99)
        self.assertEqual(found, [])
        found = store.similarity_search("in the park", k=2, offset=4)
        self.assertEqual(len(found), 2)
        self.assertEqual(self.texts(store.get_by_ids([ids[1]])), [TEXTS[1]])
        self.assertEqual(store.add_documents([Document(page_content="a new cat", metadata={"topic": "animals"})],
                                             ids=[ids[0]]), [ids[0]])
        self.assertEqual(self.texts(store.get_by_ids([ids[0]])), ["a new cat"])
        self.assertTrue(store.delete([ids[0], ids[1]]))
        self.assertEqual(store.get_by_ids([ids[0], ids[1]]), [])
        self.assertEqual(self.q.count(self.name).count, 4)
        retriever = store.as_retriever(search_kwargs={"k": 1})
        self.assertEqual(self.texts(retriever.invoke("bread and butter")), [TEXTS[5]])

    def test_langchain_sparse(self):
        _, store = self.store(RetrievalMode.SPARSE)
        found = store.similarity_search_with_score("monday markets", k=3)
        self.assertEqual([(d.page_content, s) for d, s in found], [(TEXTS[2], 2.0), (TEXTS[4], 1.0)])

    def test_langchain_hybrid(self):
        _, store = self.store(RetrievalMode.HYBRID)
        found = store.similarity_search_with_score("markets fell on monday", k=3)
        self.assertEqual(found[0][0].page_content, TEXTS[2])
        self.assertAlmostEqual(found[0][1], 1.0, places=5)    # first in both: 1/2 + 1/2
        found = store.similarity_search("monday in the park", k=6, filter=self.topic("animals"))
        self.assertEqual(set(self.texts(found)), {TEXTS[0], TEXTS[1], TEXTS[3]})

    def test_langchain_again(self):
        ids, _ = self.store()
        store = LangChainStore(self.q, self.name, Dense())    # reads and checks what is there
        self.assertEqual(self.texts(store.similarity_search("dogs run", k=1)), [TEXTS[1]])
        fresh = store.add_texts(["one", "two", "three"], batch_size=2)
        self.assertEqual(len(set(fresh) - set(ids)), 3)
        self.assertEqual(self.q.count(self.name).count, 9)


class LlamaIndex(Case):
    def nodes(self):
        nodes = []
        for i, t in enumerate(TEXTS):
            node = TextNode(text=t, id_=str(uuid.uuid5(uuid.NAMESPACE_DNS, t)), metadata=METADATA[i],
                            embedding=embed(t))
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc-{i // 2}")
            nodes.append(node)
        return nodes

    def store(self, **how):
        return LlamaIndexStore(self.name, client=self.q, **how)

    def ask(self, store, text, k=6, filters=None, mode=VectorStoreQueryMode.DEFAULT, **how):
        if filters is not None and not isinstance(filters, MetadataFilters):
            filters = MetadataFilters(filters=filters)
        got = store.query(VectorStoreQuery(query_embedding=embed(text), query_str=text, similarity_top_k=k,
                                           filters=filters, mode=mode, **how))
        return [n.text for n in got.nodes], got.similarities

    def test_llamaindex_cycle(self):
        store = self.store()
        nodes = self.nodes()
        self.assertEqual(store.add(nodes), [n.node_id for n in nodes])
        texts, scores = self.ask(store, "dogs run in the park", k=2)
        self.assertEqual(texts[0], TEXTS[1])
        self.assertAlmostEqual(scores[0], 1.0, places=5)

        def where(key, op, value):
            return MetadataFilter(key=key, operator=op, value=value)
        for filters, wanted in [
                ([where("topic", FilterOperator.EQ, "animals")], [0, 1, 3]),
                ([where("topic", FilterOperator.NE, "animals")], [2, 4, 5]),
                ([where("n", FilterOperator.GT, 1), where("n", FilterOperator.LTE, 4)], [2, 3, 4]),
                ([where("topic", FilterOperator.IN, ["animals", "none"])], [0, 1, 3]),
                ([where("topic", FilterOperator.NIN, ["animals"])], [2, 4, 5]),
                ([where("topic", FilterOperator.TEXT_MATCH, "nima")], [0, 1, 3]),
                ([where("nothing", FilterOperator.IS_EMPTY, None)], [0, 1, 2, 3, 4, 5]),
                (MetadataFilters(condition=FilterCondition.OR, filters=[
                    where("n", FilterOperator.EQ, 2), where("n", FilterOperator.EQ, 5)]), [2, 5])]:
            texts, _ = self.ask(store, "the park", filters=filters)
            self.assertEqual(sorted(texts), sorted(TEXTS[i] for i in wanted), filters)
        texts, _ = self.ask(store, "the park", node_ids=[nodes[2].node_id, nodes[4].node_id])
        self.assertEqual(set(texts), {TEXTS[2], TEXTS[4]})
        found = store.get_nodes(node_ids=[nodes[0].node_id])
        self.assertEqual([n.text for n in found], [TEXTS[0]])
        self.assertEqual(len(store.get_nodes(filters=MetadataFilters(filters=[
            where("topic", FilterOperator.EQ, "other")]))), 3)    # scrolls with limit 9999
        store.delete("doc-1")
        self.assertEqual(sorted(self.ask(store, "the park")[0]), sorted(TEXTS[:2] + TEXTS[4:]))
        store.delete_nodes(node_ids=[nodes[0].node_id])
        # It sends an empty "should": no condition to a server, one that nothing meets to local mode.
        store.delete_nodes(filters=MetadataFilters(filters=[where("n", FilterOperator.GTE, 5)]))
        self.assertEqual(sorted(self.ask(store, "the park")[0]),
                         sorted([TEXTS[1], TEXTS[4]] + [TEXTS[5]] * AGAINST_LOCAL))
        store.clear()
        self.assertFalse(self.q.collection_exists(self.name))

    def test_llamaindex_hybrid(self):
        def sparse(texts):
            at = [sorted(set(words(t))) for t in texts]
            return at, [[float(words(t).count(w)) for w in a] for t, a in zip(texts, at)]
        store = self.store(enable_hybrid=True, sparse_doc_fn=sparse, sparse_query_fn=sparse)
        store.add(self.nodes())
        texts, _ = self.ask(store, "markets fell on monday", k=2, mode=VectorStoreQueryMode.HYBRID,
                            sparse_top_k=3, alpha=0.5)
        self.assertEqual(texts[0], TEXTS[2])
        texts, scores = self.ask(store, "monday markets", k=3, mode=VectorStoreQueryMode.SPARSE, sparse_top_k=3)
        self.assertEqual((texts, scores), ([TEXTS[2], TEXTS[4]], [2.0, 1.0]))
        texts, _ = self.ask(store, "dogs run", k=1)
        self.assertEqual(texts, [TEXTS[1]])

    def test_llamaindex_without_waiting(self):
        if AGAINST_LOCAL:
            self.skipTest("local mode has one client")

        async def run():
            client = AsyncQdrantClient(**self.where)
            try:
                store = LlamaIndexStore(self.name, aclient=client)
                await store.async_add(self.nodes())
                got = await store.aquery(VectorStoreQuery(query_embedding=embed(TEXTS[5]), similarity_top_k=1))
                await store.adelete("doc-2")
                left = await client.count(self.name)
                return got.nodes[0].text, left.count
            finally:
                await client.close()
        self.assertEqual(asyncio.run(run()), (TEXTS[5], 4))


if __name__ == "__main__":
    harness.main()
