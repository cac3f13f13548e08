"""What `swath eval` and `swath stats` draw and write: every file, its numbers against loops here, XML that parses."""
import csv
import math
import os
import shutil
import struct
import unittest
import xml.etree.ElementTree

import program_test
from program_test import write_npy

NAMES = ["sea & <script>", "a \"quoted\", long", "c", "d"]


class Pictures(program_test.Program):
    def table(self, *parts):
        with open(self.path(*parts), newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def parse(self, *parts):
        return "".join(xml.etree.ElementTree.parse(self.path(*parts)).getroot().itertext())

    def write_case(self):
        """60 points of a circle, their labels (class 3 has none) and names; returns the label sets and each one's nearest other."""
        rows, sets = [], []
        for i in range(60):
            angle = (0.137 * i * i + 0.618 * i) % 1
            rows.append(struct.unpack("<2f", struct.pack("<2f", math.cos(angle), math.sin(angle))))
            sets.append({c for c in range(4) if (i * 5 + c * c) % (c + 2) == 0})
        write_npy(self.path("e.npy"), "<f4", (60, 2), b"".join(struct.pack("<2f", *row) for row in rows))
        write_npy(self.path("y.npy"), "|u1", (60, 4), bytes(int(c in s) for s in sets for c in range(4)))
        with open(self.path("names.txt"), "w") as file:
            file.write("\n".join(NAMES) + "\n")
        unit = [(x / (x * x + y * y) ** 0.5, y / (x * x + y * y) ** 0.5) for x, y in rows]
        nearest = [min((j for j in range(60) if j != i), key=lambda j: (unit[i][0] - unit[j][0]) ** 2 + (unit[i][1] - unit[j][1]) ** 2)
                   for i in range(60)]
        return sets, nearest

    def test_confusion_and_tsne_of_files(self):
        sets, nearest = self.write_case()
        words = ["eval", "--embeddings", "e.npy", "--labels", "y.npy", "--class-names", "names.txt", "--k", "1,2"]
        done = self.ok(*words, "--out", "out", "--tsne", "--perplexity", "5")
        self.assertIn("t-SNE  1000/1000", done.stderr)
        self.assertIn("KL divergence", done.stdout)
        confusion, recalls = self.table("out/confusion.csv"), self.table("out/class_recall.csv")
        self.assertEqual(confusion[0], ["class", "queries"] + NAMES)
        self.assertEqual(recalls[0], ["class", "queries", "recall@1", "recall@2"])
        for c in range(4):
            queries = [i for i in range(60) if c in sets[i]]
            self.assertEqual(confusion[1 + c][:2], [NAMES[c], str(len(queries))])
            for d in range(4):
                hits = sum(d in sets[nearest[i]] and (c == d or d not in sets[i]) for i in queries)
                self.assertAlmostEqual(float(confusion[1 + c][2 + d]), hits / max(1, len(queries)), msg=f"{c} {d}")
            self.assertEqual(recalls[1 + c][2], confusion[1 + c][2 + c])
            self.assertGreaterEqual(float(recalls[1 + c][3]), float(recalls[1 + c][2]))
        for name in ("confusion", "class_recall", "tsne", "overlap"):
            self.parse("out", name + ".svg")
        self.assertIn(NAMES[0], self.parse("out/confusion.svg"))
        points = self.table("out/tsne.csv")
        self.assertEqual(points[0], ["image", "x", "y", "class"])
        self.assertEqual(len(points), 61)
        carriers = [sum(c in s for s in sets) for c in range(4)]
        for row, labels in zip(points[1:], sets):
            self.assertEqual(row[3], NAMES[min(labels, key=lambda c: (carriers[c], c))] if labels else "")
        again = self.json(*words, "--out", "again", "--tsne", "--perplexity", "5")
        self.assertGreater(again["tsne"]["kl"], 0)
        self.assertEqual(self.table("again/tsne.csv"), points)

    def test_png(self):
        self.write_case()
        words = ["eval", "--embeddings", "e.npy", "--labels", "y.npy", "--k", "1", "--out", "drawn", "--png"]
        os.makedirs(self.path("nothing"), exist_ok=True)
        done = self.start(*words, env={"PATH": self.path("nothing")})
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("librsvg2-bin", done.stderr)
        self.assertFalse(os.path.exists(self.path("drawn")))
        if not shutil.which("rsvg-convert"):
            self.skipTest("rsvg-convert is not installed")
        files = self.json(*words)["files"]
        self.assertEqual(sorted(f[:-3] for f in files if f.endswith(".png")), sorted(f[:-3] for f in files if f.endswith(".svg")))
        for name in files:
            with open(self.path(name), "rb") as file:
                self.assertEqual(name.endswith(".png"), file.read(4) == b"\x89PNG", name)

    def test_refuses(self):
        self.write_case()
        files = ["eval", "--embeddings", "e.npy", "--labels", "y.npy", "--k", "1"]
        self.refused(2, ["--tsne", "--out"], *files, "--tsne")
        self.refused(2, ["--png", "--out"], *files, "--png")
        self.refused(2, ["--png", "--out"], "stats", "--root", "scenes", "--png")
        write_npy(self.path("few.npy"), "<f4", (41, 2), b"".join(struct.pack("<2f", 1, i) for i in range(41)))
        write_npy(self.path("few-y.npy"), "|u1", (41, 1), b"\1" * 41)
        self.refused(2, ["perplexity 40", "at least 42 images, not 41"], "eval", "--embeddings", "few.npy", "--labels", "few-y.npy", "--k",
                     "1", "--out", "few", "--tsne")
        self.refused(2, ["perplexity"], *files, "--out", "p", "--tsne", "--perplexity", "0")
        self.refused(2, ["--gallery-part"], *files, "--gallery-part", "train")
        self.refused(2, ["--gallery-part", "middle"], "eval", "--run", "runs/none", "--gallery-part", "middle")
        self.refused(2, ["--gallery-part test"], "eval", "--run", "runs/none", "--gallery-part", "test")
        self.refused(2, ["--class-names"], "eval", "--run", "runs/none", "--class-names", "names.txt")
        self.refused(3, ["absent.txt"], *files, "--class-names", "absent.txt")
        with open(self.path("three.txt"), "w") as file:
            file.write("a\nb\nc\n")
        self.refused(3, ["three.txt", "3 names", "4 classes"], *files, "--class-names", "three.txt")

    def test_network_with_a_gallery(self):
        done = self.train("drawn", "--set", "epochs=1", "--set", "validation.untrained=false")
        self.assertEqual(done.returncode, 0, done.stderr)
        words = ["eval", "--run", "runs/drawn", "--part", "test", "--k", "1,3"]
        scored = self.json(*words, "--gallery-part", "train", "--out", "across", "--tsne", "--perplexity", "4")
        self.assertEqual(len(scored["metrics"]), 15)
        self.assertEqual(scored["gallery_part"], "train")
        for name in ("retrieved", "confusion", "class_recall", "tsne"):
            self.parse("across", name + ".svg")
        self.assertFalse(os.path.exists(self.path("across/overlap.svg")))
        self.refused(2, ["K", "1000"], "eval", "--run", "runs/drawn", "--gallery-part", "val", "--k", "1000")
        # The same from files.
        for part in ("train", "test"):
            self.ok("embed", "--run", "runs/drawn", "--part", part, "--out", part)
        files = self.json("eval", "--embeddings", "test/embeddings.npy", "--labels", "test/labels.npy", "--gallery-embeddings",
                          "train/embeddings.npy", "--gallery-labels", "train/labels.npy", "--class-names", "test/classes.txt",
                          "--k", "1,3", "--out", "files")
        self.assertEqual(files["metrics"], scored["metrics"])
        for name in ("confusion.csv", "class_recall.csv"):
            self.assertEqual(self.table("files", name), self.table("across", name))
        self.assertNotEqual(self.json(*words)["metrics"], scored["metrics"])

    def test_statistics(self):
        self.ok("split", "--root", "scenes", "--out", "lists")
        result = self.json("stats", "--root", "scenes", "--set", "data.split.directory=lists", "--out", "statistics")
        classes, images = result["classes"], {}
        for name in sorted(os.listdir(self.path("scenes/labels"))):
            table = self.table("scenes/labels", name)
            for row in table[1:]:
                images[row[0]] = {c for c, value in zip(table[0][1:], row[1:]) if value == "1" and c in classes}
        for part, numbers in result["parts"].items():
            rows = [images[os.path.basename(row[0])] for row in self.table("lists", part + ".csv")[1:]]
            self.assertEqual(numbers["images"], len(rows))
            self.assertAlmostEqual(numbers["mean_labels"], sum(map(len, rows)) / len(rows))
            self.assertEqual(numbers["label_counts"], [sum(len(r) == k for r in rows) for k in range(len(numbers["label_counts"]))])
            self.assertEqual(sum(numbers["label_counts"]), len(rows))
            for a, first in enumerate(classes):
                self.assertAlmostEqual(numbers["share_per_class"][a], sum(first in r for r in rows) / len(rows))
                for b, second in enumerate(classes):
                    self.assertEqual(numbers["images_with_both"][a][b], sum(first in r and second in r for r in rows))
            for name in ("labels", "label-counts", "cooccurrence"):
                self.parse("statistics", f"{name}-{part}.svg")
        shown = self.ok("stats", "--root", "scenes").stdout
        self.assertIn("images with 2 labels", shown)


if __name__ == "__main__":
    unittest.main()
