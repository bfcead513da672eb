#!/usr/bin/env python3
"""The official Python client's local mode against `nexus serve`: the same random calls to both, the same
answers from both. What is drawn: qdrant_random.py; what "the same" is: qdrant_judge.py.

    NX_QDRANT_SEEDS=20 NX_QDRANT_OPS=2000    how many runs, of how many calls each (2 of 150)
    NX_QDRANT_FIRST=7                        the first seed (1)
    NX_QDRANT_AGAINST=local                  judge local mode itself: a test of this test

A difference is printed with its seed, its number, the call and both answers; then what led to it is
shortened (NX_QDRANT_SHRINK seconds, 60) to a few calls that show it again.
"""
import collections
import copy
import os
import random
import sys
import tempfile
import time
import traceback
import warnings

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

try:
    from qdrant_client import QdrantClient
    from qdrant_client import models as m
except ImportError as why:
    print(f"skipped: {why}; make test installs it")
    sys.exit(77)

import qdrant_judge as judge  # noqa: E402
from qdrant_random import INDEXES, OTHER, POINTS, Draw, Space  # noqa: E402

SEEDS = int(os.environ.get("NX_QDRANT_SEEDS", "2"))
FIRST = int(os.environ.get("NX_QDRANT_FIRST", "1"))
OPS = int(os.environ.get("NX_QDRANT_OPS", "150"))
SHRINK_S = float(os.environ.get("NX_QDRANT_SHRINK", "60"))
AGAINST_LOCAL = os.environ.get("NX_QDRANT_AGAINST") == "local"

warnings.filterwarnings("ignore", message=".*Payload indexes have no effect.*")
warnings.filterwarnings("ignore", message=".*Api key is used with an insecure connection.*")


class Ours:
    """The server, by the same client."""

    def __init__(self, url, **how):
        self.client = QdrantClient(url=url, prefer_grpc=False, timeout=120, **how)

    def call(self, method, arguments):
        return getattr(self.client, method)(**copy.deepcopy(arguments))

    def clear(self):
        for c in self.client.get_collections().collections:
            self.client.delete_collection(c.name)


class OtherLocal(judge.Local):
    def clear(self):
        self.__init__()


def answer(subject, method, arguments):
    """(what it says, None), or (None, why it doesn't)."""
    try:
        return subject.call(method, arguments), None
    except Exception as why:    # any refusal, as the client has it
        return None, why


class Failure(Exception):
    pass


def one_call(ours, local, judging, method, arguments):
    """Ask both, compare. Open passes through."""
    here, here_error = answer(ours, method, arguments)
    asked = method not in judge.QUERIES    # these the judge asks itself, for all hits
    there, there_error = answer(local, method, arguments) if asked else (None, None)
    if asked and (there_error or here_error):
        if there_error and here_error:
            raise judge.Difference(f"both refuse (the call is ill drawn): {there_error!r}, {here_error!r}")
        raise judge.Difference(f"refused: error of local mode {there_error!r}; of ours {here_error!r}")
    try:
        judging(method, arguments, there, here)
    except judge.Open:
        raise
    except Exception as why:
        there, there_error = answer(local, method, arguments)
        if not isinstance(why, judge.Difference) and not here_error and not there_error:
            raise
        raise judge.Difference(
            f"{why}\n  local: {str(brief(there))[:2000]}{there_error and f'error: {there_error!r}' or ''}\n"
            f"  ours:  {str(brief(here))[:2000]}{here_error and f'error: {here_error!r}' or ''}") from why


def setting_up(rng, space):
    draw = Draw(rng, space, lambda slot=None: [])
    yield space.create(POINTS)
    yield space.create(OTHER)
    for field, schema in INDEXES.items():
        yield "create_payload_index", {"collection_name": POINTS, "field_name": field,
                                       "field_schema": schema}
    yield "upsert", {"collection_name": OTHER, "points": [
        m.PointStruct(id=i, payload={"i": i}, vector={s: draw.vector(s) for s in space.slots}
                      if space.named() else draw.dense("")) for i in range(1, 21)]}


def with_threshold(local, draw, method, arguments):
    """A number for "median"."""
    if arguments.get("score_threshold") != "median":
        return method, arguments
    arguments = dict(arguments)
    del arguments["score_threshold"]
    hits = local.call(method, {**arguments, "limit": judge.ALL, "offset": 0, "with_payload": False,
                               "with_vectors": False}).points
    threshold = judge.median_score(hits, draw.rng.choice)
    if threshold is not None:
        arguments["score_threshold"] = threshold
    return method, arguments


def run(seed, n_calls, ours, counts):
    rng, log = random.Random(seed), []
    space = Space(rng)
    ours.clear()
    local = judge.Local()
    judging = judge.Judge(local)
    draw = Draw(rng, space, lambda slot=None: local.alive(POINTS, slot))

    def ask(method, arguments):
        log.append((method, arguments))
        counts[method] += 1
        try:
            one_call(ours, local, judging, method, arguments)
        except judge.Open:
            counts["left open"] += 1
        except judge.Difference as why:
            raise Failure(seed, log, why) from why

    for call in setting_up(rng, space):
        ask(*call)
    while len(log) < n_calls:
        call = draw.write() if rng.random() < 0.4 else draw.read()
        ask(*with_threshold(local, draw, *call))
    ask("scroll", {"collection_name": POINTS, "limit": 100000, "with_payload": True, "with_vectors": True})
    counts["points left"] += len(local.alive(POINTS))


# ---- Shortening ----

READS = {"query_points", "query_batch_points", "query_points_groups", "scroll", "retrieve", "count", "facet",
         "get_aliases", "get_collection_aliases"}


def kind_of(why):
    """The same fault says the same, but for its numbers and names."""
    first = str(why).split("\n")[0]
    return first.split(":")[0].split(" expected,")[0].strip("0123456789 '")[:40], "error" in str(why)


def shows(log, ours, kind):
    """Does this log still end in that difference?"""
    ours.clear()
    local = judge.Local()
    judging = judge.Judge(local)
    for at, (method, arguments) in enumerate(log):
        last = at == len(log) - 1
        try:
            one_call(ours, local, judging, method, arguments)
        except judge.Open:
            return False
        except judge.Difference as why:
            return last and kind_of(why) == kind
    return False


def shorten(log, ours, why, seconds):
    end, kind = time.monotonic() + seconds, kind_of(why)
    *before, last = log
    best = [c for c in before if c[0] not in READS] + [last]
    if not shows(best, ours, kind):
        return log
    step = max(1, len(best) // 2)
    while time.monotonic() < end:
        at = 0
        while at < len(best) - 1 and time.monotonic() < end:
            cut = [c for c in best[at:at + step] if c[0] == "create_collection"]
            shorter = best[:at] + cut + best[min(at + step, len(best) - 1):]
            if len(shorter) < len(best) and shows(shorter, ours, kind):
                best = shorter
                at += len(cut)
            else:
                at += step
        if step == 1:
            break
        step //= 2
    for at, (method, arguments) in enumerate(best[:-1]):
        points = arguments.get("points")
        while isinstance(points, list) and len(points) > 1 and time.monotonic() < end:
            half = len(points) // 2
            for part in (points[:half], points[half:]):
                shorter = best[:at] + [(method, {**arguments, "points": part})] + best[at + 1:]
                if shows(shorter, ours, kind):
                    best, points = shorter, part
                    break
            else:
                break
    return best


def brief(x):
    """As JSON would have it, without what isn't said."""
    if isinstance(x, dict):
        return {k: brief(v) for k, v in x.items() if v is not None}
    if isinstance(x, (list, tuple)):
        return [brief(v) for v in x]
    return brief(x.model_dump(mode="json", by_alias=True)) if hasattr(x, "model_dump") else x


def told(failure, ours):
    seed, log, why = failure.args
    method, arguments = log[-1]
    print(f"\nDIFFERENCE  seed {seed}, call {len(log)}: {method}\n  {brief(arguments)}\n  {why}", flush=True)
    if SHRINK_S > 0:
        short = shorten(log, ours, why, SHRINK_S)
        path = os.path.join(tempfile.gettempdir(), f"qdrant-seed-{seed}.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(f"{brief(call)}\n" for call in short)
        print(f"shortened to {len(short)} calls (whole in {path}):")
        for call in short[-8:]:
            print("   ", str(brief(call))[:1000])
    sys.stdout.flush()


class LocalMode(harness.Case):
    def test_same_answers(self):
        counts, failed = collections.Counter(), []
        if AGAINST_LOCAL:
            judge.TIES_BY_ID = False
            return self.runs(OtherLocal(), counts, failed)
        with Server(ready=False) as s:
            ours = Ours(s.url, api_key=s.new_key("--scope", "rag,admin"))
            self.runs(ours, counts, failed)
            self.assertIsNone(s.process.poll(), s.err)

    def runs(self, ours, counts, failed):
        for seed in range(FIRST, FIRST + SEEDS):
            begin = time.monotonic()
            try:
                run(seed, OPS, ours, counts)
                print(f"seed {seed}: {OPS} calls, {time.monotonic() - begin:.1f} s", flush=True)
            except Failure as failure:
                failed.append(seed)
                told(failure, ours)
            except Exception:
                print(f"seed {seed}:")
                traceback.print_exc(file=sys.stdout)
                failed.append(seed)
        print(", ".join(f"{k} {n}" for k, n in sorted(counts.items())))
        self.assertEqual(failed, [], "seeds that differ")
        self.assertLess(counts["left open"], 3 + OPS * SEEDS / 100)


if __name__ == "__main__":
    harness.main()
