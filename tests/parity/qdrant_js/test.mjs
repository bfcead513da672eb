// test.mjs URL KEY OTHER - the official Qdrant client for JavaScript, as it is, against our server: sixty
// calls, each a thing that programs do, in the order of a collection's life. KEY may do all, OTHER nothing
// here. test_qdrant_js.py starts the server and runs this.
import assert from 'node:assert/strict';
import {QdrantClient} from '@qdrant/js-client-rest';

const [url, apiKey, other] = process.argv.slice(2);
const make = (key, options = {}) => new QdrantClient({url, apiKey: key, checkCompatibility: false, ...options});
const client = make(apiKey);
const uuid = '550e8400-e29b-41d4-a716-446655440000';
const ids = (points) => points.map((p) => p.id);
const near = (a, b) => assert.ok(Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b)), `${a}, not ${b}`);
const done = (result) => assert.equal(result.status, 'completed');

// Twelve cities: ids 1 to 11 and a UUID; vectors [i, 1, 0, 0].
const cities = ['Aachen', 'Bonn', 'Celle', 'Dresden', 'Essen', 'Fulda', 'Gera', 'Halle', 'Ilmenau', 'Jena', 'Kiel',
    'Leer'].map((name, i) => ({
    id: i === 11 ? uuid : i + 1, vector: [i + 1, 1, 0, 0],
    payload: {name, size: (i * 7) % 12, tags: i % 2 ? ['odd', 'all'] : ['even', 'all'],
        at: {lon: 6 + i, lat: 50 + i / 10}, day: `2024-01-${String(i + 1).padStart(2, '0')}T12:00:00Z`,
        parts: [{k: i, v: 'x'}, {k: i + 1, v: 'y'}]},
}));

async function refused(status, pattern, call) {
    try {
        await call();
    } catch (error) {
        assert.equal(error.status, status, `${error}`);
        assert.match(JSON.stringify(error.data ?? `${error}`), pattern);
        return;
    }
    assert.fail(`${status} expected, but it was answered`);
}
const filtered = async (filter, limit = 100) =>
    ids((await client.scroll('c', {filter, limit, with_payload: false})).points);

const calls = {
    // ---- Collections ----
    async versionInfo() {
        const info = await client.versionInfo();
        assert.equal(info.title, 'qdrant - vector search engine');
        assert.match(info.version, /^1\.18\.\d+$/);
    },
    async 'getCollections of none'() {
        assert.deepEqual(await client.getCollections(), {collections: []});
    },
    async createCollection() {
        assert.equal(await client.createCollection('c', {vectors: {size: 4, distance: 'Dot'},
            hnsw_config: {m: 16, ef_construct: 100}, optimizers_config: {indexing_threshold: 20000},
            on_disk_payload: true}), true);
    },
    'createCollection again': () => refused(409, /Wrong input: Collection `c` already exists!/,
        () => client.createCollection('c', {vectors: {size: 4, distance: 'Dot'}})),
    async 'createCollection of named vectors'() {
        assert.equal(await client.createCollection('n', {
            vectors: {a: {size: 2, distance: 'Cosine'}, e: {size: 2, distance: 'Euclid'},
                m: {size: 2, distance: 'Dot', multivector_config: {comparator: 'max_sim'}}},
            sparse_vectors: {s: {modifier: 'idf'}}}), true);
    },
    async collectionExists() {
        assert.deepEqual(await client.collectionExists('c'), {exists: true});
        assert.deepEqual(await client.collectionExists('nope'), {exists: false});
    },
    async getCollection() {
        const info = await client.getCollection('c');
        assert.equal(info.points_count, 0);
        assert.equal(info.status, 'green');
        assert.deepEqual(info.config.params.vectors, {size: 4, distance: 'Dot'});
    },
    'getCollection of none': () => refused(404, /Not found: Collection `nope` doesn't exist!/,
        () => client.getCollection('nope')),
    async updateCollection() {
        assert.equal(await client.updateCollection('c', {optimizers_config: {indexing_threshold: 10000}}), true);
    },
    async 'getCollections of two'() {
        assert.deepEqual((await client.getCollections()).collections.map((c) => c.name).sort(), ['c', 'n']);
    },
    'a key of another scope': () => refused(403, /./, () => make(other).getCollections()),
    'no key': () => refused(401, /./, () => make(undefined).getCollections()),

    // ---- Points ----
    async 'upsert of rows'() {
        done(await client.upsert('c', {wait: true, points: cities.slice(0, 6)}));
    },
    async 'upsert of columns'() {
        const rest = cities.slice(6);
        done(await client.upsert('c', {wait: true, batch: {ids: rest.map((p) => p.id),
            vectors: rest.map((p) => p.vector), payloads: rest.map((p) => p.payload)}}));
    },
    async 'upsert that does not wait'() {
        const result = await client.upsert('c', {wait: false, points: [cities[0]]});
        assert.equal(result.status, 'acknowledged');
    },
    'upsert of another dimension': () => refused(400, /Vector dimension error: expected dim: 4, got 3/,
        () => client.upsert('c', {wait: true, points: [{id: 1, vector: [1, 2, 3]}]})),
    'upsert of a bad id': () => refused(400, /value x1 is not a valid point ID/,
        () => client.upsert('c', {wait: true, points: [{id: 'x1', vector: [1, 2, 3, 4]}]})),
    async count() {
        assert.deepEqual(await client.count('c'), {count: 12});
        assert.deepEqual(await client.count('c', {exact: true, filter: {
            must: [{key: 'tags', match: {value: 'odd'}}]}}), {count: 6});
    },
    async retrieve() {
        const [a, b] = await client.retrieve('c', {ids: [uuid, 3, 999], with_vector: true});
        assert.deepEqual([a.id, a.payload.name, b.vector], [uuid, 'Leer', [3, 1, 0, 0]]);
    },
    async 'retrieve of some fields'() {
        const [p] = await client.retrieve('c', {ids: [2], with_payload: {include: ['name', 'parts[].k']}});
        assert.deepEqual(p.payload, {name: 'Bonn', parts: [{k: 1}, {k: 2}]});
        assert.ok(p.vector === undefined || p.vector === null);
    },
    async scroll() {
        const seen = [];
        let offset;
        do {
            const page = await client.scroll('c', {limit: 5, offset, with_payload: false});
            seen.push(...ids(page.points));
            offset = page.next_page_offset ?? undefined;
        } while (offset !== undefined);
        assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, uuid]);
    },
    'scroll by a field without an index': () => refused(400, /No range index for `order_by` key: `size`/,
        () => client.scroll('c', {order_by: 'size'})),

    // ---- Indexes ----
    async createPayloadIndex() {
        done(await client.createPayloadIndex('c', {field_name: 'size', field_schema: 'integer', wait: true}));
        done(await client.createPayloadIndex('c', {field_name: 'tags', wait: true,
            field_schema: {type: 'keyword', is_tenant: false}}));
        done(await client.createPayloadIndex('c', {field_name: 'name', wait: true,
            field_schema: {type: 'text', tokenizer: 'prefix', min_token_len: 1, lowercase: true}}));
        const schema = (await client.getCollection('c')).payload_schema;
        assert.deepEqual(Object.keys(schema).sort(), ['name', 'size', 'tags']);
        assert.equal(schema.size.data_type, 'integer');
    },
    async 'scroll in order'() {
        const {points} = await client.scroll('c', {order_by: {key: 'size', direction: 'desc', start_from: 9},
            limit: 4, with_payload: ['size']});
        assert.deepEqual(points.map((p) => p.payload.size), [9, 8, 7, 6]);
        assert.deepEqual(points.map((p) => p.order_value), [9, 8, 7, 6]);
    },
    async facet() {
        assert.deepEqual((await client.facet('c', {key: 'tags', exact: true})).hits, [
            {value: 'all', count: 12}, {value: 'even', count: 6}, {value: 'odd', count: 6}]);
    },
    async deletePayloadIndex() {
        done(await client.deletePayloadIndex('c', 'name', {wait: true}));
        assert.equal((await client.getCollection('c')).payload_schema.name, undefined);
    },

    // ---- Filters ----
    async 'filter by matches'() {
        assert.deepEqual(await filtered({must: [{key: 'name', match: {any: ['Bonn', 'Kiel']}}]}), [2, 11]);
        assert.deepEqual(await filtered({must: [{key: 'tags', match: {except: ['odd', 'all']}}]}),
            [1, 3, 5, 7, 9, 11]);
        assert.deepEqual(await filtered({must: [{key: 'name', match: {text: 'le'}}]}), [3, 8]);
    },
    async 'filter by ranges'() {
        assert.deepEqual(await filtered({must: [{key: 'size', range: {gte: 2, lt: 4}}]}), [3, 10]);
        assert.deepEqual(await filtered({must: [{key: 'day', range: {gt: '2024-01-10T12:00:00Z'}}]}), [11, uuid]);
    },
    async 'filter by places'() {
        assert.deepEqual(await filtered({must: [{key: 'at', geo_bounding_box: {
            top_left: {lon: 6.5, lat: 50.25}, bottom_right: {lon: 9.5, lat: 50.05}}}]}), [2, 3]);
        assert.deepEqual(await filtered({must: [{key: 'at', geo_radius: {center: {lon: 6, lat: 50},
            radius: 100000}}]}), [1, 2]);
        const points = [{lon: 5, lat: 49}, {lon: 8.5, lat: 49}, {lon: 8.5, lat: 55}, {lon: 5, lat: 49}];
        assert.deepEqual(await filtered({must: [{key: 'at', geo_polygon: {exterior: {points}}}]}), [1, 2, 3]);
    },
    async 'filter by clauses'() {
        assert.deepEqual(await filtered({should: [{has_id: [1, uuid]}, {key: 'size', range: {lt: 1}}],
            must_not: [{key: 'name', match: {value: 'Aachen'}}]}), [uuid]);
        assert.deepEqual(await filtered({min_should: {min_count: 2, conditions: [{has_id: [1, 2, 3]},
            {key: 'tags', match: {value: 'odd'}}, {key: 'size', range: {gt: 5}}]}}), [2, 4, 6]);
    },
    async 'filter by what is there'() {
        assert.deepEqual(await filtered({must: [{is_empty: {key: 'name'}}]}), []);
        assert.deepEqual(await filtered({must: [{key: 'parts', values_count: {gte: 3}}]}), []);
        assert.deepEqual(await filtered({must_not: [{has_vector: ''}]}), []);
    },
    async 'filter in arrays'() {
        assert.deepEqual(await filtered({must: [{nested: {key: 'parts', filter: {must: [
            {key: 'k', match: {value: 4}}, {key: 'v', match: {value: 'y'}}]}}}]}), [4]);
        assert.deepEqual(await filtered({must: [{key: 'parts[].k', match: {value: 4}}]}), [4, 5]);
    },

    // ---- Queries ----
    async 'query of a vector'() {
        const {points} = await client.query('c', {query: [1, 0, 0, 0], limit: 3, with_payload: ['name']});
        assert.deepEqual(ids(points), [uuid, 11, 10]);
        assert.deepEqual(points.map((p) => p.score), [12, 11, 10]);
        assert.deepEqual(points[0].payload, {name: 'Leer'});
    },
    async 'query of an id'() {
        assert.deepEqual(ids((await client.query('c', {query: 11, limit: 2})).points), [uuid, 10]);
    },
    async 'query with a filter, an offset, a threshold'() {
        const {points} = await client.query('c', {query: [1, 0, 0, 0], offset: 1, score_threshold: 4.5,
            filter: {must: [{key: 'tags', match: {value: 'odd'}}]}, with_vector: true});
        assert.deepEqual(ids(points), [10, 8, 6]);
        assert.deepEqual(points[0].vector, [10, 1, 0, 0]);
    },
    async 'query that recommends'() {
        const by = async (strategy) => ids((await client.query('c', {limit: 2, query: {recommend: {
            positive: [uuid], negative: [[0, 5, 0, 0]], strategy}}})).points);
        assert.deepEqual(await by('average_vector'), [11, 10]);
        assert.deepEqual(await by('best_score'), [11, 10]);
        assert.deepEqual(await by('sum_scores'), [11, 10]);
    },
    async 'query that fuses ranks'() {
        const prefetch = [{query: [1, 0, 0, 0], limit: 2}, {query: [-1, 0, 0, 0], limit: 1}];
        const {points} = await client.query('c', {prefetch, query: {fusion: 'rrf'}});
        assert.deepEqual(ids(points), [1, uuid, 11]);
        [1 / 2, 1 / 2, 1 / 3].forEach((score, i) => near(points[i].score, score));
    },
    async 'query that fuses ranks with weights'() {
        const prefetch = [{query: [1, 0, 0, 0], limit: 2}, {query: [-1, 0, 0, 0], limit: 1}];
        const {points} = await client.query('c', {prefetch, query: {rrf: {k: 10, weights: [3, 1]}}});
        assert.deepEqual(ids(points), [uuid, 11, 1]);
        [1 / (1 / 3 + 9), 1 / (2 / 3 + 9), 1 / 10].forEach((score, i) => near(points[i].score, score));
    },
    async 'query that fuses scores'() {
        const prefetch = [{query: [1, 0, 0, 0], limit: 3}, {query: [0, 1, 0, 0], limit: 1}];
        const {points} = await client.query('c', {prefetch, query: {fusion: 'dbsf'}});
        near(points[0].score, (12 - (11 - 3)) / 6);
        assert.equal(points.length, 4);
    },
    async 'query in stages'() {
        const {points} = await client.query('c', {query: [-1, 0, 0, 0], limit: 2, prefetch: {
            query: [0, 1, 0, 0], limit: 12, prefetch: {query: [1, 0, 0, 0], limit: 3}}});
        assert.deepEqual(ids(points), [10, 11]);
    },
    async 'query in order, by chance, of all'() {
        const {points} = await client.query('c', {query: {order_by: 'size'}, limit: 3, with_payload: ['size']});
        assert.deepEqual(points.map((p) => p.payload.size), [0, 1, 2]);
        assert.equal((await client.query('c', {query: {sample: 'random'}, limit: 5})).points.length, 5);
        assert.deepEqual(ids((await client.query('c', {limit: 2})).points), [1, 2]);
    },
    'query of an unknown vector': () => refused(400, /Not existing vector name error: nope/,
        () => client.query('c', {query: [1, 0, 0, 0], using: 'nope'})),
    'query of what is not there': () => refused(404, /No point with id 77 found/,
        () => client.query('c', {query: 77})),
    async queryBatch() {
        const [a, b] = await client.queryBatch('c', {searches: [{query: [1, 0, 0, 0], limit: 1},
            {query: [-1, 0, 0, 0], limit: 2, with_payload: true}]});
        assert.deepEqual([ids(a.points), ids(b.points), b.points[0].payload.name], [[uuid], [1, 2], 'Aachen']);
    },
    async queryGroups() {
        const {groups} = await client.queryGroups('c', {query: [1, 0, 0, 0], group_by: 'tags', limit: 3,
            group_size: 2});
        assert.deepEqual(groups.map((g) => [g.id, ids(g.hits)]).sort(), [
            ['all', [uuid, 11]], ['even', [11, 9]], ['odd', [uuid, 10]]]);
    },

    // ---- The routes of older clients ----
    async search() {
        const hits = await client.search('c', {vector: [1, 0, 0, 0], limit: 2, with_payload: true});
        assert.deepEqual(hits.map((h) => [h.id, h.score, h.payload.name]), [[uuid, 12, 'Leer'], [11, 11, 'Kiel']]);
    },
    async searchBatch() {
        const [a, b] = await client.searchBatch('c', {searches: [{vector: [1, 0, 0, 0], limit: 1},
            {vector: [-1, 0, 0, 0], limit: 1}]});
        assert.deepEqual([ids(a), ids(b)], [[uuid], [1]]);
    },
    async recommend() {
        assert.deepEqual(ids(await client.recommend('c', {positive: [11], negative: [1], limit: 2})), [uuid, 10]);
    },
    async recommendPointGroups() {
        const {groups} = await client.recommendPointGroups('c', {positive: [11], group_by: 'size', limit: 2,
            group_size: 5});
        assert.deepEqual(groups.map((g) => [g.id, ids(g.hits)]), [[5, [uuid]], [3, [10]]]);
    },
    async searchPointGroups() {
        const {groups} = await client.searchPointGroups('c', {vector: [1, 0, 0, 0], group_by: 'tags', limit: 1,
            group_size: 1});
        assert.equal(ids(groups[0].hits)[0], uuid);
    },

    // ---- Changes ----
    async setPayload() {
        done(await client.setPayload('c', {payload: {new: 1, size: 50}, points: [1], wait: true}));
        done(await client.setPayload('c', {payload: {v: 'z'}, key: 'parts[0]', points: [1], wait: true}));
        const [p] = await client.retrieve('c', {ids: [1]});
        assert.deepEqual([p.payload.new, p.payload.size, p.payload.parts[0].v, p.payload.name],
            [1, 50, 'z', 'Aachen']);
    },
    async 'overwritePayload, deletePayload, clearPayload'() {
        done(await client.overwritePayload('c', {payload: {a: 1, b: 2}, wait: true,
            filter: {must: [{has_id: [1, 2]}]}}));
        done(await client.deletePayload('c', {keys: ['a'], points: [1], wait: true}));
        done(await client.clearPayload('c', {points: [2], wait: true}));
        assert.deepEqual((await client.retrieve('c', {ids: [1, 2]})).map((p) => p.payload), [{b: 2}, {}]);
    },
    'setPayload of what is not there': () => refused(404, /No point with id 77 found/,
        () => client.setPayload('c', {payload: {a: 1}, points: [77], wait: true})),
    async 'named vectors'() {
        done(await client.upsert('n', {wait: true, points: [
            {id: 1, vector: {a: [3, 4], e: [0, 0], m: [[1, 0], [0, 1]], s: {indices: [7, 3], values: [2, 1]}}},
            {id: 2, vector: {a: [1, 0], e: [3, 4]}}]}));
        near((await client.query('n', {query: [0, 1], using: 'a'})).points[0].score, 0.8);
        near((await client.query('n', {query: [0, 0], using: 'e'})).points[1].score, 5);
        near((await client.query('n', {query: [[1, 1], [2, 0]], using: 'm'})).points[0].score, 3);
        const [hit] = (await client.query('n', {query: {indices: [7], values: [1]}, using: 's'})).points;
        near(hit.score, 2 * Math.log((2 - 1 + 0.5) / (1 + 0.5) + 1));
    },
    async 'updateVectors, deleteVectors'() {
        done(await client.updateVectors('n', {wait: true, points: [{id: 2, vector: {m: [[5, 5]]}}]}));
        done(await client.deleteVectors('n', {wait: true, points: [1], vector: ['m', 's']}));
        const [a, b] = await client.retrieve('n', {ids: [1, 2], with_vector: true});
        assert.deepEqual([Object.keys(a.vector).sort(), b.vector.m], [['a', 'e'], [[5, 5]]]);
    },
    async batchUpdate() {
        const results = await client.batchUpdate('c', {wait: true, operations: [
            {upsert: {points: [{id: 20, vector: [0, 0, 0, 1], payload: {x: 1}}]}},
            {set_payload: {payload: {y: 2}, points: [20]}},
            {delete_payload: {keys: ['x'], points: [20]}},
            {update_vectors: {points: [{id: 20, vector: [0, 0, 0, 2]}]}},
            {delete: {points: [3]}}]});
        results.forEach(done);
        const found = await client.retrieve('c', {ids: [3, 20], with_vector: true});
        assert.deepEqual(found.map((p) => [p.id, p.payload, p.vector]), [[20, {y: 2}, [0, 0, 0, 2]]]);
    },
    async delete() {
        done(await client.delete('c', {points: [20, 999], wait: true}));
        done(await client.delete('c', {filter: {must: [{key: 'tags', match: {value: 'even'}}]}, wait: true}));
        assert.deepEqual(ids((await client.scroll('c', {limit: 100})).points), [1, 2, 4, 6, 8, 10, uuid]);
    },

    // ---- Aliases, snapshots, the end ----
    async updateCollectionAliases() {
        await client.updateCollectionAliases({actions: [{create_alias: {collection_name: 'n', alias_name: 'al'}}]});
        await client.updateCollectionAliases({actions: [{delete_alias: {alias_name: 'al'}},
            {create_alias: {collection_name: 'c', alias_name: 'al'}}]});
        assert.deepEqual((await client.getAliases()).aliases, [{alias_name: 'al', collection_name: 'c'}]);
        assert.deepEqual((await client.getCollectionAliases('n')).aliases, []);
        assert.equal((await client.count('al')).count, 7);
    },
    async snapshots() {
        const made = await client.createSnapshot('c');
        assert.deepEqual((await client.listSnapshots('c')).map((s) => [s.name, s.size]), [[made.name, made.size]]);
        assert.equal(await client.deleteSnapshot('c', made.name), true);
    },
    async deleteCollection() {
        assert.equal(await client.deleteCollection('n'), true);
        assert.equal(await client.deleteCollection('c'), true);
        assert.equal(await client.deleteCollection('c'), false);
        assert.deepEqual((await client.getAliases()).aliases, []);
    },
};

let n_failed = 0;
for (const [name, call] of Object.entries(calls)) {
    try {
        await call();
        console.log(`ok      ${name}`);
    } catch (error) {
        n_failed++;
        console.log(`FAILED  ${name}\n${error.stack ?? error}\n${JSON.stringify(error.data) ?? ''}`);
    }
}
const n = Object.keys(calls).length;
console.log(`${n} calls, ${n_failed} failed`);
process.exit(n_failed || n < 60 ? 1 : 0);
