"""Protects /metrics: a real Prometheus scrapes the server's operators' listener, finds its series, and
promtool has nothing to complain about. Skips by name where neither an installed one nor that of
tools/prometheus.sh is there."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from server import Server

HERE = os.path.join(os.environ.get("NX_SOURCE_DIR", "."), "build", "prometheus", "usr", "bin")


def find(name):
    ours = os.path.join(HERE, name)
    return ours if os.access(ours, os.X_OK) else shutil.which(name)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def query(port, text, seconds=30):
    """The value of an expression, as soon as it has one."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(text)}"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = json.loads(get(url))["data"]["result"]
            if found:
                return float(found[0]["value"][1])
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has no value of {text}")


def ask(server, n):
    for _ in range(n):
        reply = server.post("/llm/generate", {"prompt": "Once upon a time", "max_new_tokens": 8})
        assert reply.status == 200, reply


def check_with_promtool(text):
    done = subprocess.run([find("promtool"), "check", "metrics"], input=text, capture_output=True,
                          check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0 and not said.strip(), f"promtool: {said}"


def scrape(server, folder):
    port, ops = free_port(), server.ops_port
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: nexus\n"
                f"  static_configs: [{{targets: ['127.0.0.1:{ops}']}}]\n")
    log = open(os.path.join(folder, "log"), "wb")
    prometheus = subprocess.Popen(
        [find("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        assert query(port, 'up{job="nexus"} == 1') == 1
        assert query(port, "sum(nexus_requests_finished_total) >= 3") == 3
        assert query(port, "nexus_time_to_first_token_seconds_count >= 3") == 3
        assert query(port, "nexus_build_info") == 1
        assert query(port, "process_open_fds") > 3
        assert query(port, 'scrape_samples_scraped{job="nexus"}') > 100
        took = query(port, 'scrape_duration_seconds{job="nexus"}')
        print(f"a scrape took {took * 1000:.1f} ms")
    finally:
        prometheus.terminate()
        prometheus.wait(30)
        log.close()


def main():
    if not find("prometheus") or not find("promtool"):
        print("skipped: no prometheus here; make test unpacks Debian's (tools/prometheus.sh)")
        return 77
    with Server("--ops-port", "0") as server, tempfile.TemporaryDirectory() as folder:
        ask(server, 3)
        for view in ("", "?compat=vllm"):
            text = server.ops("GET", "/metrics" + view).body
            assert len(text) > 1000
            if not view: # the names of vLLM have colons, which promtool doesn't like
                check_with_promtool(text)
        scrape(server, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
