"""Runs the program swath as a user does: results, exit codes, sentences, and that nothing is lost. Standard library only."""
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

SWATH = os.environ["SWATH_PROGRAM"]
SMALL = ["--set", "data.image_size=32", "--set", "model.backbone=resnet18", "--set", "model.embedding=16",
         "--set", "sampler.classes_per_batch=4", "--set", "optimizer.backbone.lr=1e-3", "--set", "optimizer.head.lr=1e-3",
         "--set", "run.log_every=1", "--set", "schedule.kind=none"]


def write_npy(path, descr, shape, payload):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, tuple(shape))
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + payload)


class Program(unittest.TestCase):
    """A folder of its own with a small synthetic archive, made once per class."""
    archive = True

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="swath-apps-")
        if cls.archive:
            done = cls.start("scenes", "--out", "scenes", "--images", "96", "--size", "32", "--seed", "1")
            assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def start(cls, *words, env=None):
        return subprocess.run([SWATH, *words], cwd=cls.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(env or {})})

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def ok(self, *words):
        done = self.start(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def json(self, *words):
        return json.loads(self.ok(*words, "--json").stdout)

    def refused(self, code, parts, *words):
        """Exit code, one sentence on stderr that holds every part, and with --json one object on stdout."""
        done = self.start(*words)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        sentence = [line for line in done.stderr.splitlines() if line.startswith("swath: ")]
        self.assertEqual(len(sentence), 1, done.stderr)
        for part in parts:
            self.assertIn(part, sentence[0])
        failed = self.start(*words, "--json")
        self.assertEqual(failed.returncode, code)
        self.assertEqual(json.loads(failed.stdout)["exit_code"], code)
        return sentence[0]

    def train(self, name, *words, packed="packs"):
        return self.start("train", "--root", "scenes", "--packed", packed, *SMALL, "--set", f"run.name={name}", *words)


class Usage(Program):
    archive = False

    def test_help_of_everything_teaches(self):
        self.assertIn("Exit codes", self.ok("--help").stdout)
        for command in ("scenes", "split", "pack", "stats", "train", "eval", "report", "embed", "export", "index", "search", "serve", "config", "bench",
                        "doctor"):
            self.assertIn("Examples:", self.ok(command, "--help").stdout)
        self.assertRegex(self.ok("--version").stdout, r"^swath \d+\.\d+\.\d+$")

    def test_unknown_names_get_the_nearest(self):
        self.refused(2, ["trian", "did you mean train?"], "trian")
        self.refused(2, ["--confg", "did you mean --config?"], "train", "--confg", "x.json")
        self.refused(2, ["optimzer", "did you mean optimizer?"], "config", "print", "--set", "optimzer.kind=sgd")
        self.refused(2, ["margin.bet", "did you mean margin.beta"], "config", "explain", "margin.bet")
        self.refused(2, ["unknown option --jsn", "--help"], "--jsn")

    def test_config(self):
        keys = self.json("config", "schema")["keys"]
        self.assertIn("margin.beta", [key["key"] for key in keys])
        self.assertEqual(self.json("config", "print", "--set", "epochs=3")["epochs"], 3)
        self.assertEqual(len(self.json("config", "explain", "margin.beta")["keys"]), 1)
        with open(self.path("c.json"), "w") as file:
            file.write('{ "epochs": 5, // a comment\n "margin": {"beta": 1.1} }')
        printed = self.json("config", "print", "--config", "c.json", "--set", "margin.nu=0")
        self.assertEqual((printed["epochs"], printed["margin"]["beta"], printed["margin"]["nu"]), (5, 1.1, 0))

    def test_what_cannot_go_together(self):
        self.refused(2, ["swath config --help"], "config")
        self.refused(2, ["--run", "--embeddings"], "eval", "--run", "r", "--embeddings", "e.npy", "--labels", "y.npy")
        self.refused(2, ["--run", "--embeddings"], "eval", "--run", "r", "--gallery-embeddings", "e.npy")
        self.refused(2, ["--memory"], "eval", "--embeddings", "e.npy", "--labels", "y.npy", "--memory")
        self.refused(2, ["--packed"], "split", "--root", "scenes", "--out", "s", "--packed", "p")

    def test_bad_configurations(self):
        with open(self.path("twice.json"), "w") as file:
            file.write('{"epochs": 1, "epochs": 2}')
        self.refused(2, ["twice.json", "epochs", "twice"], "config", "print", "--config", "twice.json")
        self.refused(2, ["absent.json"], "config", "print", "--config", "absent.json")
        self.refused(2, ["optimizer.backbone.lr", "NaN"], "config", "print", "--set", "optimizer.backbone.lr=NaN")
        self.refused(2, ["epochs"], "config", "print", "--set", "epochs=0")
        self.refused(2, ["--set"], "config", "print", "--set", "epochs")

    def test_doctor(self):
        names = [finding["name"] for finding in self.json("doctor")["findings"]]
        for name in ("swath", "processor", "device cpu", "retrieval", "GeoTIFF"):
            self.assertIn(name, names)


class Scenes(Program):
    def test_equal_seeds_give_equal_files(self):
        self.ok("scenes", "--out", "again", "--images", "96", "--size", "32", "--seed", "1")
        for folder, _, files in os.walk(self.path("scenes", "Images")):
            for name in files:
                first = os.path.join(folder, name)
                second = first.replace(self.path("scenes"), self.path("again"))
                with open(first, "rb") as a, open(second, "rb") as b:
                    self.assertEqual(a.read(), b.read(), name)
        self.assertTrue(os.path.exists(self.path("scenes", "SYNTHETIC.txt")))

    def test_refuses_a_foreign_folder(self):
        os.mkdir(self.path("mine"))
        with open(self.path("mine", "letter.txt"), "w") as file:
            file.write("keep me")
        self.refused(2, ["mine"], "scenes", "--out", "mine", "--images", "4", "--size", "32")
        self.assertEqual(os.listdir(self.path("mine")), ["letter.txt"])

    def test_split_stats_pack(self):
        split = self.json("split", "--root", "scenes", "--out", "splits")
        self.assertEqual(sum(split["images"].values()), 96)
        stats = self.json("stats", "--root", "scenes", "--set", "data.split.directory=splits")
        self.assertEqual(stats["parts"]["train"]["images"] > 0, True)
        pack = self.json("pack", "--root", "scenes", "--packed", "p", "--set", "data.image_size=32")
        self.assertFalse(pack["parts"][0]["reused"])
        self.assertTrue(self.json("pack", "--root", "scenes", "--packed", "p", "--set", "data.image_size=32")["parts"][0]["reused"])


class Pipeline(Program):
    def test_train_eval_embed(self):
        done = self.train("one", "--set", "epochs=1", "--json", "--memory")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertGreater(result["steps"], 0)
        self.assertIn("recall", result["untrained"]["metrics"])
        self.assertNotIn("\r", done.stderr)  # plain lines off a terminal
        self.assertIn("waiting for data", done.stderr)
        for name in ("config.json", "versions.json", "metrics.jsonl", "curves.svg", "checkpoints/best.safetensors"):
            self.assertTrue(os.path.exists(self.path("runs/one", name)), name)

        self.assertGreater(result["memory"]["together"]["peak_bytes"], 0)

        scored = self.json("eval", "--run", "runs/one", "--out", "pictures", "--k", "1,3", "--memory")
        self.assertGreater(scored["memory"]["weights"]["peak_bytes"], 0)
        self.assertEqual(sorted(scored["metrics"]["recall"]), ["1", "3"])
        self.assertEqual(len(scored["metrics"]), 15)
        for name in ("metrics.csv", "metrics.json", "overlap.svg", "retrieved.svg"):
            self.assertTrue(os.path.getsize(self.path("pictures", name)) > 0, name)

        embedded = self.json("embed", "--run", "runs/one", "--out", "e")
        with open(self.path("e/ids.txt")) as file:
            self.assertEqual(len(file.read().splitlines()), embedded["images"])
        self.assertFalse(os.path.exists(self.path("e/neighbours.npy")))
        again = self.json("eval", "--embeddings", "e/embeddings.npy", "--labels", "e/labels.npy", "--k", "1,3")
        self.assertEqual(again["metrics"], scored["metrics"])

        self.json("export", "--run", "runs/one", "--out", "w.safetensors")
        self.ok("eval", "--run", "runs/one", "--checkpoint", "untrained", "--set", "model.pretrained=w.safetensors", "--k", "1")
        self.refused(2, ["--out"], "export", "--run", "runs/one")

    def test_twelve_bands_with_43_and_19_classes(self):
        geotiff = next(f for f in self.json("doctor")["findings"] if f["name"] == "GeoTIFF")
        if not geotiff["present"]:
            self.skipTest("this build has no GDAL")
        self.ok("scenes", "--out", "sentinel", "--layout", "bigearthnet", "--images", "120", "--seed", "3")
        for classes in ("43", "19"):
            done = self.start("train", "--root", "sentinel", "--packed", "bands-" + classes, *SMALL, "--set", "run.name=bands-" + classes,
                              "--set", "data.classes=" + classes, "--set", "epochs=1", "--set", "validation.untrained=false")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(self.path("bands-" + classes, "train.json")) as file:
                self.assertEqual(len(json.load(file)["content"]["bands"]), 12)
            scored = self.json("eval", "--run", "runs/bands-" + classes, "--k", "1")
            self.assertGreater(scored["metrics"]["recall"]["1"], 0)

    def test_a_run_folder_is_not_reused(self):
        self.assertEqual(self.train("taken", "--set", "epochs=1", "--set", "validation.untrained=false").returncode, 0)
        with open(self.path("runs/taken/metrics.jsonl")) as file:
            before = file.read()
        self.refused(2, ["runs/taken", "--resume"], "train", "--root", "scenes", "--packed", "packs", *SMALL,
                     "--set", "run.name=taken")
        with open(self.path("runs/taken/metrics.jsonl")) as file:
            self.assertEqual(file.read(), before)


class Resume(Program):
    def weights(self, run):
        done = self.ok("embed", "--run", run, "--checkpoint", "last", "--out", run + "-e")
        with open(self.path(run + "-e", "embeddings.npy"), "rb") as file:
            return done, file.read()

    def stop_after_first_step(self, name, number):
        process = subprocess.Popen(
            [SWATH, "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", f"run.name={name}", "--set", "epochs=200",
             "--set", "validation.every=200", "--set", "validation.untrained=false"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        log = self.path("runs", name, "train.csv")
        for _ in range(1200):
            if os.path.exists(log) and os.path.getsize(log) > 60:
                break
            time.sleep(0.1)
        process.send_signal(number)
        stderr = process.communicate(timeout=120)[1]
        return process.returncode, stderr

    def test_four_epochs_are_two_and_two(self):
        self.assertEqual(self.train("whole", "--set", "epochs=4").returncode, 0)
        self.assertEqual(self.train("parts", "--set", "epochs=2").returncode, 0)
        done = self.start("train", "--resume", "runs/parts", "--set", "epochs=4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.weights("runs/whole")[1], self.weights("runs/parts")[1])

    def test_signals_save_and_exit_75(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            name = f"stopped{int(number)}"
            code, stderr = self.stop_after_first_step(name, number)
            self.assertEqual(code, 75, stderr)
            self.assertIn(f"--resume runs/{name}", stderr)
            self.assertTrue([f for f in os.listdir(self.path("runs", name, "checkpoints")) if f.startswith("step-")])
        done = self.start("train", "--resume", "runs/stopped15", "--set", "epochs=2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("resuming", done.stderr)

    def test_resume_auto_and_changed_keys(self):
        words = ["train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "run.name=auto", "--resume", "auto", "--set",
                 "epochs=1"]
        self.ok(*words)
        self.ok(*words)  # nothing is left to do
        self.refused(2, ["seed", "new run"], *words, "--set", "seed=5")
        self.refused(3, ["nowhere", "no run folder"], "train", "--resume", "nowhere")

    def test_resume_auto_finds_the_run_of_its_configuration(self):
        words = ["train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "run.directory=auto-runs", "--resume", "auto",
                 "--set", "validation.untrained=false", "--set", "epochs=1"]
        for seed in ("1", "2", "1"):
            self.ok(*words, "--set", f"seed={seed}")
            time.sleep(1.1)  # the folder's name tells the second
        self.assertEqual(len(os.listdir(self.path("auto-runs"))), 2)

    def test_a_run_goes_on_with_its_own_images_and_its_own_best(self):
        self.assertEqual(self.train("own", "--set", "epochs=1").returncode, 0)
        self.ok("scenes", "--out", "other-scenes", "--images", "96", "--size", "32", "--seed", "9")
        self.refused(2, ["other-packs", "data.packed"], "train", "--resume", "runs/own", "--set", "epochs=2", "--set",
                     "data.root=other-scenes", "--set", "data.packed=other-packs")
        open(self.path("runs/own/checkpoints/step-000000001.safetensors.tmp"), "w").close()
        done = self.start("train", "--resume", "runs/own", "--set", "epochs=2", "--set", "validation.part=train")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("chosen anew", done.stderr)
        self.assertFalse([f for f in os.listdir(self.path("runs/own/checkpoints")) if f.endswith(".tmp")])

    def test_a_full_disk_keeps_the_checkpoint_before(self):
        self.assertEqual(self.train("full", "--set", "epochs=1").returncode, 0)
        done = subprocess.run([SWATH, "train", "--resume", "runs/full", "--set", "epochs=2"], cwd=self.folder, capture_output=True,
                              text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("checkpoints/step-", done.stderr)
        self.assertFalse([f for f in os.listdir(self.path("runs/full/checkpoints")) if f.endswith(".tmp")])
        self.ok("eval", "--run", "runs/full", "--checkpoint", "last")
        self.ok("train", "--resume", "runs/full", "--set", "epochs=2")

    def test_a_run_stays_in_its_folder(self):
        self.assertEqual(self.train("stays", "--set", "epochs=1").returncode, 0)
        for key in ("run.name=other", "run.directory=other"):
            self.refused(2, ["runs/stays", "run.name"], "train", "--resume", "runs/stays", "--set", key)
        with open(self.path("runs/stays/config.json"), "a") as file:
            file.write("}")
        self.refused(3, ["runs/stays/config.json"], "train", "--resume", "runs/stays")
        self.refused(3, ["runs/stays/config.json"], "eval", "--run", "runs/stays")

    def test_two_runs_in_one_folder(self):
        process = subprocess.Popen(
            [SWATH, "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "run.name=busy", "--set", "epochs=200"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(1200):
                if os.path.exists(self.path("runs/busy/versions.json")):
                    break
                time.sleep(0.1)
            self.refused(2, ["runs/busy", "in use"], "train", "--resume", "runs/busy")
        finally:
            process.kill()
            process.wait()

    def test_a_loss_that_is_not_finite(self):
        # Weight decay beyond 2 / learning rate makes the weights grow at every step.
        done = self.train("wild", "--set", "epochs=200", "--set", "optimizer.kind=sgd", "--set", "validation.every=200",
                          "--set", "validation.untrained=false", *[word for part in ("backbone", "head") for word in
                          ("--set", f"optimizer.{part}.lr=10", "--set", f"optimizer.{part}.weight_decay=1")])
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertTrue([f for f in os.listdir(self.path("runs/wild/checkpoints")) if f.endswith(".safetensors")])

    def test_a_checkpoint_without_its_header_means_the_one_before(self):
        self.assertEqual(self.train("short", "--set", "epochs=2").returncode, 0)
        folder = self.path("runs/short/checkpoints")
        os.truncate(os.path.join(folder, sorted(f for f in os.listdir(folder) if f.startswith("step-"))[-1]), 20)
        done = self.start("train", "--resume", "runs/short", "--set", "epochs=2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("WARNING", done.stderr)

    def test_a_flipped_byte_means_the_checkpoint_before(self):
        self.assertEqual(self.train("bytes", "--set", "epochs=2").returncode, 0)
        folder = self.path("runs/bytes/checkpoints")
        newest = os.path.join(folder, sorted(f for f in os.listdir(folder) if f.startswith("step-"))[-1])
        with open(newest, "r+b") as file:
            file.seek(-100, os.SEEK_END)
            byte = file.read(1)
            file.seek(-100, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))
        done = self.start("train", "--resume", "runs/bytes", "--set", "epochs=2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("WARNING", done.stderr)
        self.assertIn("corrupt", done.stderr)


class BadData(Program):
    def test_missing_things(self):
        self.refused(3, ["absent"], "train", "--root", "absent", "--packed", "x", *SMALL)
        self.refused(2, ["abacus"], "train", "--root", "scenes", "--packed", "packs", *SMALL, "--device", "abacus")
        self.refused(2, ["data.packed"], "train", "--root", "scenes", *SMALL)
        self.refused(2, ["--root"], "pack", "--packed", "x")

    def test_a_device_that_is_not_there(self):
        done = self.start("train", "--root", "scenes", "--packed", "packs", *SMALL, "--device", "cuda:63")
        self.assertEqual(done.returncode, 4, done.stderr)

    def test_nothing_is_left_behind(self):
        for words in (["--root", "absent"], ["--root", "scenes", "--set", "sampler.images_per_class=60"]):
            done = self.start("train", *words, "--packed", "left-pack", *SMALL, "--set", "run.directory=left")
            self.assertIn(done.returncode, (2, 3))
        self.assertFalse(os.path.exists(self.path("left")) and os.listdir(self.path("left")))

    def test_a_batch_larger_than_the_split(self):
        self.refused(2, ["sampler"], "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "sampler.images_per_class=60")

    def test_a_miner_of_images_with_one_boundary_per_class(self):
        self.refused(2, ["margin.class_specific", "miner.name"], "train", "--root", "scenes", "--packed", "packs", *SMALL,
                     "--set", "miner.name=multilabel_semihard", "--set", "margin.class_specific=true")

    def test_hostile_split_paths(self):
        os.makedirs(self.path("evil"))
        for line in ("../../etc/passwd", "/etc/passwd"):
            for part in ("train", "val", "test"):
                with open(self.path("evil", part + ".csv"), "w") as file:
                    file.write(f"image\n{line}\n")
            self.refused(3, ["train.csv"], "pack", "--root", "scenes", "--packed", "evil-pack", "--set", "data.split.directory=evil")

    def test_empty_split(self):
        self.ok("split", "--root", "scenes", "--out", "holes")
        with open(self.path("holes", "val.csv"), "w") as file:
            file.write("image\n")
        self.refused(3, ["val.csv"], "pack", "--root", "scenes", "--packed", "hole-pack", "--set", "data.split.directory=holes")

    def test_too_many_truncated_images(self):
        shutil.copytree(self.path("scenes"), self.path("torn"))
        for folder, _, files in os.walk(self.path("torn", "Images")):
            for name in files:
                os.truncate(os.path.join(folder, name), 200)
        self.refused(3, ["torn"], "pack", "--root", "torn", "--packed", "torn-pack", "--set", "data.image_size=32")

    def test_one_truncated_image_is_skipped_and_listed(self):
        shutil.copytree(self.path("scenes"), self.path("scratched"))
        folder, _, files = next(t for t in os.walk(self.path("scratched", "Images")) if t[2])
        os.truncate(os.path.join(folder, files[0]), 200)
        pack = self.json("pack", "--root", "scratched", "--packed", "scratched-pack", "--set", "data.image_size=32",
                         "--set", "data.max_unreadable_share=0.2")
        self.assertEqual(sum(part["unreadable"] for part in pack["parts"]), 1)
        self.assertEqual(sum(part["images"] for part in pack["parts"]), 95)
        listed = [entry["file"] for part in pack["skipped_images"].values() for entry in part]
        self.assertEqual([os.path.basename(name) for name in listed], [files[0]])

    def test_hostile_pretrained_weights(self):
        for name, content in (("length", struct.pack("<Q", 1 << 60) + b"{}"), ("json", struct.pack("<Q", 4) + b"{{{{"), ("empty", b"")):
            with open(self.path(name + ".safetensors"), "wb") as file:
                file.write(content)
            self.refused(3, [name + ".safetensors"], "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set",
                         f"model.pretrained={name}.safetensors")

    def manifest(self, name, rows):
        with open(self.path("scenes", name), "w") as file:
            file.write("path,often,rare\n" + "".join(rows))
        return ["--root", "scenes", "--set", "data.format=csv", "--set", f"data.manifest={name}", "--set", "data.image_size=32"]

    def test_odd_manifests(self):
        images = sorted(os.path.relpath(os.path.join(folder, name), self.path("scenes"))
                        for folder, _, names in os.walk(self.path("scenes", "Images")) for name in names)
        os.makedirs(self.path("parts"))
        for part, chosen in (("train", images[:60]), ("val", images[60:80]), ("test", images[80:])):
            with open(self.path("parts", part + ".csv"), "w") as file:
                file.write("image\n" + "".join(image + "\n" for image in chosen))
        rows = [f"{image},1,{int(image == images[0])}\n" for image in images]
        words = self.manifest("rare.csv", rows) + ["--set", "data.split.directory=parts"]
        self.assertEqual(self.json("stats", *words)["dropped_classes"], ["rare"])
        self.refused(3, ["ragged.csv", "line 3"], "stats", *self.manifest("ragged.csv", [rows[0], images[1] + ",1\n"]))
        self.refused(3, ["long.csv", "line 2"], "stats", *self.manifest("long.csv", ["x" * (2 << 20) + ",1,0\n"]))

    def test_a_truncated_geotiff(self):
        geotiff = [f for f in self.json("doctor")["findings"] if f["name"] == "GeoTIFF"][0]
        if not geotiff["present"]:
            self.skipTest("this build has no GDAL")
        self.ok("scenes", "--out", "sentinel", "--layout", "bigearthnet", "--images", "60")
        folder, _, names = next(t for t in sorted(os.walk(self.path("sentinel"))) if any(n.endswith(".tif") for n in t[2]))
        os.truncate(os.path.join(folder, [n for n in names if n.endswith(".tif")][0]), 300)
        words = ["pack", "--root", "sentinel", "--packed", "sentinel-pack"]
        pack = self.json(*words, "--set", "data.max_unreadable_share=0.9")
        self.assertEqual(sum(part["unreadable"] for part in pack["parts"]), 1)
        self.assertEqual(sum(len(part) for part in pack["skipped_images"].values()), 1)
        shutil.rmtree(self.path("sentinel-pack"))
        self.refused(3, ["sentinel"], *words, "--set", "data.max_unreadable_share=0.01")

    def test_a_torn_pack(self):
        self.ok("pack", "--root", "scenes", "--packed", "short", "--set", "data.image_size=32")
        os.truncate(self.path("short/train.npy"), 5000)
        self.refused(3, ["train.npy"], "train", "--packed", "short", *SMALL)

    def test_a_flipped_byte_in_a_pack(self):
        self.ok("pack", "--root", "scenes", "--packed", "flipped", "--set", "data.image_size=32")
        with open(self.path("flipped/train.npy"), "r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 1]))
        for words in ([], ["--root", "scenes"]):
            self.refused(3, ["flipped/train.npy is corrupt in rows 0 to ", "pack again"], "train", *words, "--packed", "flipped",
                         *SMALL, "--set", "run.directory=flipped-runs")
        self.assertFalse(os.path.exists(self.path("flipped-runs")))

    def test_a_pack_is_not_replaced_by_another(self):
        self.ok("pack", "--root", "scenes", "--packed", "kept", "--set", "data.image_size=32")
        with open(self.path("kept/train.npy"), "rb") as file:
            before = file.read()
        for command in ("pack", "train"):
            self.refused(2, ["kept/train.npy holds a pack of another source, size or split", "data.packed"], command, "--root",
                         "scenes", "--packed", "kept", "--set", "data.image_size=24")
        self.refused(2, ["data.image_size is 24", "32 x 32"], "train", "--packed", "kept", "--set", "data.image_size=24")
        self.refused(2, ["data.format is csv", "mlrsnet"], "train", "--packed", "kept", "--set", "data.format=csv")
        with open(self.path("kept/train.npy"), "rb") as file:
            self.assertEqual(file.read(), before)

    def test_classes_that_no_nomenclature_has(self):
        self.refused(2, ["data.classes must be one of 19, 43, not 30"], "config", "print", "--set", "data.classes=30")

    def test_disk_full(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w") as full:
            done = subprocess.run([SWATH, "config", "schema"], cwd=self.folder, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("standard output", done.stderr)


class Evaluation(Program):
    archive = False

    def test_known_answer_and_bad_files(self):
        # Four points on a circle, two and two alike: every nearest neighbour shares the one label.
        rows = [(1.0, 0.0), (0.99, 0.1), (-1.0, 0.0), (-0.99, 0.1)]
        write_npy(self.path("e.npy"), "<f4", (4, 2), b"".join(struct.pack("<2f", *row) for row in rows))
        write_npy(self.path("y.npy"), "|u1", (4, 2), bytes([1, 0, 1, 0, 0, 1, 0, 1]))
        scored = self.json("eval", "--embeddings", "e.npy", "--labels", "y.npy", "--k", "1,3")
        self.assertEqual(scored["metrics"]["recall"], {"1": 1.0, "3": 1.0})
        self.assertAlmostEqual(scored["metrics"]["r_precision"]["3"], 1 / 3)
        self.refused(2, ["--labels"], "eval", "--embeddings", "e.npy")
        self.refused(2, ["K"], "eval", "--embeddings", "e.npy", "--labels", "y.npy", "--k", "4")
        self.refused(2, ["--run"], "eval")
        self.refused(3, ["absent.npy"], "eval", "--embeddings", "absent.npy", "--labels", "y.npy")
        write_npy(self.path("two.npy"), "|u1", (4, 2), bytes([2, 0, 1, 0, 0, 1, 0, 1]))
        self.refused(3, ["two.npy"], "eval", "--embeddings", "e.npy", "--labels", "two.npy")
        write_npy(self.path("short.npy"), "<f4", (1 << 40, 2), b"")
        self.refused(3, ["short.npy"], "eval", "--embeddings", "short.npy", "--labels", "y.npy")
        write_npy(self.path("nan.npy"), "<f4", (4, 2), struct.pack("<8f", *([float("nan")] * 8)))
        self.refused(5, ["finite"], "eval", "--embeddings", "nan.npy", "--labels", "y.npy", "--k", "1")


class Bench(Program):
    archive = False
    QUICK = ["--min-samples", "3", "--min-time", "0.001", "--timeout", "0.3", "--peak-bandwidth", "30", "--peak-flops", "100"]

    def test_list_and_run(self):
        listed = {entry["name"]: entry for entry in self.json("bench", "--list")["benchmarks"]}
        for name in ("margin_loss", "mine.semihard", "batch_norm.statistics", "adam"):
            self.assertIn(name, listed)
            self.assertIn(name, self.ok("bench", "--list").stdout)
        result = self.json("bench", "-b", "margin_loss", "-a", "rows=40,64", "-a", "cols=16", "-b", "ema", "-a", "elements=1000",
                           *self.QUICK)
        self.assertEqual([(b["name"], len(b["states"])) for b in result["benchmarks"]], [("margin_loss", 2), ("ema", 1)])
        self.assertEqual(result["devices"][0]["peak_bandwidth_source"], "given")
        state = result["benchmarks"][0]["states"][1]
        self.assertEqual([(a["name"], a["value"]) for a in state["axis_values"]], [("rows", "64"), ("cols", "16")])
        values = {s["tag"]: float(s["data"][0]["value"]) for s in state["summaries"]}
        self.assertGreaterEqual(values["nv/batch/sample_size"], 3)
        self.assertTrue(0 < values["swath/batch/time/low"] <= values["swath/batch/time/median"] <= values["swath/batch/time/high"])
        self.assertAlmostEqual(values["nv/batch/bw/global/bytes_per_second"], values["swath/bytes"] / values["swath/batch/time/median"],
                               delta=1)
        self.assertIn("share", self.ok("bench", "-b", "ema", "-a", "elements=1000", "--mode", "cold,batched", *self.QUICK).stdout)

    def test_processor_time(self):
        result = self.json("bench", "-b", "margin_loss", "-a", "rows=64", "-a", "cols=128", "--cpu-time", *self.QUICK)
        self.assertIn("processor time", result["devices"][0]["name"])
        values = {s["tag"]: float(s["data"][0]["value"]) for s in result["benchmarks"][0]["states"][0]["summaries"]}
        self.assertGreater(values["swath/batch/time/median"], 0)

    def test_profile_runs_once_without_times(self):
        result = self.json("bench", "-b", "sgd", "-a", "elements=100", "--profile")
        state = result["benchmarks"][0]["states"][0]
        self.assertTrue(state["is_skipped"])
        self.assertEqual(state["skip_reason"], "--profile")
        with open(self.path("once.json"), "w") as file:
            json.dump(result, file)
        self.refused(3, ["once.json", "no times"], "bench", "compare", "once.json", "once.json")

    def test_refuses(self):
        self.refused(2, ["margin_los", "did you mean margin_loss?"], "bench", "-b", "margin_los")
        self.refused(2, ["row", "did you mean rows?"], "bench", "-b", "margin_loss", "-a", "row=3")
        self.refused(2, ["elements", "1 to"], "bench", "-b", "adam", "-a", "elements=0")
        self.refused(2, ["bits", "16, 32"], "bench", "-b", "pool.average", "-a", "bits=8")
        self.refused(2, ["rows=x"], "bench", "-b", "margin_loss", "-a", "rows=x")
        self.refused(2, ["--min-time"], "bench", "-b", "ema", "--min-time", "soon")
        self.refused(2, ["--mode", "warm"], "bench", "-b", "ema", "--mode", "warm")
        self.refused(2, ["tpu"], "bench", "-b", "ema", "--device", "tpu")
        self.refused(2, ["unknown option --max-nois", "--max-noise"], "bench", "--max-nois", "3")
        unwritable = self.start("bench", "-b", "ema", "-a", "elements=10", *self.QUICK, "--json", "absent/r.json")
        self.assertEqual((unwritable.returncode, "absent/r.json" in unwritable.stderr), (3, True), unwritable.stderr)

    def state(self, name, low, median, high):
        tags = {"swath/batch/time/low": low, "swath/batch/time/median": median, "swath/batch/time/high": high}
        return {"description": name, "is_skipped": False,
                "summaries": [{"tag": tag, "data": [{"value": str(value)}]} for tag, value in tags.items()]}

    def write_results(self, name, states):
        with open(self.path(name), "w") as file:
            json.dump({"devices": [{"name": "processor"}], "benchmarks": [{"name": "k", "states": states}]}, file)

    def test_compare(self):
        self.write_results("a.json", [self.state("rows=%d" % i, 0.99, 1, 1.01) for i in range(4)] + [self.state("gone", 1, 1, 1)])
        self.write_results("b.json", [self.state("rows=0", 0.98, 1, 1.02), self.state("rows=1", 0.49, 0.5, 0.51),
                                      self.state("rows=2", 1.9, 2, 2.1), self.state("rows=3", 0.5, 1, 2)])
        shown = self.ok("bench", "compare", "a.json", "b.json").stdout
        self.assertIn("1 same, 1 faster, 1 slower, 1 undecided", shown)
        self.assertIn("gone batched: only in a.json", shown)
        compared = self.json("bench", "compare", "a.json", "b.json")
        self.assertEqual([c["verdict"] for c in compared["comparisons"]], ["SAME", "FASTER", "SLOWER", "UNDECIDED"])
        failed = self.start("bench", "compare", "a.json", "b.json", "--fail-slower", "--json")
        self.assertEqual((failed.returncode, json.loads(failed.stdout)["slower"]), (8, 1))
        self.assertEqual(self.start("bench", "compare", "a.json", "a.json", "--fail-slower").returncode, 0)
        self.assertEqual(self.start("bench", "compare", "a.json", "b.json", "--fail-slower", "--threshold", "150").returncode, 0)

    def test_compare_refuses(self):
        self.write_results("a.json", [self.state("rows=1", 1, 1, 1)])
        self.write_results("other.json", [self.state("rows=2", 1, 1, 1)])
        self.write_results("backwards.json", [self.state("rows=1", 2, 1, 1)])
        for name, text in (("cut.json", '{"devices": ['), ("list.json", "[]"), ("empty.json", ""), ("words.json", '{"devices": [{"name": 3}]}')):
            with open(self.path(name), "w") as file:
                file.write(text)
            self.refused(3, [name], "bench", "compare", "a.json", name)
        self.refused(3, ["backwards.json"], "bench", "compare", "backwards.json", "a.json")
        self.refused(3, ["nowhere.json"], "bench", "compare", "a.json", "nowhere.json")
        self.refused(2, ["in common"], "bench", "compare", "a.json", "other.json")
        self.refused(2, ["--threshold"], "bench", "compare", "a.json", "a.json", "--threshold=-1")
        self.refused(2, ["required"], "bench", "compare", "a.json")


if __name__ == "__main__":
    unittest.main()
