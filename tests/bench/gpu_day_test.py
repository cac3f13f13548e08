"""bench/gpu_day.py at tiny sizes: every part runs and fills its tables, and what fails is said. gpu_day_test.py BUILD.

compute-sanitizer is a stand-in, which runs its program: a simulator has no place for the real one.
"""
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu_day.py"
BUILD = sys.argv.pop(1) if len(sys.argv) > 1 else ""
PARTS = ["device", "tests", "sanitizers", "kernels", "steps", "search", "peers", "training"]
SANITIZER = """#!/bin/sh
[ "$1 $3" = "--tool --error-exitcode" ] || exit 5
shift 4
"$@" || exit 9
echo "========= ERROR SUMMARY: 0 errors"
"""
BROKEN_PYTHON = """#!/bin/sh
[ "$1" = -c ] && exit 0
echo "CUDA error: the peer is broken" >&2
exit 3
"""


def torch_python():
    return os.environ.get("SWATH_TORCH_PYTHON") or os.environ.get("SWATH_PEERS_PYTHON") or sys.executable


def has(*modules):
    return subprocess.run([torch_python(), "-c", "import " + ", ".join(modules)], stderr=subprocess.DEVNULL).returncode == 0


class GpuDay(unittest.TestCase):
    def setUp(self):
        kept = tempfile.TemporaryDirectory()
        self.addCleanup(kept.cleanup)
        self.folder = Path(kept.name)

    def program(self, name, text):
        file = self.folder / name
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    def day(self, *words, **environment):
        """Exit code, parts by name, and the page."""
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run([sys.executable, str(SCRIPT), BUILD, "--out", str(self.folder / "out"), "--tiny", *words],
                              capture_output=True, text=True, env={**os.environ, "PATH": path, **environment})
        file = self.folder / "out" / "results.json"
        self.assertTrue(file.exists(), done.stderr)
        self.results = json.loads(file.read_text())
        return done.returncode, {part["name"]: part for part in self.results["parts"]}, (self.folder / "out" / "index.html").read_text()

    def test_every_part(self):
        self.program("compute-sanitizer", SANITIZER)
        code, parts, page = self.day()
        self.assertEqual(code, 0, parts)
        self.assertEqual(list(parts), PARTS)
        self.assertTrue(self.results["device"])
        self.assertIn(f"<title>swath on {self.results['device']}</title>", page)
        left_out = {name: part["note"] for name, part in parts.items() if part["state"] != "passed"}
        torch, pml = has("torch", "torchvision"), has("torch", "pytorch_metric_learning")
        self.assertEqual(set(left_out), set() if pml else {"peers"}, left_out)
        for name, note in left_out.items():
            self.assertIn("without PyTorch", note)
        for name in set(PARTS) - set(left_out):
            self.assertTrue(parts[name]["tables"] and all(table["rows"] for table in parts[name]["tables"]), name)
        self.assertIn("0 errors", str(parts["sanitizers"]["tables"]))
        bf16, fp16 = parts["steps"]["tables"][0]["rows"]
        self.assertEqual((bf16[1], fp16[1]), ("bf16", "fp16, conv_pipeline"))
        for row in (bf16, fp16):
            self.assertEqual("-" in row, not torch, row)
            self.assertGreater(int(row[10]), 0)
            if torch:
                self.assertGreater(int(row[11]), 100)
        for row in parts["search"]["tables"][0]["rows"]:
            equal, _, neighbours = row[-1].split()
            self.assertEqual(equal, neighbours)
        if pml:
            self.assertIn("pml", {row[1] for row in parts["peers"]["tables"][0]["rows"]})

    def test_a_peer_that_fails_is_said(self):
        broken = self.program("broken_python", BROKEN_PYTHON)
        code, parts, page = self.day("--only", "steps", "peers", SWATH_TORCH_PYTHON=str(broken))
        self.assertEqual(code, 1)
        for name in ("steps", "peers"):
            self.assertEqual(parts[name]["state"], "failed")
            self.assertIn("the peer is broken", parts[name]["output"])
        self.assertIn("the peer is broken", page)


if __name__ == "__main__":
    unittest.main()
