"""swath index, search and serve as a user runs them: results, bad input, the HTTP API, the page in Chromium."""
import concurrent.futures
import html.parser
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest
import urllib.error
import urllib.request
import zlib

from program_test import SMALL, SWATH, Program

SCRIPT = '<script>alert("x")</script>'
HOSTILE = [SCRIPT, 'a "quoted" & \'odd\' label', "plain"]


def png(path, width, height, colour):
    """An RGB PNG of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(colour) * width) * height
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Searched(Program):
    """An archive whose labels are hostile, a run on it, an index of its test part (gallery) and one of a folder (folder)."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        images = sorted(os.path.relpath(os.path.join(folder, name), os.path.join(cls.folder, "scenes"))
                        for folder, _, names in os.walk(os.path.join(cls.folder, "scenes", "Images")) for name in names)
        quoted = ",".join('"' + name.replace('"', '""') + '"' for name in HOSTILE)
        with open(os.path.join(cls.folder, "scenes", "manifest.csv"), "w") as file:
            file.write(f"path,{quoted}\n")
            for i, image in enumerate(images):
                file.write(f"{image},{i % 2},{(i + 1) % 2},{int(i % 3 == 0)}\n")
        cls.words = ["--root", "scenes", "--packed", "packs", "--set", "data.format=csv", *SMALL, "--set", "sampler.classes_per_batch=3"]
        cls.must("train", *cls.words, "--set", "run.name=one", "--set", "epochs=1", "--set", "validation.untrained=false")
        cls.must("index", "--run", "runs/one", "--part", "test", "--out", "gallery")
        cls.query = next(os.path.join(cls.folder, "scenes", image) for image in images)

    @classmethod
    def must(cls, *words):
        done = cls.start(*words)
        assert done.returncode == 0, done.stderr
        return done

    def ids(self, index):
        with open(self.path(index, "ids.txt")) as file:
            return file.read().splitlines()


class Search(Searched):
    def test_an_indexed_image_finds_itself_and_the_distances_of_its_embeddings(self):
        self.ok("embed", "--run", "runs/one", "--part", "test", "--out", "e")
        ids = self.ids("gallery")
        with open(self.path("e/embeddings.npy"), "rb") as file:
            content = file.read()
        rows = [struct.unpack_from("<16f", content, len(content) - 64 * (len(ids) - i)) for i in range(len(ids))]
        images = [os.path.join("scenes", ids[i]) for i in (0, 7)]
        found = self.json("search", "--index", "gallery", "--k", "5", *images)
        self.assertEqual([query["image"] for query in found["queries"]], images)
        for number, query in zip((0, 7), found["queries"]):
            want = sorted((sum((a - b) ** 2 for a, b in zip(rows[number], row)) ** 0.5, i) for i, row in enumerate(rows))[:5]
            for (distance, row), got in zip(want, query["neighbours"]):
                self.assertEqual(got["id"], ids[got["row"]])
                self.assertAlmostEqual(got["distance"], distance, places=4)
            self.assertEqual(query["neighbours"][0]["row"], number)
            self.assertLess(query["neighbours"][0]["distance"], 1e-5)
            self.assertTrue(set(query["neighbours"][0]["labels"]) <= set(HOSTILE))
            self.assertTrue(query["neighbours"][0]["labels"])
        text = self.ok("search", "--index", "gallery", images[0]).stdout
        self.assertIn(ids[0], text)

    def test_a_folder_without_labels_with_what_cannot_be_read(self):
        os.makedirs(self.path("mine/deep/er"))
        for i, image in enumerate(self.ids("gallery")[:9]):
            shutil.copy(self.path("scenes", image), self.path("mine", "deep" if i % 2 else "deep/er", f"photo {i}.JPG"))
        png(self.path("mine/grey.png"), 50, 20, (90, 90, 90))
        with open(self.path("mine/text.jpg"), "w") as file:
            file.write("no image")
        shutil.copy(self.path("mine/deep/photo 1.JPG"), self.path("mine/torn.jpg"))
        os.truncate(self.path("mine/torn.jpg"), 100)
        made = self.json("index", "--run", "runs/one", "--images", "mine", "--out", "folder")
        self.assertEqual((made["images"], made["unreadable"], made["labelled"]), (10, 2, False))
        self.assertEqual(sorted(entry["file"] for entry in made["skipped"]["unreadable"]), ["text.jpg", "torn.jpg"])
        self.assertEqual(self.ids("folder")[0], "deep/er/photo 0.JPG")
        found = self.json("search", "--index", "folder", "--k", "99", self.path("mine/grey.png"))["queries"][0]["neighbours"]
        self.assertEqual(len(found), 10)
        self.assertEqual((found[0]["id"], found[0]["labels"]), ("grey.png", []))
        # The same images have the same embeddings, packed or read as they are.
        both = self.json("search", "--index", "gallery", "--k", "1", self.path("mine/deep/er/photo 0.JPG"))
        self.assertLess(both["queries"][0]["neighbours"][0]["distance"], 1e-5)
        os.makedirs(self.path("empty"))
        self.refused(3, ["empty", "no image"], "index", "--run", "runs/one", "--images", "empty", "--out", "none")
        self.refused(3, ["none", "no index"], "search", "--index", "none", self.query)

    def test_the_page_has_no_script(self):
        self.ok("search", "--index", "gallery", "--html", "found.html", "--k", "12", self.query)
        with open(self.path("found.html"), encoding="utf-8") as file:
            text = file.read()
        tags, labels = [], []

        class Parser(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                tags.append((tag, dict(attributes)))

            def handle_data(self, data):
                labels.append(data)
        Parser().feed(text)
        self.assertFalse([tag for tag, attributes in tags if tag == "script" or any(name.startswith("on") for name in attributes)])
        self.assertTrue({SCRIPT, HOSTILE[1]} <= set(labels))
        self.assertEqual(len([1 for tag, attributes in tags if tag == "img" and attributes["src"].startswith("data:image/jpeg")]), 13)

    def test_bad_input(self):
        with open(self.path("letter.txt"), "w") as file:
            file.write("Dear Sir")
        self.refused(3, ["letter.txt", "neither JPEG nor PNG"], "search", "--index", "gallery", self.query, "letter.txt")
        self.refused(3, ["absent.jpg"], "search", "--index", "gallery", "absent.jpg")
        self.refused(2, ["needs images"], "search", "--index", "gallery")
        self.refused(2, ["--index"], "search", self.query)
        self.refused(2, ["--k"], "search", "--index", "gallery", "--k", "0", self.query)
        self.refused(2, ["--out"], "index", "--run", "runs/one")
        self.refused(2, ["--images", "--part"], "index", "--run", "runs/one", "--images", "scenes", "--part", "val", "--out", "x")
        self.refused(2, ["scenes", "no part of an index"], "index", "--run", "runs/one", "--part", "test", "--out", "scenes")
        self.refused(3, ["nowhere"], "index", "--run", "runs/one", "--images", "nowhere", "--out", "x")

    def test_an_index_of_another_network_is_refused(self):
        self.must("train", *self.words, "--set", "run.name=two", "--set", "epochs=1", "--set", "seed=5", "--set",
                  "validation.untrained=false")
        self.refused(3, ["gallery", "another network", "other weights"], "search", "--index", "gallery", "--run", "runs/two", self.query)
        self.refused(3, ["another network", "crop"], "search", "--index", "gallery", "--set", "crop=20", self.query)
        self.ok("search", "--index", "gallery", "--run", "runs/one", self.query)
        os.rename(self.path("runs/one"), self.path("runs/moved"))
        try:
            self.refused(3, ["--run"], "search", "--index", "gallery", self.query)
            self.ok("search", "--index", "gallery", "--run", "runs/moved", self.query)
        finally:
            os.rename(self.path("runs/moved"), self.path("runs/one"))

    def test_a_damaged_index(self):
        for name, damage in (("index.json", lambda p: os.truncate(p, 50)), ("embeddings.npy", lambda p: os.truncate(p, 500)),
                             ("ids.txt", lambda p: os.truncate(p, 40)), ("thumbnails.bin", lambda p: os.truncate(p, 40)),
                             ("embeddings.npy", lambda p: flip(p, -9)), ("labels.npy", os.remove)):
            shutil.rmtree(self.path("hurt"), ignore_errors=True)
            shutil.copytree(self.path("gallery"), self.path("hurt"))
            damage(self.path("hurt", name))
            self.refused(3, ["hurt/"], "search", "--index", "hurt", self.query)


def flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place, os.SEEK_END)
        byte = file.read(1)
        file.seek(place, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


class Served(Searched):
    """A server of the index `gallery`, for each test its own."""
    index = "gallery"

    def serve(self, *words, index=None):
        process = subprocess.Popen([SWATH, "serve", "--index", index or self.index, "--port", "0", *words], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        for line in process.stderr:
            found = re.search(r"http://\S+:(\d+)/", line)
            if found:
                self.port = int(found.group(1))
                # Whatever else the server says must not fill the pipe.
                process.rest = threading.Thread(target=process.stderr.read)
                process.rest.start()
                return process
        self.fail(f"swath serve ended with {process.wait()}")

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
        if hasattr(process, "rest"):
            process.rest.join()
        process.stdout.close()
        process.stderr.close()

    def address(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path, data=None, headers=None):
        """Status, headers and body."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.address(path), data, headers or {}), timeout=120) as got:
                return got.status, got.headers, got.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.headers, refused.read()

    def answer(self, path, data=None):
        status, _, body = self.get(path, data)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def denied(self, status, part, path, data=None, headers=None):
        got, _, body = self.get(path, data, headers)
        self.assertEqual(got, status, body)
        self.assertIn(part, json.loads(body)["error"])

    def raw(self, text):
        """What the server answers to these bytes, until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(text.encode())
            got = b""
            while piece := connection.recv(65536):
                got += piece
        return got.decode(errors="replace")


class Server(Served):
    def test_the_api_answers_like_the_program(self):
        self.serve()
        with open(self.query, "rb") as file:
            content = file.read()
        want = self.json("search", "--index", "gallery", "--k", "6", self.query)["queries"][0]["neighbours"]
        got = self.answer("/api/search?k=6", content)["neighbours"]
        self.assertEqual([(n["row"], n["id"], n["labels"]) for n in got], [(n["row"], n["id"], n["labels"]) for n in want])
        for one, other in zip(got, want):
            self.assertAlmostEqual(one["distance"], other["distance"], places=5)
        form = b"--b\r\nContent-Disposition: form-data; name=image; filename=a.jpg\r\n\r\n" + content + b"\r\n--b--\r\n"
        status, _, body = self.get("/api/search?k=6", form, {"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual([n["row"] for n in json.loads(body)["neighbours"]], [n["row"] for n in want], status)
        index = self.answer("/api/index")
        self.assertEqual((index["images"], index["labelled"], sorted(index["classes"])), (len(self.ids("gallery")), True, sorted(HOSTILE)))
        self.assertNotIn(self.folder, json.dumps(index))
        self.assertEqual(self.answer("/healthz"), {"status": "ok"})
        status, headers, body = self.get("/api/image/0")
        self.assertEqual((status, headers["Content-Type"], body[:3]), (200, "image/jpeg", b"\xff\xd8\xff"))
        near = self.answer("/api/neighbours/3?k=4")
        self.assertEqual((len(near["neighbours"]), near["query"]["row"]), (4, 3))
        self.assertNotIn(3, [n["row"] for n in near["neighbours"]])
        for path in ("/", "/search.js", "/search.css", "/api/index", "/absent"):
            headers = self.get(path)[1]
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertNotIn("Access-Control-Allow-Origin", headers)

    def test_what_is_refused_and_that_it_goes_on(self):
        self.serve("--max-bytes", "100000")
        with open(self.query, "rb") as file:
            content = file.read()
        self.denied(422, "neither JPEG nor PNG", "/api/search", b"no image at all")
        self.denied(422, "corrupt", "/api/search", content[:200])
        self.denied(413, "100000", "/api/search", b"\xff\xd8\xff" + b"x" * 3_000_000)
        self.denied(400, "no image", "/api/search", b"")
        for k in ("0", "-1", "101", "ten", "1e9", "", "99999999999999999999"):
            self.denied(400, "k must be", "/api/search?k=" + k, content)
        self.denied(404, "no image", "/api/image/99999")
        self.denied(404, "nothing", "/api/image/-1")
        self.denied(404, "nothing", "/api/image/..%2f..%2fetc%2fpasswd")
        self.denied(404, "nothing", "/../../etc/passwd")
        self.denied(404, "nothing", "/index.json")
        self.denied(403, "Host", "/api/index", None, {"Host": "attacker.example"})
        self.denied(403, "Host", "/api/index", None, {"Host": f"127.0.0.1.attacker.example:{self.port}"})
        self.denied(403, "other web pages", "/api/search", content, {"Origin": "http://attacker.example"})
        self.assertIn("403", self.raw("GET /api/index HTTP/1.1\r\nConnection: close\r\n\r\n").splitlines()[0])
        self.assertIn("411", self.raw("POST /api/search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").splitlines()[0])
        self.assertIn("400", self.raw("nonsense\r\n\r\n").splitlines()[0])
        # Claims more pixels than any image may have.
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        bomb += struct.pack(">I", zlib.crc32(bomb[12:]))
        self.denied(422, "", "/api/search", bomb)
        self.assertEqual(len(self.answer("/api/search?k=3", content)["neighbours"]), 3)
        self.assertEqual(self.get("/api/index", None, {"Host": f"localhost:{self.port}"})[0], 200)

    def test_a_body_that_never_ends(self):
        self.serve("--seconds", "1")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.putrequest("POST", "/api/search")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"\xff\xd8\xff")
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.3):
                try:
                    connection.sock.send(b"x")
                except OSError:
                    return
        sender = threading.Thread(target=trickle)
        sender.start()
        try:
            self.assertEqual(connection.getresponse().status, 408)
        finally:
            stop.set()
            sender.join()
            connection.close()

    def test_many_at_once_get_their_own_answers(self):
        self.serve()
        ids = self.ids("gallery")[:12]

        def ask(i):
            with open(self.path("scenes", ids[i]), "rb") as file:
                return self.answer("/api/search?k=1", file.read())["neighbours"][0]["id"]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual(list(pool.map(ask, range(12))), ids)

    def test_stops_in_order_and_gives_the_port_back(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.serve()
            kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            kept.request("GET", "/healthz")
            self.assertEqual(kept.getresponse().read(), b'{"status":"ok"}')
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=120), 0)
            kept.close()
            with self.assertRaises(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def test_a_port_that_is_taken(self):
        self.serve()
        self.refused(7, [str(self.port), "taken", "--port"], "serve", "--index", "gallery", "--port", str(self.port))
        self.assertEqual(self.answer("/healthz"), {"status": "ok"})
        self.refused(2, ["--host"], "serve", "--index", "gallery", "--host", "203.0.113.1")
        self.refused(2, ["--port"], "serve", "--index", "gallery", "--port", "70000")
        self.refused(3, ["no index"], "serve", "--index", "scenes")


class Browser(Served):
    def setUp(self):
        import chromium
        chromium.require()
        self.chromium = chromium

    def figures(self, page, where="found"):
        return page.evaluate(f"[...document.querySelectorAll('#{where} figure')].map(f => ({{name: f.querySelector('.soft').textContent,"
                             "distance: Number(f.querySelector('.distance')?.textContent), labels: [...f.querySelectorAll('li')].map(l => l.textContent),"
                             "drawn: f.querySelector('img').complete && f.querySelector('img').naturalWidth}))")

    def test_drop_an_image_and_see_its_neighbours(self):
        self.serve()
        want = self.json("search", "--index", "gallery", "--k", "8", self.query)["queries"][0]["neighbours"]
        for dark in (False, True):
            with self.chromium.Chromium(dark=dark) as page:
                page.open(self.address("/"))
                page.wait_for("document.querySelectorAll('#some figure').length === 12")
                page.drop_files("#drop", [self.query])
                page.wait_for("document.querySelectorAll('#found figure').length === 8")
                page.wait_for("[...document.images].every(i => i.complete && i.naturalWidth)")
                found = self.figures(page)
                self.assertEqual([(f["name"], f["labels"]) for f in found], [(n["id"], n["labels"]) for n in want])
                for got, expected in zip(found, want):
                    self.assertAlmostEqual(got["distance"], expected["distance"], places=3)
                self.assertTrue(any(SCRIPT in f["labels"] for f in found))
                self.assertIn("8 nearest", page.evaluate("document.getElementById('status').textContent"))
                self.assertEqual(page.problems(), [])

    def test_errors_are_read_and_the_next_image_works(self):
        self.serve()
        with open(self.path("letter.jpg"), "w") as file:
            file.write("Dear Sir")
        with self.chromium.Chromium() as page:
            page.open(self.address("/"))
            page.wait_for("document.querySelectorAll('#some figure').length === 12")
            page.choose_files("#file", [self.path("letter.jpg")])
            page.wait_for("document.getElementById('error').textContent.includes('neither JPEG nor PNG')")
            page.clear_problems()  # the browser logs the status 422 itself
            page.choose_files("#file", [self.query])
            page.wait_for("document.querySelectorAll('#found figure').length === 8")
            self.assertEqual(page.evaluate("document.getElementById('error').textContent"), "")
            self.assertEqual(page.problems(), [])

    def test_keys_alone_search(self):
        self.serve()
        with self.chromium.Chromium() as page:
            page.open(self.address("/"))
            page.wait_for("document.querySelectorAll('#some button').length === 12")
            page.press("Tab")
            self.assertEqual(page.evaluate("document.activeElement.id"), "file")
            page.press("Tab")
            self.assertEqual(page.evaluate("document.activeElement.id"), "k")
            page.press("Tab")
            page.press("Enter")
            page.wait_for("document.querySelectorAll('#found figure').length === 8")
            self.assertNotIn(self.ids("gallery")[0], [f["name"] for f in self.figures(page)])
            page.click("#found button")
            page.wait_for("document.getElementById('query').innerText.length > 0")
            self.assertEqual(page.problems(), [])

    def test_the_written_page(self):
        self.ok("search", "--index", "gallery", "--html", "found.html", self.query)
        with self.chromium.Chromium() as page:
            page.open("file://" + self.path("found.html"))
            self.assertEqual(page.evaluate("[...document.images].filter(i => i.naturalWidth).length"), 9)
            self.assertIn(SCRIPT, page.evaluate("document.body.innerText"))
            self.assertEqual(page.problems(), [])


class Patches(Served):
    """Twelve bands: patch folders are indexed and searched with; the page starts from indexed images."""
    archive = False

    @classmethod
    def setUpClass(cls):
        super(Searched, cls).setUpClass()
        findings = json.loads(cls.must("doctor", "--json").stdout)["findings"]
        if not next(f for f in findings if f["name"] == "GeoTIFF")["present"]:
            cls.tearDownClass()
            raise unittest.SkipTest("this build has no GDAL")
        cls.must("scenes", "--out", "sentinel", "--layout", "bigearthnet", "--images", "100", "--seed", "3")
        cls.must("train", "--root", "sentinel", "--packed", "bands", *SMALL, "--set", "run.name=bands", "--set", "epochs=1", "--set",
                 "validation.untrained=false")
        cls.must("index", "--run", "runs/bands", "--images", "sentinel", "--out", "gallery")

    def test_a_patch_finds_itself(self):
        name = self.ids("gallery")[4]
        found = self.json("search", "--index", "gallery", "--html", "found.html", "sentinel/" + name + "/")["queries"][0]["neighbours"]
        self.assertEqual((found[0]["id"], found[0]["labels"]), (name, []))
        self.refused(3, ["SYNTHETIC.txt"], "search", "--index", "gallery", "sentinel/SYNTHETIC.txt")
        self.serve()
        self.assertFalse(self.answer("/api/index")["upload"])
        self.assertEqual(len(self.answer("/api/neighbours/4?k=5")["neighbours"]), 5)
        self.denied(415, "bands", "/api/search", b"\xff\xd8\xff")


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "browser"))
    unittest.main()
