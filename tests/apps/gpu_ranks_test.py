"""swath train on two ranks with a GPU each, real or simulated, as ranks_test.py does on CPUs."""
import os
import signal
import unittest

from ranks_test import SYNC, RankProgram

HERE = os.path.dirname(os.path.abspath(__file__))
ON_DEVICE = [os.path.join(os.path.dirname(HERE), "on_cuda_device.sh"), os.environ.get("SWATH_GPUSIM", "")]
CUDA = ["--set", "device=cuda", "--set", "validation.retrieval.retriever.faiss=cpu", "--set", "sampler.last=drop"]


class GpuRanks(RankProgram):
    def command(self, ranks, name, *words, script=()):
        return super().command(ranks, name, *CUDA, *words, script=[*script, *ON_DEVICE])

    def test_a_rank_that_dies_is_named_and_the_other_saves(self):
        launcher, processes = self.begin(2, "killed", *SYNC, "--set", "ranks.timeout=120")
        os.kill(processes[1], signal.SIGKILL)
        _, errors = launcher.communicate(timeout=600)
        self.assertEqual(self.codes("killed")[0], 6, errors)
        step = self.steps_of("killed")
        self.assertGreater(step, 0)
        said = self.sentences(errors)
        self.assertEqual(len(said), 1, errors)
        self.assertIn(f"process {processes[1]}) died; saved after step {step}, continue with --resume", said[0])
        # Weights and moments are those of that step, so the run goes on from it, with another number of ranks on CPUs.
        more = self.start("train", "--resume", "runs/killed", "--set", "device=cpu", "--set", "epochs=1", "--json")
        self.assertEqual(more.returncode, 0, more.stderr)

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
