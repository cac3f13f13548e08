"""Training with more memory than the device has: the sentence names a batch that fits, and that batch trains."""
import re
import unittest

from program_test import Program

MEMORY_MB = 220  # of the simulated device; a real one is too large for a quick test
ROWS = 120


class OutOfMemory(Program):
    archive = False

    def setUp(self):
        self.ok("scenes", "--out", "scenes", "--images", "320", "--size", "32", "--seed", "1")
        device = self.json("bench", "--device", "cuda:0", "-b", "ema", "-a", "elements=500", "--min-time", "0.001", "--timeout", "1")
        if not device["devices"][0]["simulated"]:
            self.skipTest("only a simulated device can be made small")

    def train(self, name, rows, memory=MEMORY_MB, *words):
        return self.start("train", "--root", "scenes", "--packed", "packs", "--device", "cuda:0", "--set", "data.image_size=32",
                          "--set", "model.backbone=resnet18", "--set", "model.embedding=16", "--set", "epochs=1", "--set",
                          "validation.untrained=false", "--set", "sampler.kind=shuffled", "--set", f"sampler.batch_size={rows}",
                          "--set", "sampler.last=drop", "--set", f"run.name={name}", "--set", "miner.name=semihard",
                          *words, env={"PTXSIM_MEMORY_MB": str(memory)})

    def test_the_batch_that_fits_is_named_and_trains(self):
        full = self.train("full", ROWS)
        self.assertEqual(full.returncode, 4, full.stderr)
        for part in ("out of memory", "MiB needed for", "MiB free", "in use: ", "sampler.batch_size"):
            self.assertIn(part, full.stderr)
        rows = int(re.search(r"a batch of (\d+) images would fit", full.stderr).group(1))
        self.assertTrue(2 <= rows < ROWS, rows)
        done = self.train("fits", rows, MEMORY_MB, "--memory")
        self.assertEqual(done.returncode, 0, done.stderr)
        said = re.search(r"largest batch in .*: (\d+) images", done.stderr)
        self.assertEqual(int(said.group(1)), rows)

    def test_a_network_that_does_not_fit_at_all_is_said(self):
        # Nothing of a step fits in the one; in the other the parameters do, their gradients do not.
        for memory in ("60", "150"):
            with self.subTest(memory=memory):
                done = self.train("none", ROWS, memory)
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertIn("MiB free", done.stderr)
                self.assertIn("not even a batch of two images would fit: choose a smaller crop or network", done.stderr)
                self.assertNotIn("smaller batch", done.stderr)


if __name__ == "__main__":
    unittest.main()
