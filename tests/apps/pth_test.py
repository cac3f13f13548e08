"""A .pth is refused with the command that converts it, and that command makes what a training begins with. Needs torch,
torchvision and safetensors in the python that runs this; exits 77 without them."""
import os
import re
import subprocess
import sys
import unittest

try:
    import torch
    import torchvision
    from safetensors.torch import load_file
except ImportError as missing:
    print(missing)
    sys.exit(77)

from program_test import SMALL, Program

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python", "pth_to_safetensors.py")


class Pth(Program):
    def convert(self, *words):
        return subprocess.run([sys.executable, SCRIPT, *words], cwd=self.folder, capture_output=True, text=True)

    def state(self):
        torch.manual_seed(3)
        return torchvision.models.resnet18(weights=None).state_dict()

    def test_the_command_of_the_refusal_makes_weights_that_load(self):
        state = self.state()
        torch.save(state, self.path("r18.pth"))
        words = ["train", "--root", "scenes", "--packed", "packs", *SMALL, "--set", "epochs=1", "--set", "validation.untrained=false"]
        sentence = self.refused(3, ["r18.pth", "pth_to_safetensors.py"], *words, "--set", "run.name=no", "--set", "model.pretrained=r18.pth")
        source, target = re.search(r"python3 pth_to_safetensors.py (\S+) (\S+)", sentence).groups()
        done = self.convert(source, target)
        self.assertEqual(done.returncode, 0, done.stderr)
        written = load_file(self.path(target))
        self.assertEqual(set(written), set(state))
        self.assertTrue(all(torch.equal(written[name], state[name]) for name in state))
        self.ok(*words, "--set", "run.name=yes", "--set", f"model.pretrained={target}")

    def test_forms_of_checkpoints(self):
        state = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.ones(2, dtype=torch.float16)}
        state["c"] = state["a"]
        forms = {"plain": state, "nested": {"epoch": 3, "state_dict": state}, "model": {"model": state, "optimizer": {"lr": 1}},
                 "parallel": {"module." + name: value for name, value in state.items()}}
        for name, form in forms.items():
            torch.save(form, self.path(name + ".pt"))
            self.assertEqual(self.convert(name + ".pt", name + ".safetensors").returncode, 0)
            written = load_file(self.path(name + ".safetensors"))
            self.assertEqual(set(written), set(state))
            for key, value in state.items():
                self.assertTrue(torch.equal(written[key], value) and written[key].dtype == value.dtype)

    def test_what_is_no_checkpoint(self):
        class Harmful:
            def __reduce__(self):
                return os.mkdir, ("harmed",)
        torch.save({"a": Harmful()}, self.path("harmful.pth"))
        torch.save([1, 2], self.path("list.pth"))
        torch.save({"a": torch.ones(1)}, self.path("good.pth"))
        with open(self.path("letter.pth"), "w") as file:
            file.write("Dear Sir")
        for name in ("harmful.pth", "list.pth", "letter.pth", "absent.pth"):
            done = self.convert(name, "out.safetensors")
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (3, 1), done.stderr)
            self.assertIn(name, done.stderr)
        self.assertFalse(os.path.exists(self.path("harmed")))
        self.assertFalse(os.path.exists(self.path("out.safetensors")))
        done = self.convert("good.pth", "nowhere/out.safetensors")
        self.assertEqual(done.returncode, 3)
        self.assertIn("nowhere/out.safetensors", done.stderr)
        self.assertEqual(self.convert("good.pth").returncode, 2)


if __name__ == "__main__":
    unittest.main()
