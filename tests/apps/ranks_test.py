"""swath train on several ranks of this machine, started by mpirun as a user does: results, losses of ranks, refusals."""
import array
import json
import os
import re
import signal
import subprocess
import time
import unittest

from program_test import SMALL, SWATH, Program

LAUNCHER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ranks.sh")
WAIT = 600  # seconds: only a broken program takes long
SYNC = ["--set", "ranks.sync_batch_norm=true"]


# Each rank leaves its own exit code, which mpirun does not tell, behind it; a signal to it ends no script.
RANK = """#!/bin/sh
trap : TERM
"$@"
echo $? > "$SWATH_CODES.$OMPI_COMM_WORLD_RANK"
"""


def launcher_is_open_mpi():
    try:
        return "Open MPI" in subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return False


class RankProgram(Program):
    @classmethod
    def setUpClass(cls):
        if not launcher_is_open_mpi() and os.environ.get("CI") != "true":
            raise unittest.SkipTest("mpirun of Open MPI is not installed")
        super().setUpClass()
        with open(os.path.join(cls.folder, "rank.sh"), "w") as file:
            file.write(RANK)
        os.chmod(os.path.join(cls.folder, "rank.sh"), 0o755)

    def command(self, ranks, name, *words, script=()):
        return [LAUNCHER, str(ranks), *script, SWATH, "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set",
                "epochs=2", "--set", f"run.name={name}", *words]

    def together(self, ranks, name, *words):
        return subprocess.run(self.command(ranks, name, *words), cwd=self.folder, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=WAIT)

    def begin(self, ranks, name, *words):
        """A training that goes on for long, once it has made some steps: the launcher, and the ranks' processes."""
        env = {**os.environ, "SWATH_MPIRUN_ARGS": "--enable-recovery", "SWATH_CODES": self.path(name)}
        launcher = subprocess.Popen(self.command(ranks, name, "--set", "epochs=500", "--set", "validation.every=500", *words,
                                                 script=[self.path("rank.sh")]),
                                    cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    stdin=subprocess.DEVNULL, env=env)
        log = self.path("runs", name, "train.csv")
        until = time.monotonic() + WAIT
        while not os.path.exists(log) or len(open(log).readlines()) < 4:
            if launcher.poll() is not None or time.monotonic() > until:
                launcher.kill()
                self.fail(launcher.communicate()[1])
            time.sleep(0.2)
        return launcher, self.processes(name)

    def processes(self, name):
        """The program's process of each rank."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    environment = dict(word.split("=", 1) for word in file.read().decode(errors="replace").split("\0") if "=" in word)
                program = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if environment.get("SWATH_CODES") == self.path(name) and program == os.path.realpath(SWATH):
                found[int(environment["OMPI_COMM_WORLD_RANK"])] = int(pid)
        return found

    def codes(self, name):
        """Exit codes by rank."""
        found = {}
        for file in os.listdir(self.folder):
            if file.startswith(name + "."):
                with open(self.path(file)) as code:
                    found[int(file.split(".")[1])] = int(code.read())
        return found

    def sentences(self, text):
        return [line for line in text.splitlines() if line.startswith("swath: ")]

    def steps_of(self, name):
        files = os.listdir(self.path("runs", name, "checkpoints"))
        return max((int(f[5:14]) for f in files if f.startswith("step-")), default=0)


class Ranks(RankProgram):
    def test_two_ranks_train_as_one_and_go_on_as_any_number(self):
        done = self.together(2, "two", *SYNC)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 ranks", done.stderr)
        self.assertEqual(done.stdout.count("steps in"), 1, done.stdout)
        self.ok("train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "epochs=2", "--set", "run.name=one", *SYNC)
        losses = {}
        for name in ("one", "two"):
            with open(self.path("runs", name, "train.csv")) as file:
                losses[name] = [float(line.split(",")[2]) for line in file.read().splitlines()[1:]]
        self.assertEqual(len(losses["one"]), len(losses["two"]))
        # Later ones part ways: triplets are chosen, and an update divides by the size of a gradient.
        self.assertAlmostEqual(losses["one"][0], losses["two"][0], delta=1e-4 * losses["one"][0])
        self.ok("train", "--resume", "runs/two", "--set", "epochs=3", "--set", "ranks.timeout=600")
        more = self.together(3, "two", "--resume", "auto", "--set", "epochs=4", *SYNC)
        self.assertEqual(more.returncode, 0, more.stderr)

    def test_another_number_of_ranks_is_refused_without_joint_statistics(self):
        done = self.together(2, "own")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.refused(2, ["runs/own", "2 ranks", "sync_batch_norm"], "train", "--resume", "runs/own", "--set", "epochs=3")
        more = self.together(2, "own", "--resume", "auto", "--set", "epochs=3")
        self.assertEqual(more.returncode, 0, more.stderr)

    def test_clusters_and_queues_over_ranks(self):
        for recipe in ("dac", "diva"):
            done = self.together(2, recipe, "--set", f"recipe={recipe}", "--set", "dac.kmeans.clusters=2", "--set", "epochs=1",
                                 "--set", "sampler.batch_size=9", "--set", "sampler.last=drop", "--set", "moco.n_key_batches=2")
            self.assertEqual(done.returncode, 0, done.stderr)

    def bank_of(self, name):
        """The memory bank in the newest checkpoint: its shape, its bytes."""
        folder = self.path("runs", name, "checkpoints")
        newest = max(file for file in os.listdir(folder) if file.startswith("step-"))
        with open(os.path.join(folder, newest), "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))["nca.bank"]
            file.seek(8 + length + entry["data_offsets"][0])
            return entry["shape"], file.read(entry["data_offsets"][1] - entry["data_offsets"][0])

    def test_a_bank_in_slices_is_saved_and_resumed_as_one(self):
        still = ["--set", "recipe=sndl", "--set", "sampler.batch_size=10", "--set", "sampler.last=drop", "--set", "epochs=1", *SYNC]
        for group in ("backbone", "head", "regressor"):
            still += ["--set", f"optimizer.{group}.lr=0"]
        sharded = ["--set", "nca.sharded=true"]
        for name, words in (("whole", []), ("slices", sharded)):
            done = self.together(3, name, *still, *words)
            self.assertEqual(done.returncode, 0, done.stderr)
        # Weights stay as they are, so that the embeddings, and with them the rows, have the same bits.
        self.assertEqual(self.bank_of("slices"), self.bank_of("whole"))
        self.ok("train", "--resume", "runs/slices", "--set", "epochs=2", "--set", "nca.sharded=false")
        more = self.together(2, "slices", "--resume", "auto", *still, *sharded, "--set", "epochs=3")
        self.assertEqual(more.returncode, 0, more.stderr)
        more = self.together(3, "whole", "--resume", "auto", *still, "--set", "epochs=3")
        self.assertEqual(more.returncode, 0, more.stderr)
        # Another number of ranks normalises with sums of another order.
        (shape, slices), (same, whole) = self.bank_of("slices"), self.bank_of("whole")
        self.assertEqual(shape, same)
        furthest = max(abs(a - b) for a, b in zip(array.array("f", slices), array.array("f", whole)))
        self.assertLess(furthest, 1e-4)

    def disagree(self, script, what):
        """Two ranks whose commands differ by the script."""
        one = [SWATH, "train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "run.name=split", "--set",
               "run.directory=" + self.path("runs")]
        path = self.path("differ.sh")
        with open(path, "w") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)
        done = subprocess.run([LAUNCHER, "2", path, *one], cwd=self.folder, capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(done.returncode, 2, done.stderr)
        said = self.sentences(done.stderr)
        self.assertTrue(said and all(f"rank 1 has {what} other than rank 0's" in line for line in said), done.stderr)

    def test_ranks_that_disagree(self):
        self.disagree('exec "$@" --set seed=$OMPI_COMM_WORLD_RANK', "a configuration")
        self.assertFalse(os.path.exists(self.path("runs", "split")))

    def test_ranks_whose_data_differ(self):
        for rank in ("0", "1"):
            self.ok("scenes", "--out", f"place{rank}/scenes", "--images", "60", "--size", "32", "--seed", rank)
            packed = subprocess.run([SWATH, "pack", "--root", "scenes", "--packed", "packs", *SMALL],
                                    cwd=self.path(f"place{rank}"), capture_output=True, text=True)
            self.assertEqual(packed.returncode, 0, packed.stderr)
        self.disagree('cd place$OMPI_COMM_WORLD_RANK && exec "$@"', "training images or labels")

    def test_a_launcher_that_mpi_does_not_see(self):
        done = self.start("train", "--root", "scenes", "--packed", "packs", *SMALL, env={
            "SLURM_STEP_NUM_TASKS": "2", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("started 2 processes, but MPI sees 1", done.stderr)


class LostRanks(RankProgram):
    def lose(self, name, rank, how, *words):
        # A step's line is written up to six steps later.
        launcher, processes = self.begin(3, name, "--set", "run.log_every=7", *words)
        self.assertEqual(sorted(processes), [0, 1, 2])
        os.kill(processes[rank], how)
        _, errors = launcher.communicate(timeout=WAIT)
        return errors, processes[rank]

    def named_and_saved(self, name, ranks, lost, what, errors):
        """The ranks that are left each name one of the lost ones (their processes by rank) and say which step is saved, and end
        with code 6. Returns the step."""
        said = self.sentences(errors)
        self.assertEqual(len(said), ranks - len(lost), errors)
        steps = set()
        for line in said:
            named = re.search(r"rank (\d+) \([^()]*, process (\d+)\) (.*); saved after step (\d+), continue with --resume", line)
            self.assertIsNotNone(named, line)
            self.assertEqual(lost.get(int(named.group(1))), int(named.group(2)), line)
            self.assertTrue(named.group(3).startswith(what), line)
            steps.add(int(named.group(4)))
        self.assertEqual(steps, {self.steps_of(name)}, errors)
        if 0 not in lost:  # which kept the log, and may have taken its last lines along
            with open(self.path("runs", name, "train.csv")) as file:
                logged = [int(line.split(",")[0]) for line in file.read().splitlines()[1:]]
            self.assertEqual(logged, list(range(1, max(steps) + 1)))
        left = {r: code for r, code in self.codes(name).items() if r not in lost}
        self.assertEqual(left, {r: 6 for r in range(ranks) if r not in lost})
        with open(self.path("runs", name, "status.json")) as file:
            self.assertEqual(json.load(file)["exit_code"], 6)
        return steps.pop()

    def stop(self, name, ranks, *stopped):
        """Ranks that hang one after the other, with a time-out of 20 s: the launcher's errors, the stopped processes by rank."""
        launcher, processes = self.begin(ranks, name, "--set", "ranks.timeout=20", *SYNC)
        begun = time.monotonic()
        for rank in stopped:
            os.kill(processes[rank], signal.SIGSTOP)
            time.sleep(1.5)
        while len(self.codes(name)) < ranks - len(stopped) and time.monotonic() < begun + WAIT:
            time.sleep(0.2)
        seconds = time.monotonic() - begun
        for rank in stopped:
            os.kill(processes[rank], signal.SIGKILL)
        _, errors = launcher.communicate(timeout=WAIT)
        print(f"{len(stopped)} hung of {ranks}: the others ended after {seconds:.1f} s, ranks.timeout=20")
        self.assertLess(seconds, 20 + 10, errors)
        return errors, {rank: processes[rank] for rank in stopped}

    def test_a_rank_that_dies_is_named_and_the_others_save(self):
        errors, process = self.lose("killed", 2, signal.SIGKILL, *SYNC)
        step = self.named_and_saved("killed", 3, {2: process}, "died", errors)
        self.assertGreater(step, 0)
        more = self.together(2, "killed", "--resume", "auto", "--set", "epochs=1", *SYNC)
        self.assertEqual(more.returncode, 0, more.stderr)

    def test_a_slice_of_the_bank_is_lost_with_its_rank(self):
        errors, process = self.lose("slice", 2, signal.SIGKILL, "--set", "recipe=sndl", "--set", "nca.sharded=true", "--set",
                                    "sampler.batch_size=10", "--set", "sampler.last=drop", *SYNC)
        said = self.sentences(errors)
        self.assertEqual(len(said), 2, errors)
        for line in said:
            self.assertIn(f"process {process}) died, and a slice of the memory bank with it (nca.sharded); continue from the last", line)
        self.assertEqual({r: code for r, code in self.codes("slice").items() if r != 2}, {0: 6, 1: 6})

    def test_rank_0_dies(self):
        errors, process = self.lose("headless", 0, signal.SIGKILL)
        self.named_and_saved("headless", 3, {0: process}, "died", errors)

    def test_two_ranks_die_at_once(self):
        launcher, processes = self.begin(4, "halved", *SYNC)
        for rank in (0, 1):
            os.kill(processes[rank], signal.SIGKILL)
        _, errors = launcher.communicate(timeout=WAIT)
        self.named_and_saved("halved", 4, {0: processes[0], 1: processes[1]}, "died", errors)
        more = self.together(2, "halved", "--resume", "auto", "--set", "epochs=1", *SYNC)
        self.assertEqual(more.returncode, 0, more.stderr)

    def test_a_rank_that_hangs_is_named(self):
        errors, stopped = self.stop("hung", 3, 1)
        self.named_and_saved("hung", 3, stopped, "has not answered for 20 s", errors)

    def test_two_ranks_hang_of_which_one_would_save(self):
        errors, stopped = self.stop("frozen", 4, 2, 0)
        self.named_and_saved("frozen", 4, stopped, "has not answered for 20 s", errors)
        more = self.together(2, "frozen", "--resume", "auto", "--set", "epochs=1", *SYNC)
        self.assertEqual(more.returncode, 0, more.stderr)

    def test_a_stop_is_agreed_on(self):
        launcher, processes = self.begin(2, "stopped")
        os.kill(processes[1], signal.SIGTERM)
        _, errors = launcher.communicate(timeout=WAIT)
        self.assertEqual(self.codes("stopped"), {0: 75, 1: 75}, errors)
        self.assertEqual(self.sentences(errors)[0].count("stopped on request after step"), 1)
        self.assertGreater(self.steps_of("stopped"), 0)


if __name__ == "__main__":
    unittest.main()
