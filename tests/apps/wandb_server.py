"""As much of a W&B server as `wandb sync` needs, on loopback: takes runs, keeps what was uploaded of each."""
import gzip
import http.server
import json
import threading


class Run:
    def __init__(self):
        self.created = {}   # variables of the first request
        self.config = {}
        self.files = {}     # name → lines of a streamed file
        self.complete = False
        self.exit_code = None

    def take(self, stream):
        for name, piece in stream.get("files", {}).items():
            lines = self.files.setdefault(name, [])
            lines[piece["offset"]:piece["offset"] + len(piece["content"])] = piece["content"]
        self.complete = stream.get("complete", False)
        self.exit_code = stream.get("exitcode", self.exit_code)

    def history(self):
        return [json.loads(line) for line in self.files.get("wandb-history.jsonl", [])]

    def summary(self):
        return json.loads(self.files["wandb-summary.json"][-1])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def reply(self, answer):
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.reply({})

    def do_POST(self):
        content, runs = self.body(), self.server.runs
        self.server.authorizations.add(self.headers.get("Authorization"))
        if self.path == "/graphql":
            request = json.loads(content)
            self.reply({"data": self.upsert(request["variables"])} if request.get("operationName") == "UpsertBucket"
                       else {"data": None, "errors": [{"message": "unknown here"}]})
            return
        if self.path.endswith("/file_stream"):
            runs[self.path.split("/")[4]].take(json.loads(content))
            self.server.uploads += 1
        self.reply({})

    def upsert(self, wanted):
        run = self.server.runs.setdefault(wanted["name"], Run())
        run.created = run.created or wanted
        run.config = json.loads(wanted["config"])
        bucket = {"id": "run", "name": wanted["name"], "displayName": wanted["displayName"], "description": None, "config": "{}",
                  "sweepName": None, "historyLineCount": len(run.history()),
                  "project": {"id": "project", "name": wanted["project"], "entity": {"id": "entity", "name": "someone"}}}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}


class Server(http.server.ThreadingHTTPServer):
    """with Server() as server: … server.url, server.runs"""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs, self.uploads, self.authorizations = {}, 0, set()
        self.url = "http://127.0.0.1:%d" % self.server_port
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
