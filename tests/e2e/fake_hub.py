"""A small server that plays the Hugging Face Hub for tests: model info, tree in pages, resolve with a
redirect to a second server (another port, as the CDN is another host), ranges, and faults on order.

    hub = Hub(); repo = hub.add("org/name", {"config.json": b"..."}); hub.url ... hub.close()

hub.sent[path] counts the body bytes that each file's requests got; hub.asked is the list of
(server, path, headers). Faults: hub.faults[path] is a list of words, one used up by each request
for that file: "cut:N" (close after N bytes), "wrong:N" (flip a byte at N), "status:S[:RETRY]",
"slow:BYTES_PER_S", "norange" (a 200 with everything), "stall". "api:..." keys: "info", "tree".
"""
import hashlib
import http.server
import json
import socket
import threading
import time
import urllib.parse


def blob_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Repo:
    def __init__(self, files, commit, gated=False):
        self.files, self.commit, self.gated = files, commit, gated
        self.refs = {"main": commit}
        self.lfs_from = 1000        # files of so many bytes or more are LFS files
        self.tree_extra = []

    def tree(self):
        out = [{"type": "directory", "path": "some", "size": 0, "oid": "0" * 40}]
        for path, data in self.files.items():
            e = {"type": "file", "path": path, "size": len(data), "oid": blob_sha1(data)}
            if len(data) >= self.lfs_from:
                e["oid"] = blob_sha1(b"pointer" + path.encode())
                e["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data),
                            "pointerSize": 134}
            out.append(e)
        return out + self.tree_extra


class Hub:
    def __init__(self, page=1000, token=None):
        self.repos, self.faults, self.sent, self.asked = {}, {}, {}, []
        self.page, self.token = page, token
        self.lock = threading.Lock()
        self.front = self.serve("front")
        self.cdn = self.serve("cdn")
        self.url = f"http://127.0.0.1:{self.front.server_port}"
        self.cdn_url = f"http://127.0.0.1:{self.cdn.server_port}"

    def serve(self, role):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                hub.answer(self, role)

            def do_HEAD(self):
                hub.answer(self, role)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass                                # clients leave: that is what we test

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def close(self):
        for s in (self.front, self.cdn):
            s.shutdown()
            s.server_close()

    def add(self, name, files, commit=None, gated=False):
        repo = Repo(files, commit or hashlib.sha1(name.encode()).hexdigest(), gated)
        self.repos[name] = repo
        return repo

    def fault(self, key):
        with self.lock:
            words = self.faults.get(key)
            return words.pop(0) if words else ""

    # ---- Answers ----

    def answer(self, h, role):
        path = urllib.parse.unquote(urllib.parse.urlsplit(h.path).path)
        with self.lock:
            self.asked.append((role, h.path, dict(h.headers)))
        if role == "cdn":
            return self.send_file(h, path.lstrip("/"))
        for name, repo in self.repos.items():
            if path.startswith(f"/api/models/{name}/"):
                return self.api(h, name, repo, path[len(f"/api/models/{name}/"):])
            if path.startswith(f"/{name}/resolve/"):
                return self.resolve(h, name, repo, path[len(f"/{name}/resolve/"):])
        self.refuse(h, 401 if "Authorization" not in h.headers else 404, "RepoNotFound",
                    "Repository not found")

    def refuse(self, h, status, code="", message="", **headers):
        body = json.dumps({"error": message}).encode()
        h.send_response(status)
        if code:
            h.send_header("X-Error-Code", code)
            h.send_header("X-Error-Message", message)
        for k, v in headers.items():
            h.send_header(k.replace("_", "-"), v)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def faulted(self, h, word):
        """A status on order: true when it was sent."""
        if not word.startswith("status:"):
            return False
        parts = word.split(":")
        extra = {"Retry_After": parts[2]} if len(parts) > 2 else {}
        self.refuse(h, int(parts[1]), "", "on order", **extra)
        return True

    def allowed(self, h, repo):
        if not repo.gated:
            return True
        if h.headers.get("Authorization") == f"Bearer {self.token}":
            return True
        self.refuse(h, 401 if "Authorization" not in h.headers else 403, "GatedRepo",
                    "Access to this model is restricted")
        return False

    def send_json(self, h, value, **headers):
        body = json.dumps(value).encode()
        h.send_response(200)
        for k, v in headers.items():
            h.send_header(k.replace("_", "-"), v)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    def api(self, h, name, repo, rest):
        kind, _, revision = rest.partition("/")
        if self.faulted(h, self.fault("api:" + kind)):
            return None
        commit = repo.refs.get(revision, revision)
        if commit != repo.commit:
            return self.refuse(h, 404, "RevisionNotFound", "Invalid rev id")
        if kind == "revision":
            if not self.allowed(h, repo):
                return None
            return self.send_json(h, {"id": name, "sha": commit, "gated": repo.gated,
                                      "siblings": [{"rfilename": p} for p in repo.files]})
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(h.path).query)
        at = int(query.get("cursor", ["0"])[0])
        tree = repo.tree()
        extra = {}
        if at + self.page < len(tree):
            extra["Link"] = (f"<{self.url}/api/models/{name}/tree/{commit}?recursive=true&"
                             f"cursor={at + self.page}>; rel=\"next\"")
        return self.send_json(h, tree[at:at + self.page], **extra)

    def resolve(self, h, name, repo, rest):
        revision, _, path = rest.partition("/")
        if not self.allowed(h, repo):
            return None
        if path not in repo.files:
            return self.refuse(h, 404, "EntryNotFound", "Entry not found")
        data = repo.files[path]
        lfs = len(data) >= repo.lfs_from
        etag = hashlib.sha256(data).hexdigest() if lfs else blob_sha1(data)
        if not lfs:
            return self.send_file(h, f"{name}/{path}", X_Repo_Commit=repo.commit,
                                  ETag=f'"{etag}"')
        h.send_response(302)
        h.send_header("Location", f"{self.cdn_url}/{urllib.parse.quote(name + '/' + path)}")
        h.send_header("X-Repo-Commit", repo.commit)
        h.send_header("X-Linked-ETag", f'"{etag}"')
        h.send_header("X-Linked-Size", str(len(data)))
        h.send_header("Content-Length", "0")
        h.end_headers()
        return None

    def send_file(self, h, full, **headers):
        name = next((n for n in self.repos if full.startswith(n + "/")), None)
        path = full[len(name) + 1:] if name else full
        word = self.fault(path)
        if self.faulted(h, word):
            return
        data = self.repos[name].files[path]
        if word.startswith("wrong:"):
            i = int(word[6:])
            data = data[:i] + bytes([data[i] ^ 1]) + data[i + 1:]
        first = 0
        wanted = h.headers.get("Range", "")
        if wanted.startswith("bytes=") and word != "norange":
            first = int(wanted[6:].split("-")[0])
        if first >= len(data) and first:
            self.refuse(h, 416, "", "range", Content_Range=f"bytes */{len(data)}")
            return
        h.send_response(206 if first else 200)
        if first:
            h.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        for k, v in headers.items():
            h.send_header(k.replace("_", "-"), v)
        h.send_header("Content-Length", str(len(data) - first))
        h.end_headers()
        if h.command != "HEAD":
            self.send_body(h, path, data[first:], word)

    def send_body(self, h, path, body, word):
        if word.startswith("cut:"):
            body = body[:int(word[4:])]
        step = 65536
        if word.startswith("slow:"):
            step = max(1, int(word[5:]) // 20)
        for i in range(0, len(body), step):
            h.wfile.write(body[i:i + step])
            with self.lock:
                self.sent[path] = self.sent.get(path, 0) + len(body[i:i + step])
            if word.startswith("slow:"):
                time.sleep(0.05)
        if word == "stall":
            time.sleep(60)
        if word.startswith("cut:"):
            h.wfile.flush()
            h.connection.shutdown(socket.SHUT_RDWR)
            h.close_connection = True
