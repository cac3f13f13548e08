"""`swath bench` on a CUDA device, or on a simulator, which runs every case once and times none. Standard library only."""
import unittest

from program_test import Program

SMALL = {"bank": 40, "batches": 2, "bits": 32, "classes": 6, "cols": 16, "elements": 500, "rows": 24, "rows_per_class": 2}


class CudaBench(Program):
    archive = False

    def words(self, benchmark):
        """The benchmark at small sizes."""
        words = ["-b", benchmark["name"]]
        for axis in benchmark["axes"]:
            if axis["name"] in SMALL:
                words += ["-a", f"{axis['name']}={SMALL[axis['name']]}"]
        return words

    def test_every_loss_and_miner_runs(self):
        listed = [b for b in self.json("bench", "--list")["benchmarks"] if b["name"].startswith(("mine.", "loss."))]
        self.assertGreater(len(listed), 9)
        words = [word for benchmark in listed for word in self.words(benchmark)]
        result = self.json("bench", "--device", "cuda:0", *words, "--min-time", "0.001", "--max-noise", "50", "--timeout", "2")
        device = result["devices"][0]
        self.assertEqual(device["device"], "cuda:0")
        self.assertEqual([b["name"] for b in result["benchmarks"]], [b["name"] for b in listed])
        for benchmark in result["benchmarks"]:
            (state,) = benchmark["states"]
            values = {s["tag"]: float(s["data"][0]["value"]) for s in state["summaries"]}
            self.assertGreater(values["swath/bytes"], 0)
            if device["simulated"]:
                self.assertEqual((state["is_skipped"], state["skip_reason"]), (True, "simulator"))
            else:
                for mode in ("cold", "batch"):
                    self.assertGreater(values[f"nv/{mode}/time/gpu/mean"], 0)

    def test_table_and_refusals(self):
        text = self.ok("bench", "--device", "cuda", "-b", "margin_loss", "-a", "rows=24", "-a", "cols=16", "-b", "ema", "-a",
                       "elements=500", "--min-time", "0.001", "--timeout", "1").stdout
        self.assertIn("rows=24 cols=16", text)
        self.assertIn("elements=500", text)
        self.refused(2, ["--cpu-time", "--device cuda"], "bench", "--device", "cuda", "-b", "ema", "--cpu-time")
        self.refused(4, ["cuda:7"], "bench", "--device", "cuda:7", "-b", "ema")


if __name__ == "__main__":
    unittest.main()
