"""Random collections, points, filters and calls for test_qdrant_local.py.

A call is (method, arguments) of qdrant_client.QdrantClient, with values of its models, so that a log of
them can be replayed and shortened. What is drawn keeps off the cases in which the client's local mode is
known not to do what the server does; docs/qdrant.md has the list, test_qdrant_server.py tests them one by
one. Payload fields are typed for that: `n` holds whole numbers only, `f` never holds one, and so on.
"""
import datetime
import uuid

from qdrant_client import models as m

POINTS, OTHER = "points", "other"
DISTANCES = [m.Distance.COSINE, m.Distance.DOT, m.Distance.EUCLID, m.Distance.MANHATTAN]
KEYWORDS = ["red", "green", "blue", "grün", "a b", "x-1", ""]
WORDS = ["apple", "pear", "plum", "fig", "Quince", "melon"]
INDEXES = {"k": "keyword", "n": "integer", "f": "float", "b": "bool", "t": "datetime", "g": "geo",
           "o.y.z": "keyword"}
FACETS = ["k", "n", "b", "o.y.z"]
GROUPS = ["k", "n", "o.y.z", "arr[].k"]
N_NEW_IDS_MAX = 700


class Space:
    """What vectors a collection has: name -> (kind, dimension, distance or idf)."""

    def __init__(self, rng):
        d = list(DISTANCES)
        rng.shuffle(d)
        self.slots = {}
        if rng.random() < 0.35:
            self.slots[""] = ("dense", rng.choice([1, 4, 16]), d[0])
            if rng.random() < 0.5:
                self.slots["s"] = ("sparse", 40, rng.random() < 0.5)
        else:
            self.slots["a"] = ("dense", rng.choice([3, 8, 33]), d[0])
            self.slots["b"] = ("dense", 5, d[1])
            self.slots["m"] = ("multi", 4, d[2])
            if rng.random() < 0.3:
                self.slots["m2"] = ("multi", 3, d[3])
            self.slots["s"] = ("sparse", 40, False)
            self.slots["t"] = ("sparse", 25, True)

    def named(self):
        return "" not in self.slots or len(self.slots) > 1

    def of_kind(self, *kinds):
        return [name for name, (kind, _, _) in self.slots.items() if kind in kinds]

    def create(self, name):
        def params(kind, size, distance):
            multi = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)
            return m.VectorParams(size=size, distance=distance,
                                  multivector_config=multi if kind == "multi" else None)
        dense = {n: params(*s) for n, s in self.slots.items() if s[0] != "sparse"}
        sparse = {n: m.SparseVectorParams(modifier=m.Modifier.IDF if s[2] else None)
                  for n, s in self.slots.items() if s[0] == "sparse"}
        return ("create_collection", {
            "collection_name": name, "vectors_config": dense[""] if "" in dense else dense,
            "sparse_vectors_config": sparse or None})


class Draw:
    """Draws calls. alive(slot): the ids that are there (with a vector in slot), as the test knows them."""

    def __init__(self, rng, space, alive):
        self.rng, self.space, self.alive = rng, space, alive
        self.n_ids, self.aliases = 0, {}

    # ---- Small things ----

    def maybe(self, p=0.5):
        return self.rng.random() < p

    def some(self, items, n_max):
        items = list(items)
        return self.rng.sample(items, min(len(items), self.rng.randint(1, n_max))) if items else []

    def real(self):
        return round(self.rng.uniform(-50, 50), 3) + 0.0005    # never a whole number

    def time(self):
        return datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(
            seconds=self.rng.randint(0, 40) * 21600, microseconds=self.rng.choice([0, 0, 250000]))

    def time_text(self):
        t = self.time()
        if t.microsecond:
            return t.strftime(self.rng.choice(["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S.%f"]))
        other = t.astimezone(datetime.timezone(datetime.timedelta(hours=self.rng.choice([-7, 2, 5.5]))))
        return self.rng.choice([
            t.strftime("%Y-%m-%dT%H:%M:%SZ"), t.strftime("%Y-%m-%d %H:%M:%S"),
            t.strftime("%Y-%m-%dT%H:%M:%S"), t.strftime("%Y-%m-%d %H:%M"),
            other.strftime("%Y-%m-%dT%H:%M:%S%z"), other.isoformat()])

    def place(self):
        return {"lon": round(self.rng.uniform(-180, 180), 4), "lat": round(self.rng.uniform(-85, 85), 4)}

    def one_or_list(self, make, n_max=3):
        return make() if self.maybe(0.6) else [make() for _ in range(self.rng.randint(0, n_max))]

    # ---- Points ----

    def element(self):
        e = {"x": self.rng.randint(-5, 5), "k": self.rng.choice(KEYWORDS)}
        if self.maybe():
            e["l"] = [self.rng.randint(0, 4) for _ in range(self.rng.randint(0, 3))]
        if self.maybe(0.3):
            e["subs"] = [{"x": self.rng.randint(0, 3)} for _ in range(self.rng.randint(0, 2))]
        return e

    def field(self, name):
        r = self.rng
        if name == "k":
            return self.one_or_list(lambda: r.choice(KEYWORDS))
        if name == "n":
            return self.one_or_list(lambda: r.randint(-20, 20))
        if name == "f":
            return self.one_or_list(self.real)
        if name == "b":
            return self.maybe()
        if name == "t":
            return self.one_or_list(self.time_text)
        if name == "g":
            return self.one_or_list(self.place)
        if name == "txt":
            return " ".join(r.choice(WORDS) for _ in range(r.randint(0, 5)))
        if name == "e":
            return r.choice([None, [], 7, [1], {}, "x"])
        if name == "mix":    # of any kind, but no boolean and no null
            return self.one_or_list(lambda: r.choice([
                lambda: r.choice(KEYWORDS), lambda: r.randint(-9, 9), self.real, self.time_text, self.place,
                lambda: {}, lambda: {"x": r.randint(0, 2)}])(), 4)
        if name == "o":
            o = {"x": r.randint(-9, 9), "l": [r.randint(0, 3) for _ in range(r.randint(0, 3))]}
            if self.maybe(0.8):
                o["y"] = {"z": r.choice(KEYWORDS)}
            return o
        return [self.element() for _ in range(r.randint(0, 3))]    # arr

    def payload(self, p=0.6):
        return {name: self.field(name) for name in
                ("k", "n", "f", "b", "t", "g", "txt", "e", "o", "arr", "mix") if self.maybe(p)}

    def new_id(self):
        self.n_ids = min(self.n_ids + 1, N_NEW_IDS_MAX)
        n = self.n_ids if self.n_ids < N_NEW_IDS_MAX else self.rng.randint(1, N_NEW_IDS_MAX)
        return self.id_of(n)

    @staticmethod
    def id_of(n):
        if n % 3 == 0:
            return str(uuid.UUID(int=(n * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)))
        return n if n % 7 else (1 << 63) + n

    def known_id(self):
        return self.rng.choice(self.alive()) if self.alive() else self.new_id()

    def dense(self, slot):
        return [self.rng.uniform(-1, 1) for _ in range(self.space.slots[slot][1])]

    def sparse(self, slot):
        n = self.rng.randint(1, 6)
        at = self.rng.sample(range(self.space.slots[slot][1]), n)
        return m.SparseVector(indices=at, values=[self.rng.uniform(0.05, 2) for _ in at])

    def vector(self, slot):
        kind = self.space.slots[slot][0]
        if kind == "dense":
            return self.dense(slot)
        if kind == "sparse":
            return self.sparse(slot)
        return [self.dense(slot) for _ in range(self.rng.randint(1, 3))]

    def vectors(self, p=0.85):
        if not self.space.named():
            return self.dense("")
        return {n: self.vector(n) for n in self.space.slots if n == "" or self.maybe(p)}

    def point(self, point_id):
        return m.PointStruct(id=point_id, vector=self.vectors(),
                             payload=self.payload() if self.maybe(0.95) else None)

    # ---- Filters ----

    def value_match(self):
        r = self.rng
        key, make = r.choice([
            ("k", lambda: r.choice(KEYWORDS)), ("n", lambda: r.randint(-20, 20)),
            ("k[0]", lambda: r.choice(KEYWORDS)), ("n[]", lambda: r.randint(-20, 20)),
            ("b", self.maybe), ("o.y.z", lambda: r.choice(KEYWORDS)), ("o.x", lambda: r.randint(-9, 9)),
            ("o.l", lambda: r.randint(0, 3)), ("arr[].k", lambda: r.choice(KEYWORDS)),
            ("arr[0].x", lambda: r.randint(-5, 5)), ("arr[].l", lambda: r.randint(0, 4)),
            ("mix", lambda: r.choice(KEYWORDS)), ("mix", lambda: r.randint(-9, 9)),
            ("mix[].x", lambda: r.randint(0, 2)), ("mix.x", lambda: r.randint(0, 2)),
            ("o.l[1]", lambda: r.randint(0, 3)), ("nowhere.at[].all", lambda: 1)])
        if key == "b" or self.maybe(0.6):
            return m.FieldCondition(key=key, match=m.MatchValue(value=make()))
        among = [make() for _ in range(r.randint(1, 4))]
        return m.FieldCondition(key=key, match=m.MatchAny(any=among) if self.maybe()
                                else m.MatchExcept(**{"except": among}))

    def bounds(self, make):
        low, high = sorted([make(), make()])
        return {k: v for k, v in ((self.rng.choice(["gt", "gte"]), low),
                                  (self.rng.choice(["lt", "lte"]), high)) if self.maybe(0.7)} or \
            {"gte": low}

    def geo(self):
        r, p = self.rng, self.place
        kind = r.randrange(3)
        if kind == 0:
            a, b = p(), p()
            top, bottom = max(a["lat"], b["lat"]), min(a["lat"], b["lat"])
            return {"geo_bounding_box": m.GeoBoundingBox(
                top_left=m.GeoPoint(lon=a["lon"], lat=top),
                bottom_right=m.GeoPoint(lon=b["lon"], lat=bottom))}
        if kind == 1:
            return {"geo_radius": m.GeoRadius(center=m.GeoPoint(**p()), radius=r.uniform(1e5, 8e6))}
        lon, lat, size = r.uniform(-100, 100), r.uniform(-40, 40), r.uniform(10, 60)

        def ring(scale):
            corners = [(-1, -0.6), (0.9, -0.7), (0.8, 0.5), (0.1, 0.7), (-0.9, 0.6), (-1, -0.6)]
            return m.GeoLineString(points=[m.GeoPoint(lon=lon + x * scale, lat=lat + y * scale)
                                           for x, y in corners])
        return {"geo_polygon": m.GeoPolygon(exterior=ring(size), interiors=[ring(size / 3)]
                                            if self.maybe() else None)}

    def leaf(self):
        r = self.rng
        kind = r.randrange(14)
        if kind < 4:
            return self.value_match()
        if kind == 4:
            key = r.choice(["n", "f", "o.x", "arr[].x", "o.l[]", "mix"])
            return m.FieldCondition(key=key, range=m.Range(**self.bounds(lambda: r.uniform(-25, 25))))
        if kind == 5:
            return m.FieldCondition(key=r.choice(["t", "t", "mix"]), range=m.DatetimeRange(**self.bounds(self.time)))
        if kind == 6:
            return m.FieldCondition(key=r.choice(["g", "g", "mix"]), **self.geo())
        if kind == 7:
            words = [r.choice(WORDS) for _ in range(r.randint(1, 2))]
            if self.maybe():
                return m.FieldCondition(key="txt", match=m.MatchText(text=" ".join(words)))
            return m.FieldCondition(key="txt", match=m.MatchTextAny(text_any=" ".join(words)))
        if kind == 8:
            bound = {r.choice(["lt", "lte", "gt", "gte"]): r.randint(0, 3)}
            return m.FieldCondition(key=r.choice(["k", "n", "arr", "arr[].l", "g", "e", "o.l", "b", "mix"]),
                                    values_count=m.ValuesCount(**bound))
        if kind == 9:
            return m.IsEmptyCondition(is_empty=m.PayloadField(
                key=r.choice(["k", "n", "e", "o.y", "arr[].l", "o.y.z", "mix.x", "nowhere"])))
        if kind == 10:
            return m.IsNullCondition(is_null=m.PayloadField(key=r.choice(["e", "k", "o.y"])))
        if kind == 11:
            return m.HasIdCondition(has_id=[self.known_id() for _ in range(r.randint(1, 30))])
        if kind == 12:
            return m.HasVectorCondition(has_vector=r.choice(list(self.space.slots) + ["nowhere"]))
        return self.nested()

    def nested(self):
        def inner():
            r = self.rng
            return r.choice([
                lambda: m.FieldCondition(key="x", range=m.Range(**self.bounds(lambda: r.uniform(-5, 5)))),
                lambda: m.FieldCondition(key="k", match=m.MatchValue(value=r.choice(KEYWORDS))),
                lambda: m.FieldCondition(key="l", match=m.MatchAny(any=[r.randint(0, 4)])),
                lambda: m.FieldCondition(key="l", values_count=m.ValuesCount(gte=r.randint(0, 2))),
                lambda: m.IsEmptyCondition(is_empty=m.PayloadField(key="l")),
            ])()
        key = self.rng.choice(["arr", "arr[]", "arr", "arr[].subs"])
        return m.NestedCondition(nested=m.Nested(key=key, filter=self.clauses(inner, 0)))

    def clauses(self, leaf, depth):
        def conditions():
            return [self.filter(depth - 1) if depth > 0 and self.maybe(0.25) else leaf()
                    for _ in range(self.rng.choice([1, 1, 2, 3]))]
        f = {}
        if self.maybe(0.6):
            f["must"] = conditions() if self.maybe(0.9) else leaf()
        if self.maybe(0.3):
            f["should"] = conditions()
        if self.maybe(0.25):
            f["must_not"] = conditions()
        if self.maybe(0.15):
            among = conditions() + conditions()
            f["min_should"] = m.MinShould(conditions=among, min_count=self.rng.randint(1, len(among)))
        return m.Filter(**f) if f else m.Filter(must=[leaf()])

    def filter(self, depth=2):
        return self.clauses(self.leaf, depth)

    def narrow(self):
        """A filter that few points pass, to delete by."""
        return m.Filter(must=[m.HasIdCondition(has_id=self.some(self.alive(), 15) or [1]), self.leaf()])

    def wide(self, p=0.5):
        return self.filter() if self.maybe(p) else None

    # ---- Writes ----

    def write(self):
        r = self.rng
        if len(self.alive()) < 30:
            return self.upsert(30)
        kind = r.choices(
            [self.upsert, self.set_payload, self.overwrite_payload, self.delete_payload,
             self.clear_payload, self.update_vectors, self.delete_vectors, self.delete, self.batch_update,
             self.alias, self.index], weights=[30, 12, 4, 6, 2, 8, 4, 5, 6, 2, 2])[0]
        return kind()

    def call(self, method, **arguments):
        return method, {"collection_name": self.name(), **arguments}

    def name(self):
        here = [a for a, c in self.aliases.items() if c == POINTS]
        return self.rng.choice(here) if here and self.maybe(0.1) else POINTS

    def upsert(self, n_max=8):
        r = self.rng
        mode = r.choices([None, m.UpdateMode.INSERT_ONLY, m.UpdateMode.UPDATE_ONLY], [9, 1, 1])[0]
        barred = self.maybe(0.1)
        n = r.randint(1, n_max)
        # A conditional write of a point that was deleted: local mode takes it for one that is there.
        fresh = self.new_id if not (mode or barred) else self.known_id
        ids = [fresh() if self.maybe(0.7) else self.known_id() for _ in range(n)]
        how = {}
        if mode:
            how["update_mode"] = mode
        if barred and mode != m.UpdateMode.INSERT_ONLY:
            how["update_filter"] = self.filter(1)
        if self.maybe(0.7):
            return self.call("upsert", points=[self.point(i) for i in ids], **how)
        ids = list(dict.fromkeys(ids))
        if self.space.named():
            slots = list(self.space.slots) if "" in self.space.slots else self.some(self.space.slots, 9)
            vectors = {s: [self.vector(s) for _ in ids] for s in slots}
        else:
            vectors = [self.dense("") for _ in ids]
        payloads = [self.payload() for _ in ids] if self.maybe(0.8) else None
        return self.call("upsert", points=m.Batch(ids=ids, vectors=vectors, payloads=payloads), **how)

    def which(self):
        return self.some(self.alive(), 6) if self.maybe(0.7) else self.narrow()

    def set_payload(self):
        r = self.rng
        if self.maybe(0.5):
            payload = self.payload(0.3) or {"n": 1}
            payload = {k: v for k, v in payload.items() if v is not None} or {"n": 2}
            return self.call("set_payload", payload=payload, points=self.which())
        key, payload = r.choice([
            ("o", {"x": r.randint(-9, 9)}), ("o.y", {"z": r.choice(KEYWORDS)}),
            ("o", {"y": {"z": r.choice(KEYWORDS)}, "new": {"p": [1, {"q": 2}]}}),
            ("arr[0]", {"x": r.randint(-5, 5)}), ("arr[]", {"k": r.choice(KEYWORDS)}),
            ("arr[].deep", {"a": r.randint(0, 9)}), ("new.path", {"v": r.randint(0, 9)}),
            ("arr[7]", {"x": 1}), ("k.in", {"z": 1}), ("o.l[0]", {"w": 5}), ("o.l[]", {"w": 6}),
            ("other[]", {"w": 1}), ('"quoted key"', {"v": 1}), ("o.l.deeper", {"v": 2})])
        return self.call("set_payload", payload=payload, points=self.which(), key=key)

    def overwrite_payload(self):
        return self.call("overwrite_payload", payload=self.payload(), points=self.which())

    def delete_payload(self):
        keys = self.some(["k", "n", "f", "t", "g", "o", "arr", "e", "mix", "nowhere"], 3)
        return self.call("delete_payload", keys=keys, points=self.which())

    def clear_payload(self):
        return self.call("clear_payload", points_selector=self.which())

    def point_vectors(self, point_id):
        if not self.space.named():
            return m.PointVectors(id=point_id, vector=self.dense(""))
        slots = self.some(self.space.slots, 3)
        return m.PointVectors(id=point_id, vector={s: self.vector(s) for s in slots})

    def update_vectors(self):
        # With a filter one point only: local mode stops at the first that doesn't pass.
        if self.maybe(0.2):
            return self.call("update_vectors", points=[self.point_vectors(self.known_id())],
                             update_filter=self.filter(1))
        return self.call("update_vectors", points=[self.point_vectors(i) for i in self.some(self.alive(), 5)])

    def delete_vectors(self):
        slots = self.some([s for s in self.space.slots if self.space.named()] or [""], 2)
        return self.call("delete_vectors", vectors=slots, points=self.which())

    def delete(self):
        if self.maybe(0.6):
            ids = self.some(self.alive(), 5) + [self.id_of(999999 + self.rng.randint(0, 9))]
            return self.call("delete", points_selector=ids)
        return self.call("delete", points_selector=self.narrow())

    def batch_update(self):
        """The operations of one request, without deletes before writes that name their points."""
        operations, deletes = [], []
        for _ in range(self.rng.randint(2, 5)):
            method, a = self.rng.choice([self.upsert, self.set_payload, self.overwrite_payload, self.delete,
                                         self.delete_payload, self.clear_payload, self.update_vectors,
                                         self.delete_vectors])()
            (deletes if method == "delete" else operations).append(operation(method, a))
        return self.call("batch_update_points", update_operations=operations + deletes)

    def alias(self):
        names, there = ["al1", "al2", "al3"], list(self.aliases)
        create = m.CreateAliasOperation(create_alias=m.CreateAlias(
            alias_name=self.rng.choice(names), collection_name=self.rng.choice([POINTS, OTHER])))
        steps = [create]
        if there and self.maybe():
            old = self.rng.choice(there)
            new = self.rng.choice([n for n in names if n != old])
            steps = [m.RenameAliasOperation(rename_alias=m.RenameAlias(old_alias_name=old,
                                                                       new_alias_name=new))]
        elif there and self.maybe():
            steps = [m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=self.rng.choice(there))),
                     create]
        for s in steps:
            if isinstance(s, m.CreateAliasOperation):
                self.aliases[s.create_alias.alias_name] = s.create_alias.collection_name
            elif isinstance(s, m.DeleteAliasOperation):
                self.aliases.pop(s.delete_alias.alias_name)
            else:
                moved = self.aliases.pop(s.rename_alias.old_alias_name)
                self.aliases[s.rename_alias.new_alias_name] = moved
        return "update_collection_aliases", {"change_aliases_operations": steps}

    def index(self):
        """An index that nothing needs comes or goes: filters answer as before."""
        field, schema = self.rng.choice([("o.x", "integer"), ("arr[].k", "keyword"), ("arr[].x", "integer"),
                                         ("g", "geo"), ("o.l", "integer"), ("e", "keyword"),
                                         ("mix", "keyword"), ("mix", "float"), ("mix", "datetime")])
        if self.maybe():
            return "create_payload_index", {"collection_name": POINTS, "field_name": field,
                                            "field_schema": schema}
        return "delete_payload_index", {"collection_name": POINTS, "field_name": field}

    # ---- Reads ----

    def read(self):
        kind = self.rng.choices(
            [self.query, self.scroll, self.ordered, self.count, self.retrieve, self.groups, self.batch,
             self.facet, self.get_aliases], weights=[50, 10, 8, 6, 8, 8, 4, 6, 1])[0]
        return kind()

    def with_payload(self):
        paths = ["k", "n", "o.y", "o.x", "arr[].x", "arr[].k", "arr", "g", "o", "t", "arr[].subs[].x"]
        return self.rng.choice([
            lambda: True, lambda: True, lambda: False, lambda: self.some(paths, 4),
            lambda: m.PayloadSelectorInclude(include=self.some(paths, 4)),
            lambda: m.PayloadSelectorExclude(exclude=self.some(paths, 4))])()

    def with_vectors(self):
        named = [s for s in self.space.slots if s]
        return self.rng.choice([False, False, True] + ([self.some(named, 3)] if named else []))

    def parts(self):
        return {"with_payload": self.with_payload(), "with_vectors": self.with_vectors()}

    def count(self):
        return self.call("count", count_filter=self.wide(0.9), exact=True)

    def retrieve(self):
        ids = list(dict.fromkeys([self.known_id() for _ in range(self.rng.randint(1, 6))] +
                                 [self.id_of(555555)]))
        return self.call("retrieve", ids=ids, **self.parts())

    def scroll(self):
        offset = self.known_id() if self.maybe() else None
        return self.call("scroll", scroll_filter=self.wide(), limit=self.rng.choice([1, 7, 50, 9999]),
                         offset=offset, **self.parts())

    def order_by(self):
        key, start = self.rng.choice([("n", lambda: self.rng.randint(-20, 20)), ("f", self.real),
                                      ("t", self.time)])
        direction = self.rng.choice([None, m.Direction.ASC, m.Direction.DESC])
        if direction is None and self.maybe():
            return key
        return m.OrderBy(key=key, direction=direction, start_from=start() if self.maybe(0.4) else None)

    def ordered(self):
        return self.call("scroll", scroll_filter=self.wide(), limit=self.rng.choice([3, 20, 9999]),
                         order_by=self.order_by(), **self.parts())

    def facet(self):
        return self.call("facet", key=self.rng.choice(FACETS), facet_filter=self.wide(),
                         limit=self.rng.choice([2, 10, 100]), exact=True)

    def get_aliases(self):
        if self.maybe():
            return "get_aliases", {}
        return "get_collection_aliases", {"collection_name": POINTS}

    # ---- Queries ----

    def slot(self, *kinds):
        found = self.space.of_kind(*kinds) if kinds else list(self.space.slots)
        return self.rng.choice(found or list(self.space.slots))

    def example(self, slot, p_id=0.5):
        ids = self.alive(slot)
        return self.rng.choice(ids) if ids and self.maybe(p_id) else self.vector(slot)

    def recommend(self, slot, p_id=0.6):
        strategy = self.rng.choice([None, m.RecommendStrategy.AVERAGE_VECTOR,
                                    m.RecommendStrategy.BEST_SCORE, m.RecommendStrategy.SUM_SCORES])
        free = strategy in (m.RecommendStrategy.BEST_SCORE, m.RecommendStrategy.SUM_SCORES)
        n = self.rng.randint(0 if free else 1, 3)
        positive = [self.example(slot, p_id) for _ in range(n)]
        negative = [self.example(slot, p_id) for _ in range(self.rng.randint(0 if n else 1, 2))]
        return m.RecommendQuery(recommend=m.RecommendInput(positive=positive, negative=negative,
                                                           strategy=strategy))

    def scoring(self, slot, p_id=0.4):
        """A query by vectors of one slot."""
        if self.maybe(0.3):
            return self.recommend(slot, p_id)
        example = self.example(slot, p_id)
        return example if self.maybe(0.7) else m.NearestQuery(nearest=example)

    def source(self, depth, unique=True, p_id=0.4):
        """A prefetch. unique: its order leaves no room, as what is fused by rank must have."""
        slot = self.slot()
        how = {"limit": self.rng.choice([None, 3, 20, 60]), "filter": self.wide(0.3),
               "using": slot or None, "query": as_query(self.scoring(slot, p_id))}
        if depth > 0 and self.maybe(0.4):
            how["prefetch"] = [self.source(depth - 1, False, p_id) for _ in range(self.rng.randint(1, 2))]
        elif not unique and self.maybe(0.15):
            how.update(query=None, using=None)
        return m.Prefetch(**how)

    def fusion(self, n):
        kind = self.rng.randrange(4)
        if kind == 0:
            return m.FusionQuery(fusion=m.Fusion.DBSF)
        if kind == 1:
            return m.FusionQuery(fusion=m.Fusion.RRF)
        weights = [round(self.rng.uniform(0.2, 3), 2) for _ in range(n)] if self.maybe() else None
        return m.RrfQuery(rrf=m.Rrf(k=self.rng.choice([None, 1, 2, 60]), weights=weights))

    def page(self):
        return {"limit": self.rng.choice([1, 3, 10, 10, 50, 5000]),
                "offset": self.rng.choice([None, None, 0, 2, 17])}

    def query(self):
        r = self.rng
        kind = r.choices(["nearest", "rescore", "fuse", "order", "sample", "none", "lookup"],
                         weights=[40, 15, 20, 6, 4, 4, 6])[0]
        how = {"query_filter": self.wide(), **self.page(), **self.parts()}
        slot = self.slot()
        if kind == "fuse":
            how["prefetch"] = [self.source(1) for _ in range(r.randint(1, 3))]
            how["query"] = self.fusion(len(how["prefetch"]))
        elif kind == "order":
            how["query"] = m.OrderByQuery(order_by=self.order_by())
            if self.maybe(0.3):
                how["prefetch"] = [self.source(0, False)]
        elif kind == "sample":
            how.update(query=m.SampleQuery(sample=m.Sample.RANDOM), offset=None)
        elif kind == "none":
            how["query"] = None
        elif kind == "lookup":
            dense = self.slot("dense")
            how.update(query=r.randint(1, 20), using=dense or None,
                       lookup_from=m.LookupLocation(collection=OTHER, vector=dense or None))
            if self.maybe(0.3):
                how["query"] = m.RecommendQuery(recommend=m.RecommendInput(
                    positive=[r.randint(1, 10)], negative=[r.randint(11, 20)]))
        else:
            how.update(query=self.scoring(slot), using=slot or None)
            if kind == "rescore":
                how["prefetch"] = [self.source(2, False) for _ in range(r.randint(1, 2))]
            elif self.maybe(0.2):
                how["search_params"] = m.SearchParams(exact=True, hnsw_ef=64)
        if kind in ("nearest", "rescore", "fuse", "lookup") and self.maybe(0.25):
            how["score_threshold"] = "median"    # the test puts a number in
        return self.call("query_points", **how)

    def groups(self):
        slot = self.slot()
        how = {"group_by": self.rng.choice(GROUPS), "query": self.scoring(slot), "using": slot or None,
               "query_filter": self.wide(), "limit": self.rng.choice([2, 5, 50]),
               "group_size": self.rng.choice([1, 3, 10]), **self.parts()}
        if how["group_by"] == "n" and self.maybe():
            how["with_lookup"] = m.WithLookup(collection=OTHER, with_payload=True, with_vectors=False)
        return self.call("query_points_groups", **how)

    def batch(self):
        requests = []
        for _ in range(self.rng.randint(1, 4)):
            _, a = self.query()
            while isinstance(a["query"], m.SampleQuery) or a.get("score_threshold"):
                _, a = self.query()
            requests.append(request(a))
        return self.call("query_batch_points", requests=requests)


def as_query(example):
    """What is only a vector or an id, as a query."""
    plain = isinstance(example, (int, str, list, m.SparseVector))
    return m.NearestQuery(nearest=example) if plain else example


def request(a):
    """The arguments of query_points as one of a batch."""
    return m.QueryRequest(
        query=as_query(a["query"]), prefetch=a.get("prefetch"), filter=a.get("query_filter"), using=a.get("using"),
        limit=a["limit"], offset=a.get("offset"), with_payload=a["with_payload"],
        with_vector=a["with_vectors"], lookup_from=a.get("lookup_from"))


def operation(method, a):
    """A call as one of a batch."""
    def selector(which):
        return {"filter": which} if isinstance(which, m.Filter) else {"points": which}

    def points(which):
        return m.FilterSelector(filter=which) if isinstance(which, m.Filter) \
            else m.PointIdsList(points=which)
    if method == "upsert":
        how = {k: a[k] for k in ("update_filter",) if k in a}
        if isinstance(a["points"], m.Batch):
            return m.UpsertOperation(upsert=m.PointsBatch(batch=a["points"], **how))
        return m.UpsertOperation(upsert=m.PointsList(points=a["points"], **how))
    if method == "set_payload":
        return m.SetPayloadOperation(set_payload=m.SetPayload(
            payload=a["payload"], key=a.get("key"), **selector(a["points"])))
    if method == "overwrite_payload":
        return m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(
            payload=a["payload"], **selector(a["points"])))
    if method == "delete_payload":
        return m.DeletePayloadOperation(delete_payload=m.DeletePayload(
            keys=a["keys"], **selector(a["points"])))
    if method == "clear_payload":
        return m.ClearPayloadOperation(clear_payload=points(a["points_selector"]))
    if method == "update_vectors":
        return m.UpdateVectorsOperation(update_vectors=m.UpdateVectors(
            points=a["points"], update_filter=a.get("update_filter")))
    if method == "delete_vectors":
        return m.DeleteVectorsOperation(delete_vectors=m.DeleteVectors(
            vector=a["vectors"], **selector(a["points"])))
    return m.DeleteOperation(delete=points(a["points_selector"]))
