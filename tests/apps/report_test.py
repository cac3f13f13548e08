"""swath report: what the page holds of a finished, a killed and a running run, what it refuses, and the page in Chromium."""
import html.parser
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from program_test import SMALL, SWATH, Program

SCRIPT = '<script>alert("x")</script>'
HOSTILE = [SCRIPT, 'a "quoted" & \'odd\' label', "plain"]


class Page(html.parser.HTMLParser):
    """Tags with their attributes, the text of every section, and what the page would load."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.sections, self.text, self.scripts, self.inside = [], {}, "", [], []
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "section":
            self.inside.append(attributes["id"])
            self.sections[attributes["id"]] = ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag == "section":
            self.inside.pop()

    def handle_data(self, data):
        if self.lasttag == "script":
            self.scripts[-1] += data
        elif self.lasttag != "style":
            self.text += data
            for name in self.inside:
                self.sections[name] += data

    def loads(self):
        names = ("src", "href", "xlink:href", "data", "poster", "action", "srcset")
        return [value for _, attributes in self.tags for name, value in attributes.items()
                if name in names and not value.startswith(("data:", "#"))]

    def handlers(self):
        return [name for _, attributes in self.tags for name in attributes if name.startswith("on")]


class Reported(Program):
    """An archive whose labels are hostile, packed, and a run of two epochs on it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        root = os.path.join(cls.folder, "scenes")
        images = sorted(os.path.relpath(os.path.join(folder, name), root)
                        for folder, _, names in os.walk(os.path.join(root, "Images")) for name in names)
        quoted = ",".join('"' + name.replace('"', '""') + '"' for name in HOSTILE)
        with open(os.path.join(root, "manifest.csv"), "w") as file:
            file.write(f"path,{quoted}\n")
            for i, image in enumerate(images):
                file.write(f"{image},{i % 2},{(i + 1) % 2},{int(i % 3 == 0)}\n")
        cls.words = ["--root", "scenes", "--packed", "packs", "--set", "data.format=csv", *SMALL, "--set",
                     "sampler.classes_per_batch=3", "--set", "validation.every=1", "--set", "validation.retrieval.ks=[1,2]"]
        done = cls.start("train", *cls.words, "--set", "run.name=one", "--set", "epochs=2", "--set", "validation.also=[\"test\"]",
                         "--set", "validation.overlap=true")
        assert done.returncode == 0, done.stderr

    def page(self, *parts):
        return Page(self.path(*parts))


class Report(Reported):
    def test_everything_of_a_finished_run(self):
        made = self.json("report", "runs/one")
        self.assertEqual(made["file"], "runs/one/report.html")
        self.assertEqual(made["lacks"], [])
        self.assertEqual((made["epochs"], made["part"]), (2, "test"))
        self.assertTrue(made["state"].startswith("finished: epoch 2 of 2"), made["state"])
        self.assertEqual(made["sections"], ["metrics", "curves", "retrieved", "overlap", "tsne", "classes", "confusion", "data", "timing",
                                            "configuration"])
        page = self.page(made["file"])
        self.assertEqual(list(page.sections), made["sections"])
        self.assertEqual(made["metrics"], self.json("eval", "--run", "runs/one", "--part", "test")["metrics"])
        for name, values in made["metrics"].items():
            self.assertIn(name, page.sections["metrics"])
            for value in values.values():
                self.assertIn(f"{value:.4f}", page.sections["metrics"])
        for group in ("val", "test"):
            with open(self.path("runs/one", group + ".csv")) as file:
                header, untrained, first, second = (line.strip().split(",") for line in file)
            best = max(first, second, key=lambda row: float(row[header.index("recall@1")])) if group == "val" else None
            if best:
                for column, value in list(enumerate(best))[2:]:
                    difference = f"{float(value) - float(untrained[column]):+.4f}"
                    if difference.strip("+-0.") or header[column].startswith("recall"):
                        self.assertIn(f"{float(value):.4f} ({difference})", page.sections["metrics"])
        charts = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
        self.assertEqual(len(charts), len([1 for tag, _ in page.tags if tag == "svg"]))
        for name in ("recall during training", "map during training", "ndcg during training", "Training: loss", "Training: learning_rate",
                     "Distance overlap", "t-SNE of the embeddings", "Retrieved samples", "Classes that occur together, train"):
            self.assertIn(name, charts)
        points = [text for text in HOSTILE if f": {text}" in page.sections["tsne"] or f", {text}" in page.sections["tsne"]]
        self.assertEqual(points, HOSTILE)
        for part in ("train", "val", "test"):
            with open(self.path("packs", part + ".json")) as file:
                self.assertIn(str(len(json.load(file)["content"]["ids"])), page.sections["data"])
        for row in ("model.embedding", "16", "validation.overlap", "version"):
            self.assertIn(row, page.sections["configuration"])

    def test_the_page_stands_alone_and_is_escaped(self):
        made = self.json("report", "runs/one", "--out", "alone.html", "--samples", "3")
        page = self.page("alone.html")
        self.assertEqual(made["file"], "alone.html")
        self.assertEqual(page.loads(), [])
        self.assertEqual(page.handlers(), [])
        self.assertEqual(len(page.scripts), 1)
        self.assertNotIn("alert(", page.scripts[0])
        self.assertNotIn(SCRIPT, page.source)
        self.assertIn(SCRIPT, page.text)
        self.assertIn(HOSTILE[1], page.text)
        self.assertNotIn("://", page.source.replace("http://www.w3.org/", ""))

    def test_timing_adds_up_and_goes_on_with_the_run(self):
        with open(self.path("runs/one/timing.json")) as file:
            before = json.load(file)
        self.assertEqual(set(before["phases"]), {"waiting for data", "training steps", "preparing epochs", "validation: embedding",
                                                 "validation: search and metrics", "checkpoints"})
        self.assertLessEqual(sum(before["phases"].values()), before["seconds"] + 0.01)
        self.assertGreater(sum(before["phases"].values()), 0.5 * before["seconds"])
        with open(self.path("runs/one/train.csv")) as file:
            steps = len(file.readlines()) - 1
        self.assertEqual(before["steps"], steps)
        shutil.copytree(self.path("runs/one"), self.path("runs/longer"))
        config = self.path("runs/longer/config.json")
        with open(config) as file:
            text = file.read().replace('"name": "one"', '"name": "longer"')
        with open(config, "w") as file:
            file.write(text)
        self.ok("train", "--resume", "runs/longer", "--set", "epochs=3")
        with open(self.path("runs/longer/timing.json")) as file:
            after = json.load(file)
        self.assertEqual(after["steps"], steps * 3 // 2)
        for name, seconds in before["phases"].items():
            self.assertGreaterEqual(after["phases"][name], seconds)
        self.assertIn("training steps", Page(self.path(self.json("report", "runs/longer", "--logs-only")["file"])).sections["timing"])

    def test_of_the_logs_alone_and_without_packs_or_checkpoints(self):
        made = self.json("report", "runs/one", "--logs-only", "--out", "logs.html")
        self.assertEqual([lack["command"] for lack in made["lacks"]], ["swath report runs/one"])
        self.assertNotIn("tsne", made["sections"])
        self.assertIn("data", made["sections"])
        self.assertIn("swath report runs/one", self.page("logs.html").sections["lacks"])
        made = self.json("report", "runs/one", "--packed", "nowhere", "--out", "logs.html")
        self.assertIn("nowhere", made["lacks"][0]["why"])
        self.assertNotIn("data", made["sections"])
        shutil.copytree(self.path("runs/one"), self.path("runs/a name"), ignore=shutil.ignore_patterns("checkpoints"))
        made = self.json("report", "runs/a name/")
        self.assertEqual(made["file"], "runs/a name/report.html")
        self.assertEqual(made["lacks"][0]["command"], "swath train --resume 'runs/a name' && swath report 'runs/a name'")
        self.assertIn("curves", made["sections"])
        made = self.json("report", "runs/one", "--tsne-images", "0", "--out", "logs.html")
        self.assertEqual([lack["what"] for lack in made["lacks"]], ["t-SNE"])

    def test_refuses(self):
        self.refused(2, ["which run", "swath report RUN"], "report")
        self.refused(3, ["scenes", "no run folder"], "report", "scenes")
        self.refused(2, ["train", "unknown argument"], "stats", "train")
        self.refused(3, ["runs/absent", "no run folder"], "report", "runs/absent")
        self.refused(2, ["--checkpoint", "absent.safetensors"], "report", "runs/one", "--checkpoint", "absent.safetensors")
        self.refused(2, ["--part", "all"], "report", "runs/one", "--part", "all")
        self.refused(2, ["--samples"], "report", "runs/one", "--samples=-1")
        self.refused(2, ["--tsne-images"], "report", "runs/one", "--tsne-images=-1")
        self.refused(3, ["nowhere/r.html"], "report", "runs/one", "--logs-only", "--out", "nowhere/r.html")
        shutil.copytree(self.path("runs/one"), self.path("runs/torn"))
        for name in os.listdir(self.path("runs/torn/checkpoints")):
            os.truncate(self.path("runs/torn/checkpoints", name), 1000)
        self.refused(3, ["runs/torn/checkpoints/"], "report", "runs/torn")
        log = self.path("runs/torn/metrics.jsonl")
        with open(log, "w") as file:
            file.write("Dear Sir\n{}\n[1]\n{\"group\": 7, \"step\": 1, \"epoch\": 1}\n")
        self.refused(3, ["metrics.jsonl", "damaged"], "report", "runs/torn", "--logs-only")
        os.remove(log)
        os.mkdir(log)
        self.refused(3, ["metrics.jsonl", "cannot be read"], "report", "runs/torn", "--logs-only")
        os.rmdir(log)
        with open(self.path("runs/torn/config.json"), "w") as file:
            file.write("{")
        self.refused(3, ["config.json", "damaged"], "report", "runs/torn")

    def test_some_damaged_lines_are_told(self):
        shutil.copytree(self.path("runs/one"), self.path("runs/some"))
        with open(self.path("runs/some/metrics.jsonl"), "a") as file:
            file.write("Dear Sir\n[]\n{\"group\": \"val\", \"st")
        made = self.json("report", "runs/some", "--logs-only")
        self.assertIn("2 lines of metrics.jsonl", " ".join(lack["why"] for lack in made["lacks"]))


class ReportKilled(Reported):
    def wait_for(self, name, lines, process):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            if os.path.exists(self.path("runs", name, "val.csv")):
                with open(self.path("runs", name, "val.csv")) as file:
                    if len(file.readlines()) > lines:
                        return
            time.sleep(0.05)
        self.fail("no validation in the log")

    def test_under_way_then_killed_then_finished(self):
        process = subprocess.Popen([SWATH, "train", *self.words, "--set", "run.name=cut", "--set", "epochs=500"], cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait_for("cut", 3, process)
            made = self.json("report", "runs/cut", "--samples", "2")
            self.assertTrue(made["state"].startswith("under way"), made["state"])
            self.assertIn({"what": "the rest of the training", "why": "the run is under way", "command": "swath report runs/cut"},
                          made["lacks"])
            self.assertIn("tsne", made["sections"])
            self.assertIsNone(process.poll())
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        made = self.json("report", "runs/cut", "--logs-only")
        self.assertTrue(made["state"].startswith("stopped without"), made["state"])
        command = next(lack["command"] for lack in made["lacks"] if lack["what"] == "the rest of the training")
        self.assertEqual(command, "swath train --resume runs/cut")
        self.ok(*command.split()[1:], "--set", f"epochs={made['epochs'] + 1}")
        made = self.json("report", "runs/cut", "--logs-only")
        self.assertTrue(made["state"].startswith("finished"), made["state"])


class ReportPage(Reported):
    def setUp(self):
        import chromium
        chromium.require()
        self.chromium = chromium

    def test_names_appear_under_the_pointer_and_by_keys(self):
        made = self.json("report", "runs/one")
        with open(self.path("packs/test.json")) as file:
            names = json.load(file)["content"]["ids"]
        for dark in (False, True):
            with self.chromium.Chromium(dark=dark) as page:
                page.open("file://" + self.path(made["file"]))
                box = page.evaluate(
                    "(() => { const svg = document.querySelector('#tsne svg'); svg.scrollIntoView({block: 'center', behavior: 'instant'});"
                    " const points = [...svg.querySelectorAll('.panel ~ circle, .panel ~ polygon')].map(e => e.getBoundingClientRect());"
                    " return points.slice(0, 5).map(r => [r.x + r.width / 2, r.y + r.height / 2]); })()")
                seen = []
                for x, y in box:
                    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
                    page.wait_for("!document.querySelector('#tsne .tip').hidden")
                    seen.append(page.evaluate("document.querySelector('#tsne .tip').textContent"))
                for text in seen:
                    name, labels = text.split(": ", 1)
                    self.assertIn(name, names)
                    self.assertTrue(any(label in labels for label in HOSTILE), text)
                self.assertGreater(len(set(seen)), 1)
                page.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
                page.wait_for("document.querySelector('#tsne .tip').hidden")
                page.evaluate("document.querySelector('#tsne svg').focus()")
                page.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
                page.wait_for("!document.querySelector('#tsne .tip').hidden")
                self.assertEqual(page.evaluate("document.querySelector('#tsne .tip').textContent.split(': ')[0]"), names[0])
                self.assertEqual(page.problems(), [])
                self.assertEqual([url for url in page.requests() if not url.startswith(("data:", "file://" + self.path(made["file"])))], [])
                self.assertTrue(page.evaluate("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label'))"))

    def test_fits_wide_and_narrow_windows(self):
        made = self.json("report", "runs/one")
        for width in (1600, 1000, 380):
            with self.chromium.Chromium(width=width, height=800) as page:
                page.open("file://" + self.path(made["file"]))
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
                self.assertEqual(page.problems(), [])


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "browser"))
    unittest.main()
