"""swath doctor --step --engines: the real cuDNN names an engine for every convolution of a step, without a device."""
import unittest

from program_test import Program


class StepEngines(Program):
    archive = False

    def test_every_convolution_has_one(self):
        for device, words in (("h100", ["--precision", "bf16"]), ("a100", ["--precision", "tf32"]),
                              ("h100", ["--precision", "fp16", "--set", "conv_pipeline=on"])):
            plan = self.json("doctor", "--step", "--set", "model.backbone=resnet50", "--rows", "128", *words, "--engines", device)
            convolutions = [line for line in plan["lines"] if line["library"] == "cuDNN"]
            self.assertGreater(len(convolutions), 60)
            for line in plan["lines"]:
                if line["library"] == "cuDNN":
                    self.assertRegex(line["engine"], r"^eng\d+", line)
                else:
                    self.assertIsNone(line["engine"], line)

    def test_the_table_has_a_column(self):
        text = self.ok("doctor", "--step", "--set", "model.backbone=resnet18", "--rows", "8", "--engines", "a100").stdout
        self.assertIn("A100 µs  engine", text)
        self.assertRegex(text, r"conv_forward .*  eng\d+")

    def test_another_device_is_not_described(self):
        self.refused(2, ["b200", "h100 or a100"], "doctor", "--step", "--rows", "8", "--engines", "b200")


class NoDevice(Program):
    archive = False

    def test_doctor_gives_the_reason_that_a_training_gives(self):
        refused = self.start("bench", "--device", "cuda", "-b", "ema")
        if refused.returncode == 0:
            self.skipTest("there is a device")
        found = [f for f in self.json("doctor")["findings"] if f["name"] == "device cuda"]
        self.assertEqual([f["present"] for f in found], [False])
        self.assertEqual(refused.stderr.strip(), "swath: " + found[0]["found"])


if __name__ == "__main__":
    unittest.main()
