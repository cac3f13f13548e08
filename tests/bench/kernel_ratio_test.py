"""bench/kernel_ratio.py at tiny sizes: every method has its peer, and both are timed at the same sizes. Times are not judged.

Exits with 77 where SWATH_PEERS_PYTHON, else the Python that runs this, has no torch or no pytorch-metric-learning.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = os.environ["SWATH_PROGRAM"]
SCRIPT = Path(__file__).parents[2] / "bench" / "kernel_ratio.py"
PEERS_PYTHON = os.environ.get("SWATH_PEERS_PYTHON", sys.executable)
SIZES = {(rows, cols) for rows in (24, 40) for cols in (16, 32)}
LOSSES = {"margin", "binomial", "adversarial", "moco"}
MINERS = {"semihard", "distance", "random_distance", "intra_random", "multilabel_semihard"}


class KernelRatio(unittest.TestCase):
    def run_script(self, *words):
        return subprocess.run([sys.executable, str(SCRIPT), PROGRAM, "--seconds", "0.01", "--rounds", "2", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "SWATH_PEERS_PYTHON": PEERS_PYTHON})

    def test_every_method_against_its_peers(self):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "ratios.json"
            run = self.run_script("--rows", "24", "40", "--cols", "16", "32", "--bank", "700", "--cpu-time", "--json", str(report))
            self.assertEqual(run.returncode, 0, run.stderr)
            found = json.loads(report.read_text())
        self.assertEqual((found["threads"], found["clock"]), (1, "cpu"))
        sizes = {}
        for row in found["rows"]:
            sizes.setdefault(row["name"], set()).add((row["rows"], row["cols"]))
            self.assertGreater(row["swath_ms"], 0)
            self.assertGreater(row["peer_ms"], 0)
            self.assertTrue(math.isfinite(row["ratio"]))
            self.assertLessEqual(row["lowest"], row["ratio"])
        for name in LOSSES | MINERS:
            self.assertEqual(sizes.pop(name), SIZES, name)
        self.assertEqual(sizes, {"bce": {(24, 43), (40, 43)}, "weight_norm": {(0, 16), (0, 32)}, "nca": {(120, 512)}})
        judged = {row["name"] for row in found["rows"] if row["floor"] is not None}
        self.assertEqual(judged, LOSSES | MINERS | {"bce", "weight_norm", "nca"})
        self.assertEqual(len(run.stdout.splitlines()), 1 + len(found["rows"]))

    def test_an_unknown_method(self):
        run = self.run_script("--only", "no_such_loss")
        self.assertEqual(run.returncode, 2)
        self.assertIn("no_such_loss", run.stderr)


if __name__ == "__main__":
    if subprocess.run([PEERS_PYTHON, "-c", "import torch, pytorch_metric_learning"], stderr=subprocess.DEVNULL).returncode != 0:
        print(f"skipped: {PEERS_PYTHON} has no torch and pytorch-metric-learning", file=sys.stderr)
        sys.exit(77)
    unittest.main()
