"""swath train on two ranks with a GPU each, real or simulated, as ranks_test.py does on CPUs."""
import os
import signal
import time
import unittest

from ranks_test import SYNC, WAIT, RankProgram

HERE = os.path.dirname(os.path.abspath(__file__))
ON_DEVICE = [os.path.join(os.path.dirname(HERE), "on_cuda_device.sh"), os.environ.get("SWATH_GPUSIM", "")]
CUDA = ["--set", "device=cuda", "--set", "validation.retrieval.retriever.faiss=cpu", "--set", "sampler.last=drop"]


class GpuRanks(RankProgram):
    def command(self, ranks, name, *words, script=()):
        return super().command(ranks, name, *CUDA, *words, script=[*script, *ON_DEVICE])

    def named_and_saved(self, name, what, errors):
        """Rank 0 says what happened to the other and which step is saved, and ends with code 6."""
        self.assertEqual(self.codes(name)[0], 6, errors)
        step = self.steps_of(name)
        self.assertGreater(step, 0)
        said = self.sentences(errors)
        self.assertEqual(len(said), 1, errors)
        self.assertIn(f"{what}; saved after step {step}, continue with --resume", said[0])

    def test_a_rank_that_dies_is_named_and_the_other_saves(self):
        launcher, processes = self.begin(2, "killed", *SYNC, "--set", "ranks.timeout=120")
        os.kill(processes[1], signal.SIGKILL)
        _, errors = launcher.communicate(timeout=WAIT)
        self.named_and_saved("killed", f"process {processes[1]}) died", errors)
        # Weights and moments are those of that step, so the run goes on from it, with another number of ranks on CPUs.
        more = self.start("train", "--resume", "runs/killed", "--set", "device=cpu", "--set", "epochs=1", "--json")
        self.assertEqual(more.returncode, 0, more.stderr)

    def test_a_rank_that_hangs_is_named_and_the_other_saves(self):
        launcher, processes = self.begin(2, "hung", *SYNC, "--set", "ranks.timeout=20")
        os.kill(processes[1], signal.SIGSTOP)
        stopped = time.monotonic()
        while not self.codes("hung") and time.monotonic() < stopped + WAIT:
            time.sleep(0.2)
        seconds = time.monotonic() - stopped
        os.kill(processes[1], signal.SIGKILL)
        _, errors = launcher.communicate(timeout=WAIT)
        self.named_and_saved("hung", f"process {processes[1]}) has not answered for 20 s (ranks.timeout)", errors)
        print(f"the other rank ended after {seconds:.1f} s, ranks.timeout=20")
        self.assertLess(seconds, 20 + 10)

    def test_more_ranks_than_devices(self):
        done = self.together(3, "many")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertTrue(any("3 ranks of a machine have 2 CUDA devices; start one rank for each device" in line
                            for line in self.sentences(done.stderr)), done.stderr)

    def test_one_device_for_two_ranks(self):
        done = self.together(2, "shared", "--set", "device=cuda:0")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertTrue(any("ranks 0 and 1 would share a GPU" in line for line in self.sentences(done.stderr)), done.stderr)
        self.assertFalse(os.path.exists(self.path("runs", "shared")))


if __name__ == "__main__":
    unittest.main()
