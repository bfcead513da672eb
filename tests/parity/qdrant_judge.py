"""Is an answer of a Qdrant server that of the client's local mode? For test_qdrant_local.py.

Local: local mode, with what is plainly a fault of it put right, so that it can be asked what the server
should say: documents that are gone don't count in an IDF, a set payload isn't shared by the points it was
set to, a point may lack its multivector, and the filter of a query with prefetches, and its examples that
don't count, hold for the prefetches too. docs/qdrant.md says more of each.

Order: scores go down (or up, as the distance has it) as local mode's do, at every place the same score;
which of those that are alike stands there is left open, but for ours, where ids decide between equals.
"""
import copy
import json
import uuid
from collections import defaultdict

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client import models as m

ALL = 1000000
SCORE_REL, SCORE_ABS = 1e-4, 1e-5
VECTOR_REL, VECTOR_ABS = 1e-3, 1e-4
TIES_BY_ID = True    # not of local mode, when that is judged itself


class Difference(Exception):
    """What differs, in words."""


class Open(Exception):
    """Local mode's answer hangs on rounding: scores in a prefetch that are all but equal."""


# ---- Local mode, put right ----

def merged(*filters):
    """All of them at once; None where there is none."""
    found = [f for f in filters if f is not None]
    return None if not found else found[0] if len(found) == 1 else m.Filter(must=found)


def examples_of(query):
    if isinstance(query, m.NearestQuery):
        return [query.nearest]
    if isinstance(query, m.RecommendQuery):
        return (query.recommend.positive or []) + (query.recommend.negative or [])
    return [query]


def mentioned(query, prefetch, lookup_from, collection):
    """Ids that the query tree has for examples, of the collection that is searched."""
    ids = []
    if lookup_from is None or lookup_from.collection == collection:
        ids = [i for i in examples_of(query) if isinstance(i, (int, str))]
    for p in prefetch or []:
        ids += mentioned(p.query, p.prefetch, p.lookup_from, collection)
    return ids


def pushed_down(prefetch, outer):
    """Prefetches whose leaves have the filters that stand above them."""
    out = []
    for p in prefetch or []:
        p = copy.deepcopy(p)
        p.filter = merged(outer, p.filter)
        p.prefetch = pushed_down(p.prefetch, p.filter) or None
        out.append(p)
    return out


class Local:
    def __init__(self):
        self.client = QdrantClient(":memory:")

    def collection(self, name):
        inner = self.client._client
        return inner.collections[inner.aliases.get(name, name)]

    def alive(self, name, slot=None):
        c = self.collection(name)
        gone = c.deleted if slot is None else c.deleted | c.deleted_per_vector[slot]
        return [i for i, at in c.ids.items() if not gone[at]]

    def amend(self, name, method):
        c = self.collection(name)
        if method == "set_payload":
            c.payload = [json.loads(json.dumps(p)) for p in c.payload]
        for slot, vectors in c.multivectors.items():
            for at, v in enumerate(vectors):
                if v.size == 0:
                    vectors[at] = np.ones((1, c.multivectors_config[slot].size), dtype=np.float32)
        for slot, vectors in c.sparse_vectors.items():
            counts = defaultdict(int)
            gone = c.deleted | c.deleted_per_vector[slot]
            for v, lost in zip(vectors, gone):
                for at in () if lost else v.indices:
                    counts[at] += 1
            # A vector that isn't there any more is taken from the count all the same when it is replaced.
            c.sparse_vectors_idf[slot] = counts
            for at, lost in enumerate(gone):
                if lost:
                    vectors[at] = m.SparseVector(indices=[], values=[])

    def call(self, method, arguments):
        arguments = copy.deepcopy(arguments)
        name = arguments.get("collection_name")
        if method == "batch_update_points":
            answers = []
            for one in arguments["update_operations"]:
                answers += self.client.batch_update_points(name, [one])
                self.amend(name, "set_payload")
            return answers
        if method == "query_points":
            self.push_down(arguments, name)
        if method == "query_batch_points":
            return [self.call("query_points", {
                "collection_name": name, "query": r.query, "prefetch": r.prefetch,
                "query_filter": r.filter, "using": r.using, "limit": r.limit, "offset": r.offset,
                "with_payload": r.with_payload, "with_vectors": r.with_vector,
                "lookup_from": r.lookup_from}) for r in arguments["requests"]]
        got = getattr(self.client, method)(**arguments)
        if name and method in WRITES:
            self.amend(name, method)
        return got

    @staticmethod
    def push_down(arguments, name):
        prefetch = arguments.get("prefetch")
        if not prefetch:
            return
        ids = mentioned(arguments.get("query"), prefetch, arguments.get("lookup_from"), name)
        but = m.Filter(must_not=[m.HasIdCondition(has_id=ids)]) if ids else None
        arguments["query_filter"] = merged(but, arguments.get("query_filter"))
        arguments["prefetch"] = pushed_down(prefetch, arguments["query_filter"])


WRITES = {"upsert", "set_payload", "overwrite_payload", "delete_payload", "clear_payload",
          "update_vectors", "delete_vectors", "delete", "batch_update_points"}
QUERIES = {"query_points", "query_batch_points", "query_points_groups"}


# ---- Values ----

def close(a, b, rel=SCORE_REL, floor=SCORE_ABS):
    return a == b or abs(a - b) <= max(rel * max(abs(a), abs(b)), floor)


def id_key(i):
    """Numbers before UUIDs, as the server has them."""
    return (0, i, "") if isinstance(i, int) else (1, 0, str(uuid.UUID(str(i))))


def same_vectors(a, b):
    if isinstance(a, m.SparseVector):
        return isinstance(b, m.SparseVector) and same_vectors(
            dict(zip(a.indices, a.values)), dict(zip(b.indices, b.values)))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_vectors(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_vectors, a, b))
    if isinstance(a, (int, float)):
        return isinstance(b, (int, float)) and close(a, b, VECTOR_REL, VECTOR_ABS)
    return a == b


def same_json(a, b):
    """Equal, with 1 and True apart; 1 and 1.0 are one number."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def check(fine, words, *what):
    if not fine:
        raise Difference(" ".join([words] + [repr(w) for w in what]))


def check_parts(local, ours):
    """Payload and vectors of one point."""
    check(same_json(local.payload, ours.payload), f"payload of {ours.id}:", local.payload, ours.payload)
    check(same_vectors(local.vector, ours.vector), f"vectors of {ours.id}:", local.vector, ours.vector)


# ---- Lists ----

def check_hits(ours, whole, offset, limit, parts, score=lambda h: h.score):
    """ours: a page of hits. whole: local mode's hits, all of them. parts: local mode's points by id."""
    page = whole[offset:offset + limit]
    check(len(ours) == len(page), f"{len(page)} hits expected, there are {len(ours)}:",
          [(h.id, score(h)) for h in page], [(h.id, score(h)) for h in ours])
    scores = {}
    for h in whole:
        scores.setdefault(h.id, []).append(score(h))
    for at, (a, b) in enumerate(zip(page, ours)):
        check(close(score(a), score(b)), f"score at {at}:", (a.id, score(a)), (b.id, score(b)))
        check(any(close(s, score(b)) for s in scores.get(b.id, [])),
              f"at {at} stands {b.id!r} with {score(b)}, local mode has it with", scores.get(b.id))
    check(len({(h.id, score(h)) for h in ours}) == len(ours), "a hit twice:", [h.id for h in ours])
    for a, b in zip(ours, ours[1:]) if TIES_BY_ID else ():
        check(score(a) != score(b) or id_key(a.id) < id_key(b.id), "equals, but not by id:",
              (a.id, score(a)), (b.id, score(b)))
    for b in ours:
        check_parts(parts[b.id], b)


def nearly_equal(scores):
    return any(a != b and close(a, b, 3e-6, 1e-6) for a, b in zip(scores, scores[1:])) or \
        any(a == b for a, b in zip(scores, scores[1:]))


class Judge:
    """Compares the answers of one call."""

    def __init__(self, local):
        self.local = local

    def __call__(self, method, arguments, local, ours):
        if method in WRITES:
            self.writes(method, arguments, ours)
        elif method in ("create_payload_index", "delete_payload_index"):
            pass
        elif method == "query_points":
            self.query(arguments, ours)
        elif method == "query_batch_points":
            check(len(ours) == len(arguments["requests"]), "answers of a batch:", len(ours))
            for r, one in zip(arguments["requests"], ours):
                self.query({"collection_name": arguments["collection_name"], "query": r.query,
                            "prefetch": r.prefetch, "query_filter": r.filter, "using": r.using,
                            "limit": r.limit, "offset": r.offset, "with_payload": r.with_payload,
                            "with_vectors": r.with_vector, "lookup_from": r.lookup_from}, one)
        elif method == "query_points_groups":
            self.groups(arguments, ours)
        elif method == "scroll":
            self.scroll(arguments, local, ours)
        elif method == "retrieve":
            check([p.id for p in local] == [p.id for p in ours], "ids:", [p.id for p in local],
                  [p.id for p in ours])
            for a, b in zip(local, ours):
                check_parts(a, b)
        elif method == "count":
            check(local.count == ours.count, "count:", local.count, ours.count)
        elif method == "facet":
            check([(type(h.value), h.value, h.count) for h in local.hits] ==
                  [(type(h.value), h.value, h.count) for h in ours.hits], "facets:", local.hits, ours.hits)
        elif method in ("get_aliases", "get_collection_aliases"):
            def pairs(answer):
                return sorted((a.alias_name, a.collection_name) for a in answer.aliases)
            check(pairs(local) == pairs(ours), "aliases:", pairs(local), pairs(ours))
        else:
            check(local == ours, "answer:", local, ours)

    @staticmethod
    def writes(method, arguments, ours):
        answers = ours if isinstance(ours, list) else [ours]
        n = len(arguments["update_operations"]) if method == "batch_update_points" else 1
        check(len(answers) == n, "answers:", answers)
        for a in answers:
            check(a.status == m.UpdateStatus.COMPLETED, "status:", a)

    # ---- Queries ----

    def parts(self, arguments, ids):
        found = self.local.client.retrieve(
            arguments["collection_name"], list(dict.fromkeys(ids)),
            with_payload=arguments["with_payload"], with_vectors=arguments["with_vectors"])
        return {str(p.id) if isinstance(p.id, uuid.UUID) else p.id: p for p in found}

    def whole(self, arguments):
        """All hits of a query, without payload."""
        return self.local.call("query_points", {
            **arguments, "limit": ALL, "offset": 0, "with_payload": False, "with_vectors": False}).points

    def query(self, arguments, ours):
        query, limit = arguments["query"], arguments["limit"]
        if isinstance(query, m.SampleQuery):
            return self.sample(arguments, ours.points)
        whole = self.whole(arguments)
        parts = self.parts(arguments, [h.id for h in ours.points])
        how = {}
        if isinstance(query, m.OrderByQuery):
            how["score"] = lambda h: h.order_value
            for h in ours.points:
                check(h.score == 1.0, "score of an ordered point:", h)
        try:
            check_hits(ours.points, whole, arguments.get("offset") or 0, limit, parts, **how)
        except Difference as why:
            if nearly(self, arguments):
                raise Open(str(why)) from why
            raise

    def sample(self, arguments, ours):
        pool = {h.id for h in self.whole(arguments)}
        check(len(ours) == min(arguments["limit"], len(pool)), "size of the sample:", len(ours), len(pool))
        check(len({h.id for h in ours}) == len(ours) and {h.id for h in ours} <= pool, "sample:",
              [h.id for h in ours])
        parts = self.parts(arguments, [h.id for h in ours])
        for h in ours:
            check_parts(parts[h.id], h)

    def groups(self, arguments, ours):
        whole = self.local.call("query_points_groups", {
            **arguments, "limit": ALL, "group_size": ALL, "with_payload": False,
            "with_vectors": False}).groups
        hits = {g.id: g for g in whole}
        n = min(arguments["limit"], len(whole))
        check(len(ours.groups) == n, f"{n} groups expected:", [g.id for g in whole],
              [g.id for g in ours.groups])
        check(len({g.id for g in ours.groups}) == n, "a group twice:", [g.id for g in ours.groups])
        for at, (a, b) in enumerate(zip(whole, ours.groups)):
            check(b.id in hits, "no such group:", b.id)
            check(close(a.hits[0].score, b.hits[0].score), f"best of group {at}:", (a.id, a.hits[0]),
                  (b.id, b.hits[0]))
            parts = self.parts(arguments, [h.id for h in b.hits])
            check_hits(b.hits, hits[b.id].hits, 0, arguments["group_size"], parts)
            there, here = hits[b.id].lookup, b.lookup
            check((there is None) == (here is None), "lookup:", there, here)
            if here:
                check(there.id == here.id, "lookup:", there, here)
                check_parts(there, here)

    # ---- Pages ----

    def scroll(self, arguments, local, ours):
        (there, there_next), (here, here_next) = local, ours
        check(there_next == here_next, "next page:", there_next, here_next)
        if not arguments.get("order_by"):
            check([p.id for p in there] == [p.id for p in here], "ids:", [p.id for p in there],
                  [p.id for p in here])
            for a, b in zip(there, here):
                check_parts(a, b)
            return
        whole, _ = self.local.client.scroll(**{**arguments, "limit": ALL, "with_payload": False,
                                               "with_vectors": False})
        check_hits(here, whole, 0, arguments["limit"], self.parts(arguments, [p.id for p in here]),
                   score=lambda p: p.order_value)


def nearly(judge, arguments):
    """Does a prefetch of this query have scores that are all but equal? Then it is left open which of
    them goes on, and with what rank."""
    name = arguments["collection_name"]
    pushed = dict(arguments)
    Local.push_down(pushed, name)

    def look(prefetch):
        for p in prefetch or []:
            if p.query is None:
                continue
            hits = judge.local.call("query_points", {
                "collection_name": name, "query": p.query, "prefetch": p.prefetch, "using": p.using,
                "query_filter": p.filter, "lookup_from": p.lookup_from, "limit": ALL, "offset": 0,
                "with_payload": False, "with_vectors": False}).points
            if nearly_equal([h.score for h in hits[:(p.limit or 10) + 1]]) or look(p.prefetch):
                return True
        return False
    return look(pushed.get("prefetch"))


def median_score(hits, pick):
    """A threshold between two scores of these hits, well away from both; None where there is none."""
    scores = sorted({h.score for h in hits})
    gaps = [(a + b) / 2 for a, b in zip(scores, scores[1:]) if not close(a, b, 1e-3, 1e-3)]
    return pick(gaps) if gaps else None

