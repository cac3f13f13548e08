"""Logs of runs as their official readers see them: TensorBoard's EventAccumulator, and `wandb sync` against a server on
loopback (wandb_server.py). Exits 77 without those packages outside CI."""
import glob
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import unittest
import zlib

from program_test import SMALL, SWATH, Program
from wandb_server import Server

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from wandb.proto import wandb_internal_pb2
except ImportError as missing:
    print(missing)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)

BIN = os.path.dirname(sys.executable)
KEY = "0123456789" * 4
FEW = ["--set", "validation.retrieval.ks=[1,2]", "--set", 'validation.retrieval.metrics=["recall","map"]']


def float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


class Logs(Program):
    def records(self, name):
        with open(self.path("runs", name, "metrics.jsonl")) as file:
            return [json.loads(line) for line in file]

    def status(self, name):
        with open(self.path("runs", name, "status.json")) as file:
            return json.load(file)

    def config(self, name):
        with open(self.path("runs", name, "config.json")) as file:
            return json.load(file)

    def without_time(self, name):
        return [{key: value for key, value in record.items() if key != "time"} for record in self.records(name)]

    def scalars_of(self, records):
        """What a log of scalars must hold: tag → [(step, float32)]."""
        found = {}
        for record in records:
            for key, value in record.items():
                if key not in ("group", "step", "epoch", "time"):
                    found.setdefault(record["group"] + "/" + key, []).append((record["step"], float32(value)))
        return found

    def events(self, name):
        events = EventAccumulator(self.path("runs", name), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        return events

    def scalars(self, name):
        events = self.events(name)
        return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    def text(self, name, tag):
        values = [e.tensor_proto.string_val[0].decode() for e in self.events(name).Tensors(tag)]
        self.assertEqual(len(values), 1, "doubles")
        return json.loads(values[0].removeprefix("```json\n").removesuffix("\n```"))

    def wandb_files(self, name):
        return sorted(glob.glob(self.path("runs", name, "wandb", "offline-run-*", "run-*.wandb")))

    def wandb_file(self, name):
        found = self.wandb_files(name)
        self.assertEqual(len(found), 1)
        return found[0]

    def wandb_records(self, file):
        """The whole records of a .wandb file, parsed by W&B's own messages."""
        with open(file, "rb") as opened:
            data = opened.read()
        self.assertEqual(data[:7], b":W&B\xe1\xbe\x00")
        at, payload, records = 7, b"", []
        while at + 7 <= len(data):
            if 32768 - at % 32768 < 7:
                at += 32768 - at % 32768
                continue
            crc, length, kind = struct.unpack_from("<IHB", data, at)
            if at + 7 + length > len(data):
                break
            self.assertEqual(crc, zlib.crc32(data[at + 6:at + 7 + length]))
            payload = (payload if kind in (3, 4) else b"") + data[at + 7:at + 7 + length]
            if kind in (1, 4):
                records.append(wandb_internal_pb2.Record.FromString(payload))
            at += 7 + length
        return records

    def history_of(self, name):
        rows = [r.history for file in self.wandb_files(name) for r in self.wandb_records(file) if r.WhichOneof("record_type") == "history"]
        return [{item.key: json.loads(item.value_json) for item in row.item} for row in rows]

    def assert_rows_equal(self, rows, records):
        """Rows of W&B's history against records of metrics.jsonl: all of them, in order, counted by _step."""
        self.assertEqual(len(rows), len(records))
        for number, (row, record) in enumerate(zip(rows, records)):
            wanted = {"step": record["step"], "epoch": record["epoch"], "_step": number, "_timestamp": record["time"]}
            wanted.update({record["group"] + "/" + key: value for key, value in record.items()
                           if key not in ("group", "step", "epoch", "time")})
            row = dict(row)
            self.assertGreaterEqual(row.pop("_runtime"), 0)
            self.assertEqual(row, wanted)

    def environment(self, server=None, path=BIN):
        home = self.path("home")  # without a netrc or settings of W&B
        os.makedirs(home, exist_ok=True)
        found = {**os.environ, "HOME": home, "PATH": path, "WANDB_API_KEY": KEY}
        if server:
            found["WANDB_BASE_URL"] = server.url
        return found

    def sync(self, server, path, *words, said="Finished syncing"):
        done = subprocess.run([os.path.join(BIN, "wandb"), "sync", *words, path], cwd=self.folder, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=self.environment(server), timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(said, done.stderr + done.stdout)

    def trained(self, name, *words, code=0, env=None):
        done = subprocess.run([SWATH, "train", "--root", "scenes", "--packed", "packs", *SMALL, *FEW, "--set", f"run.name={name}",
                               *words], cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        return done


class TensorBoard(Logs):
    def test_curves_configuration_and_summary(self):
        self.trained("curves", "--set", "epochs=2", "--set", "validation.every=1")
        self.assertEqual(self.scalars("curves"), self.scalars_of(self.records("curves")))
        self.assertEqual(self.text("curves", "configuration"), self.config("curves"))
        summary, status = self.text("curves", "summary"), self.status("curves")
        self.assertEqual(summary, {"exit_code": 0, **status["summary"]})
        self.assertEqual(status["exit_code"], 0)
        self.assertLessEqual(status["started"], self.records("curves")[0]["time"])
        self.assertLessEqual(self.records("curves")[-1]["time"], status["ended"])
        last = [r for r in self.records("curves") if r["group"] == "val"][-1]
        self.assertEqual(summary["val/recall@1"], last["recall@1"])
        self.assertEqual(summary["best/recall@1"], max(r["recall@1"] for r in self.records("curves")
                                                       if r["group"] == "val" and r["epoch"] > 0))

    def test_a_continued_run(self):
        self.trained("continued", "--set", "epochs=1")
        self.ok("train", "--resume", "runs/continued", "--set", "epochs=2")
        self.assertEqual(len(glob.glob(self.path("runs/continued/*tfevents*"))), 1)
        self.assertEqual(self.scalars("continued"), self.scalars_of(self.records("continued")))
        self.assertEqual(self.text("continued", "summary")["epoch"], 2)

    def test_off(self):
        self.trained("none", "--set", "epochs=1", "--set", "tracking.tensorboard=false")
        self.assertEqual(glob.glob(self.path("runs/none/*tfevents*")), [])
        self.assertFalse(os.path.exists(self.path("runs/none/wandb")))

    def test_a_reader_takes_a_file_cut_anywhere(self):
        self.trained("cut", "--set", "epochs=1")
        file = glob.glob(self.path("runs/cut/*tfevents*"))[0]
        whole = self.scalars("cut")
        with open(file, "rb") as opened:
            data = opened.read()
        chance = random.Random(1)
        for size in [0, 1, 12, len(data) - 1] + [chance.randrange(len(data)) for _ in range(40)]:
            with open(file, "wb") as opened:
                opened.write(data[:size])
            for tag, values in self.scalars("cut").items():
                self.assertEqual(values, whole[tag][:len(values)])


class Wandb(Logs):
    def offline(self, name, *words, **more):
        return self.trained(name, "--set", "tracking.wandb=offline", *words, **more)

    def test_sync_uploads_everything(self):
        self.offline("whole", "--set", "epochs=12", "--set", "validation.every=1", "--set", "tracking.project=land cover", "--set",
                     "tracking.group=trials", "--set", "tracking.name=first", "--set", "validation.retrieval.metrics=[]")
        self.assertGreater(os.path.getsize(self.wandb_file("whole")), 32768)
        with Server() as server:
            self.sync(server, os.path.dirname(self.wandb_file("whole")))
        self.assertEqual(len(server.runs), 1)
        run = list(server.runs.values())[0]
        self.assertEqual((run.created["project"], run.created["groupName"], run.created["displayName"]),
                         ("land cover", "trials", "first"))
        self.assert_rows_equal(run.history(), self.records("whole"))
        config = {key: entry["value"] for key, entry in run.config.items()}
        metrics = config.pop("_wandb")["m"]
        self.assertEqual(config, self.config("whole"))
        self.assertTrue([m for m in metrics if m.get("2") == "*"], "the step is the x axis")
        summary = run.summary()
        for key, value in self.status("whole")["summary"].items():
            self.assertEqual(summary[key], value, key)
        self.assertEqual((run.complete, run.exit_code), (True, 0))

    def test_a_continued_run_is_the_same_run(self):
        self.offline("again", "--set", "epochs=1")
        folder = self.path("runs/again/wandb")
        with Server() as server:
            self.sync(server, folder)
            self.ok("train", "--resume", "runs/again", "--set", "epochs=2")
            self.assertEqual(len(self.wandb_files("again")), 2)  # what was uploaded is not sent again
            self.sync(server, folder)
        self.assertEqual(len(server.runs), 1)
        run = list(server.runs.values())[0]
        self.assert_rows_equal(run.history(), self.records("again"))
        self.assertEqual(run.created["displayName"], "again")

    def test_exit_codes(self):
        self.offline("wild", "--set", "epochs=200", "--set", "optimizer.kind=sgd", "--set", "validation.every=200", "--set",
                     "validation.untrained=false", *[word for part in ("backbone", "head") for word in (
                         "--set", f"optimizer.{part}.lr=10", "--set", f"optimizer.{part}.weight_decay=1")], code=5)
        process = subprocess.Popen([SWATH, "train", "--root", "scenes", "--packed", "packs", *SMALL, *FEW, "--set", "run.name=stop",
                                    "--set", "epochs=200", "--set", "tracking.wandb=offline"], cwd=self.folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(self.path("runs/stop/train.csv")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=120), 75)
        for name, code, word in (("wild", 5, "lower optimizer"), ("stop", 75, "--resume")):
            last = self.wandb_records(self.wandb_file(name))[-1]
            self.assertEqual((last.WhichOneof("record_type"), last.exit.exit_code), ("exit", code))
            self.assertEqual(self.text(name, "summary")["exit_code"], code)
            self.assertEqual(self.status(name)["exit_code"], code)
            self.assertIn(word, self.status(name)["error"])
        with Server() as server:
            self.sync(server, self.wandb_file("wild"))
        self.assertEqual(list(server.runs.values())[0].exit_code, 5)

    def test_online_with_the_real_program(self):
        with Server() as server:
            done = self.trained("online", "--set", "tracking.wandb=online", "--set", "epochs=2", "--set", "validation.every=1",
                                env=self.environment(server))
        self.assertNotIn("not uploaded", done.stderr)
        self.assertEqual(len(server.runs), 1)
        run = list(server.runs.values())[0]
        self.assert_rows_equal(run.history(), self.records("online"))
        self.assertEqual((run.complete, run.exit_code), (True, 0))
        self.assertEqual(len(server.authorizations - {None}), 1)  # the program found the key by itself
        for folder, _, files in os.walk(self.path("runs/online")):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(KEY.encode(), file.read(), name)

    def program(self, name, text):
        os.makedirs(self.path(name), exist_ok=True)
        with open(self.path(name, "wandb"), "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(self.path(name, "wandb"), 0o755)
        return self.path(name) + ":/usr/bin:/bin"

    def test_online_at_every_validation(self):
        path = self.program("fast", 'echo "$@" >>calls\nshift\nfor file; do touch "$file.synced"; done\n')
        done = self.trained("often", "--set", "tracking.wandb=online", "--set", "epochs=3", "--set", "validation.every=1",
                            env=self.environment(path=path))
        self.assertNotIn("wandb", done.stderr)
        with open(self.path("calls")) as file:
            calls = [line.split() for line in file]
        files = [os.path.relpath(file, self.folder) for file in self.wandb_files("often")]
        self.assertEqual(calls, [["sync", file] for file in files])
        self.assertEqual(len(files), 5)  # untrained, three epochs, the end
        for number, file in enumerate(files):
            records = self.wandb_records(self.path(file))
            self.assertEqual(records[-1].exit.not_complete, number < 4)
            self.assertEqual([record.num for record in records], list(range(1, len(records) + 1)))
        self.assert_rows_equal(self.history_of("often"), self.records("often"))

    def test_online_says_what_is_missing(self):
        done = self.trained("missing", "--set", "tracking.wandb=online", "--set", "epochs=1", env=self.environment(path="/nowhere"))
        self.assertIn("no program wandb in PATH", done.stderr)
        self.assertIn("wandb sync runs/missing/wandb", done.stderr)
        self.assert_rows_equal(self.history_of("missing"), self.records("missing"))
        done = self.trained("failing", "--set", "tracking.wandb=online", "--set", "epochs=1",
                            env=self.environment(path=self.program("bad", "echo no such server\n")))
        self.assertIn("has not uploaded", done.stderr)
        with open(self.path("runs/failing/wandb/sync.log")) as file:
            self.assertEqual(file.read(), "no such server\n")

    def test_a_project_that_wandb_would_refuse(self):
        self.refused(2, ["tracking.project"], "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set",
                     "tracking.wandb=offline", "--set", "tracking.project=a/b")
        self.refused(2, ["tracking.wandb"], "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "tracking.wandb=on")


class Killed(Logs):
    """kill -9 at random moments, then the readers; at last a comparison with a run that was not interrupted."""
    WORDS = ["--set", "epochs=4", "--set", "validation.every=1", "--set", "tracking.wandb=offline"]

    def start_and_kill(self, words, chance):
        process = subprocess.Popen([SWATH, "train", *words], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        end = time.time() + 120
        while process.poll() is None and time.time() < end and (
                not os.path.exists(self.log) or os.path.getsize(self.log) == before):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.7)
        process.kill()
        return process.wait() == -signal.SIGKILL

    def values_of(self, row):
        return {key: value for key, value in row.items() if key not in ("_runtime", "_timestamp")}

    def assert_prefix(self, part, whole):
        for tag, values in part.items():
            self.assertEqual(values, whole[tag][:len(values)], tag)

    def test_no_gaps_and_no_doubles(self):
        self.trained("whole", *self.WORDS)
        whole = self.scalars("whole")
        self.log = self.path("runs/killed/metrics.jsonl")
        seed = int(time.time())
        print("seed", seed)
        chance, kills = random.Random(seed), 0
        words = ["--root", "scenes", "--packed", "packs", *SMALL, *FEW, "--set", "run.name=killed", *self.WORDS]
        with Server() as server:
            for attempt in range(6):
                if not self.start_and_kill(words + ["--resume", "auto"], chance):
                    break
                kills += 1
                self.assert_prefix(self.scalars("killed"), whole)
                rows = self.history_of("killed")
                self.assertEqual([row["_step"] for row in rows], list(range(len(rows))))
                if attempt % 3 == 0:
                    self.sync(server, self.path("runs/killed/wandb"))
                    self.assertEqual([row["_step"] for row in list(server.runs.values())[0].history()], list(range(len(rows))))
            self.ok("train", *words, "--resume", "auto")
            self.sync(server, self.path("runs/killed/wandb"))
        print(kills, "kills")
        self.assertGreaterEqual(kills, 2)
        self.assertEqual(self.without_time("killed"), self.without_time("whole"))
        self.assertEqual(self.scalars("killed"), whole)
        self.assertEqual(self.text("killed", "summary"), self.text("whole", "summary"))
        for group in ("train", "val"):
            with open(self.path("runs/killed", group + ".csv")) as one, open(self.path("runs/whole", group + ".csv")) as other:
                self.assertEqual(one.read(), other.read())
        self.assertEqual(len(server.runs), 1)
        rows = list(server.runs.values())[0].history()
        self.assertEqual([row["_step"] for row in rows], list(range(len(rows))))
        self.assertEqual([self.values_of(row) for row in rows], [self.values_of(row) for row in self.history_of("whole")])

    def test_wandb_takes_a_file_cut_anywhere(self):
        self.trained("cut", "--set", "epochs=1", "--set", "tracking.wandb=offline")
        file, records = self.wandb_file("cut"), self.records("cut")
        with open(file, "rb") as opened:
            data = opened.read()
        chance = random.Random(2)
        with Server() as server:
            for size in [len(data) - 1] + [chance.randrange(len(data) * 3 // 4, len(data)) for _ in range(3)]:
                with open(file, "wb") as opened:
                    opened.write(data[:size])
                rows = len(self.history_of("cut"))
                server.runs.clear()
                self.sync(server, file, said="View run")
                self.assert_rows_equal(list(server.runs.values())[0].history(), records[:rows])


if __name__ == "__main__":
    unittest.main()
