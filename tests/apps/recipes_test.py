"""Every recipe by the program: the preset small, what a validation writes, and names and checkpoints that do not fit."""
import csv
import json
import os
import re
import struct
import unittest

from program_test import SMALL, Program


def read_npy(path, code):
    """Columns and values of a matrix."""
    with open(path, "rb") as file:
        data = file.read()
    begin = 10 + struct.unpack("<H", data[8:10])[0]
    shape = re.search(r"'shape': \((\d+), (\d+)\)", data[10:begin].decode())
    return int(shape[2]), list(struct.unpack("<%d%s" % (int(shape[1]) * int(shape[2]), code), data[begin:]))


class EveryRecipe(Program):
    def names(self):
        key = self.json("config", "explain", "recipe")["keys"][0]
        return key["constraint"].removeprefix("one of ").split(", ")

    def test_the_preset_small_trains_every_recipe(self):
        self.assertIn("sndl", self.names())
        for name in self.names():
            with self.subTest(name):
                done = self.start("train", "--root", "scenes", "--packed", "packs", "--set", f"recipe={name}", "--set",
                                  "preset=small", "--set", "epochs=1", "--set", f"run.name={name}", "--set",
                                  "validation.also=[\"test\"]", "--set", "validation.overlap=true", "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                result = json.loads(done.stdout)
                self.assertGreater(result["parameters"], 11_000_000)
                self.assertEqual(result["frozen_parameters"], 0)
                self.assertIn(f"{result['parameters'] / 1e6:.2f} M parameters", done.stderr)
                self.assertTrue(0 <= result["last"]["overlap"] <= 1)
                with open(self.path("runs", name, "test.csv")) as file:
                    rows = list(csv.DictReader(file))
                self.assertEqual([row["epoch"] for row in rows], ["0", "1"])
                self.assertTrue(0 < float(rows[1]["recall@1"]) <= 1)
                with open(self.path("runs", name, "config.json")) as file:
                    config = json.load(file)
                self.assertEqual((config["preset"], config["model"]["backbone"], config["epochs"]), ("small", "resnet18", 1))
                scored = self.json("eval", "--run", f"runs/{name}", "--k", "1")
                self.assertGreater(scored["metrics"]["recall"]["1"], 0)

    def test_config_print_shows_what_a_preset_sets(self):
        with open(self.path("c.json"), "w") as file:
            file.write('{"preset": "small", "model": {"embedding": 256}}')
        printed = self.json("config", "print", "--config", "c.json", "--set", "epochs=7")
        self.assertEqual((printed["model"]["embedding"], printed["epochs"], printed["model"]["backbone"]), (256, 7, "resnet18"))
        plain = self.json("config", "print")
        self.assertEqual((plain["preset"], plain["epochs"], plain["model"]["backbone"]), ("none", 120, "resnet50"))

    def test_a_run_continues_with_its_preset(self):
        words = ["train", "--root", "scenes", "--packed", "packs", "--set", "preset=small", "--set", "epochs=1", "--set",
                 "run.name=continued", "--set", "validation.untrained=false", "--set", "recipe=diva"]
        self.assertIn("filling the queue", self.ok(*words).stderr)
        done = self.ok("train", "--resume", "runs/continued", "--set", "epochs=2")
        self.assertIn("resuming", done.stderr)
        self.assertNotIn("filling the queue", done.stderr)  # the checkpoint holds it
        self.refused(2, ["preset", "new run"], "train", "--resume", "runs/continued", "--set", "preset=none")


    def test_clusters_that_cannot_be(self):
        for clusters, words in ((64, ["dac.kmeans.clusters is 64", "images"]), (3, ["model.embedding is 16", "dac.kmeans.clusters=3"])):
            self.refused(2, words, "train", "--root", "scenes", "--packed", "packs-32", *SMALL, "--set", "recipe=dac",
                         "--set", f"dac.kmeans.clusters={clusters}")


class TwelveBands(Program):
    archive = False

    def test_every_recipe_trains_on_sentinel_2_scenes(self):
        geotiff = next(f for f in self.json("doctor")["findings"] if f["name"] == "GeoTIFF")
        if not geotiff["present"]:
            self.skipTest("this build has no GDAL")
        self.ok("scenes", "--out", "sentinel", "--layout", "bigearthnet", "--images", "150", "--seed", "3")
        # The queue of diva holds more batches than an epoch has: it wraps around.
        tiny = {"dac": ["dac.kmeans.clusters=2"], "bier": ["bier.widths=[4,4,8]"], "diva": ["moco.n_key_batches=30"],
                "sndl": ["sampler.batch_size=16"]}
        key = self.json("config", "explain", "recipe")["keys"][0]
        for name in key["constraint"].removeprefix("one of ").split(", "):
            with self.subTest(name):
                words = [word for setting in tiny.get(name, []) for word in ("--set", setting)]
                done = self.start("train", "--root", "sentinel", "--packed", "bands", *SMALL, "--set", "preset=small", "--set",
                                  f"recipe={name}", *words, "--set", f"run.name={name}", "--set", "epochs=2", "--set",
                                  "validation.retrieval.ks=[1]", "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                result = json.loads(done.stdout)
                self.assertEqual(result["last"]["epoch"], 2)
                scored = self.json("eval", "--run", f"runs/{name}", "--k", "1", "--out", f"pictures/{name}")
                self.assertTrue(0 < scored["metrics"]["recall"]["1"] <= 1)
                self.assertTrue(os.path.exists(self.path("pictures", name, "retrieved.svg")))


class Neighbours(Program):
    def test_lists_of_nearest_neighbours(self):
        self.assertEqual(self.train("lists", "--set", "epochs=1").returncode, 0)
        rows = self.json("embed", "--run", "runs/lists", "--out", "lists", "--knn", "3")["images"]
        width, values = read_npy(self.path("lists/embeddings.npy"), "f")
        k, neighbours = read_npy(self.path("lists/neighbours.npy"), "q")
        _, distances = read_npy(self.path("lists/distances.npy"), "f")
        self.assertEqual((k, len(neighbours), len(distances)), (3, 3 * rows, 3 * rows))
        every = [values[i * width:(i + 1) * width] for i in range(rows)]
        unit = [[v / sum(u * u for u in row) ** 0.5 for v in row] for row in every]
        for i in range(rows):
            wanted = sorted(sum((a - b) ** 2 for a, b in zip(unit[i], unit[j])) ** 0.5 for j in range(rows) if j != i)
            for j in range(3):
                other = neighbours[3 * i + j]
                apart = sum((a - b) ** 2 for a, b in zip(unit[i], unit[other])) ** 0.5
                self.assertNotEqual(other, i)
                for distance in (distances[3 * i + j], apart):
                    self.assertAlmostEqual(distance, wanted[j], places=5)
        self.refused(2, ["--knn", str(rows - 1)], "embed", "--run", "runs/lists", "--out", "lists", "--knn", str(rows))
        self.refused(2, ["--knn"], "embed", "--run", "runs/lists", "--out", "lists", "--knn", "0")


class WrongNames(Program):
    def test_recipes_miners_and_presets_are_listed(self):
        self.refused(2, ["recipe must be one of baseline", "sndl", "bayer"], "config", "print", "--set", "recipe=bayer")
        self.refused(2, ["miner.name must be one of semihard", "multilabel_semihard", "hardest"], "config", "print", "--set",
                     "miner.name=hardest")
        self.refused(2, ["preset must be one of none, small", "tiny"], "config", "print", "--set", "preset=tiny")
        self.refused(2, ["validation.also", "val, test, train"], "config", "print", "--set", "validation.also=[\"all\"]")

    def test_settings_that_do_not_fit_leave_no_run(self):
        words = ["train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "run.name=none"]
        self.refused(2, ["margin.class_specific", "multilabel_semihard"], *words, "--set", "margin.class_specific=true", "--set",
                     "miner.name=multilabel_semihard")
        self.refused(2, ["validation.retrieval.ks", "val has"], *words, "--set", "validation.retrieval.ks=[1,1000]")
        self.refused(2, ["sampler.batch_size 120", "larger than the split"], *words, "--set", "recipe=sndl")
        self.refused(2, ["bier.widths", "model.embedding"], *words, "--set", "recipe=bier", "--set", "bier.widths=[4,4]")
        self.assertFalse(os.path.exists(self.path("runs/none")))


class WrongCheckpoints(Program):
    def classes_of(self, folder):
        with open(self.path(folder, "train.json")) as file:
            return json.load(file)["content"]["classes"]

    def test_of_another_recipe_class_list_or_band_list(self):
        self.assertEqual(self.train("one", "--set", "epochs=1", "--set", "validation.untrained=false").returncode, 0)
        self.refused(3, ["runs/one/checkpoints/", "of another model", "model.head.learner1.weight", "use the configuration"], "eval", "--run", "runs/one", "--set", "recipe=bier")
        self.refused(2, ["runs/one", "recipe", "new run"], "train", "--resume", "runs/one", "--set", "recipe=sndl", "--set",
                     "sampler.batch_size=16")

        # The same images with fewer classes.
        classes = self.classes_of("packs")[:-2]
        with open(self.path("manifest.csv"), "w") as out:
            out.write(",".join(["path", *classes]) + "\n")
            for name in sorted(os.listdir(self.path("scenes/labels"))):
                with open(self.path("scenes/labels", name)) as file:
                    for row in csv.DictReader(file):
                        hot = [row[c] for c in classes]
                        if "1" in hot:
                            out.write(",".join([f"scenes/Images/{name[:-4]}/{row['image']}", *hot]) + "\n")
        self.ok("pack", "--root", ".", "--packed", "fewer", "--set", "data.format=csv", "--set", "data.image_size=32")
        self.refused(3, ["classes of the checkpoint"], "eval", "--run", "runs/one", "--packed", "fewer", "--set", "data.root=",
                     "--set", "data.format=auto")

        geotiff = next(f for f in self.json("doctor")["findings"] if f["name"] == "GeoTIFF")
        if not geotiff["present"]:
            self.skipTest("this build has no GDAL")
        self.ok("scenes", "--out", "sentinel", "--layout", "bigearthnet", "--images", "120", "--seed", "3")
        self.ok("pack", "--root", "sentinel", "--packed", "bands", "--set", "data.image_size=32")
        self.refused(3, ["backbone.conv1.weight"], "eval", "--run", "runs/one", "--packed", "bands", "--set", "data.root=",
                     "--set", "data.format=auto")


if __name__ == "__main__":
    unittest.main()
