"""swath doctor --step: sums against ResNet-50's published layer table, the table's form, arguments that are refused."""
import json
import pathlib
import re
import resource
import unittest

from program_test import Program
from resnet50_step import Counts, FusedCounts

RESNET50 = ["doctor", "--step", "--set", "model.backbone=resnet50", "--rows", "128"]
LINE = {"pass": str, "part": str, "kernel": str, "library": str, "engine": type(None), "shape": str, "calls": int, "launches": int,
        "read_bytes": float, "written_bytes": float, "unfused_bytes": float, "flops": float, "math": str, "bound_us": dict}
WHOLE = {"estimate": bool, "recipe": str, "backbone": str, "precision": str, "rows": int, "image_side": int, "crop": int,
         "bands": int, "classes": int, "images": int, "parameters": int, "lines": list, "groups": list, "totals": dict,
         "accelerators": list, "peak_memory_bytes": int, "held_memory_bytes": int, "memory": dict}


def sums(plan, key, **where):
    return sum(line[key] for line in plan["lines"] if all(line[name] == value for name, value in where.items()))


def moved(plan, **where):
    return sums(plan, "read_bytes", **where) + sums(plan, "written_bytes", **where)


class StepPlan(Program):
    archive = False

    def plan(self, *words):
        return self.json(*RESNET50, *words)

    def check_trunk(self, plan, side, size, stem_channels, weight_size=4):
        """Operations and bytes of each kind of kernel of the trunk, exactly."""
        wanted = Counts(128, side, size, stem_channels)
        kinds = {"forward": "conv_forward", "data": "conv_backward_data", "weight": "conv_backward_weight"}
        for kind, kernel in kinds.items():
            self.assertEqual(sums(plan, "flops", kernel=kernel), 2 * wanted.multiplications[kind], kernel)
        for kernel, count in wanted.bytes.items():
            self.assertAlmostEqual(moved(plan, part="trunk", kernel=kernel) / count, 1, delta=1e-12, msg=kernel)
        for kernel, count in wanted.unfused.items():
            self.assertAlmostEqual(sums(plan, "unfused_bytes", part="trunk", kernel=kernel) / count, 1, delta=1e-12, msg=kernel)
        return wanted

    def test_fp32_is_the_published_network(self):
        plan = self.plan("--precision", "fp32")
        wanted = self.check_trunk(plan, 224, 4, 3)
        # K. He's table says 3.8e9 with the stride in the 1 x 1 convolutions; torchvision says 4.09 for this one.
        self.assertAlmostEqual(wanted.multiplications["forward"] / 128 / 1e9, 4.09, delta=0.005)
        self.assertAlmostEqual(plan["parameters"] / 1e6, 23.508 + 2048 * 512 / 1e6, delta=0.01)
        self.assertEqual({line["math"] for line in plan["lines"]}, {"f32"})

    def test_bf16_pads_the_stem_and_moves_less_than_separate_kernels(self):
        plan = self.plan("--precision", "bf16")
        wanted = self.check_trunk(plan, 224, 2, 8)
        totals = plan["totals"]
        ratio = sum(wanted.bytes.values()) / sum(wanted.unfused.values())
        # The conversion of the weights is in the trunk as well, alike in both.
        casts = moved(plan, part="trunk") - sum(wanted.bytes.values())
        self.assertGreater(casts, 6 * wanted.weights)
        self.assertLess(casts, 6.75 * wanted.weights)
        self.assertAlmostEqual(totals["trunk_ratio_to_unfused"], ratio, delta=0.01)
        self.assertLess(totals["trunk_ratio_to_unfused"], 0.70)
        self.assertLess(totals["ratio_to_unfused"], 0.70)

    def test_conv_pipeline_moves_less_for_the_same_unfused_sequence(self):
        words = ["--precision", "fp16", "--set", "conv_pipeline=on"]
        plan, separate = self.plan(*words), self.plan(*words[:2])
        for kernel, count in FusedCounts(128, 224, 2, 8).bytes.items():
            self.assertAlmostEqual(moved(plan, part="trunk", kernel=kernel) / count, 1, delta=1e-12, msg=kernel)
        # A mean, a deviation and a few more numbers of each channel apart.
        self.assertAlmostEqual(plan["totals"]["unfused_bytes"] / separate["totals"]["unfused_bytes"], 1, delta=1e-4)
        for ratio in ("ratio_to_unfused", "trunk_ratio_to_unfused"):
            self.assertLessEqual(plan["totals"][ratio], 0.55, ratio)
        self.assertLess(plan["peak_memory_bytes"], 0.87 * separate["peak_memory_bytes"])
        self.assertIn("an A100 refuses it", self.ok("doctor", "--step", *words).stdout)
        self.refused(2, ["conv_pipeline=on takes precision=fp16, not bf16"], *RESNET50, "--precision", "bf16", *words[2:])

    def test_recompute_takes_less_memory(self):
        words = ["--precision", "fp16", "--set", "recompute=activations"]
        plan, kept = self.plan(*words), self.plan(*words[:2])
        self.assertLess(plan["peak_memory_bytes"], 0.88 * kept["peak_memory_bytes"])
        # Separate kernels keep what is computed again.
        self.assertEqual(plan["totals"]["unfused_bytes"], kept["totals"]["unfused_bytes"])
        # The activations inside the 16 blocks are read as convolutions' results and written again.
        inside = [line for line in kept["lines"] if line["kernel"] == "batch_norm_apply"]
        again = moved(plan, kernel="batch_norm_apply") - moved(kept, kernel="batch_norm_apply")
        widths = {"64 f16", "128 f16", "256 f16", "512 f16"}
        ends = {f"{128 * at * at}×{width} f16" for at, width in ((56, 256), (28, 512))}
        inner = sum(line["read_bytes"] + line["written_bytes"] for line in inside
                    if line["shape"].split("×")[1] in widths and line["shape"] not in ends)
        self.assertAlmostEqual(again / inner, 1, delta=1e-12)

    def test_the_tables_of_the_documentation_are_those_of_the_program(self):
        text = (pathlib.Path(__file__).parents[2] / "docs/cuda-step.md").read_text()
        rows = re.findall(r"^\| `(precision=.*)` (\|.*\d GiB \|)$", text, re.MULTILINE)
        self.assertEqual(len(rows), 6)
        for keys, row in rows:
            plan = self.plan(*(word for key in keys.split() for word in ("--set", key)))
            totals = plan["totals"]
            self.assertEqual(row, f"| {totals['bytes_per_image'] / 1e6:.1f} MB "
                                  f"| {totals['ratio_to_unfused']:.3f} of {totals['unfused_bytes_per_image'] / 1e6:.1f} "
                                  f"| {totals['trunk_ratio_to_unfused']:.3f} of {totals['trunk_unfused_bytes_per_image'] / 1e6:.1f} "
                                  f"| {totals['launches']} | {totals['images_per_second']['H100']:,.0f} images/s "
                                  f"| {plan['peak_memory_bytes'] / 2**30:.1f} GiB |", keys)
        wide = self.json("doctor", "--step", "--config", str(pathlib.Path(__file__).parents[2] / "configs/bigearthnet.json"),
                         "--precision", "bf16", "--rows", "120")["totals"]
        sentence = (f"120 images, the bf16 step moves {wide['bytes_per_image'] / 1e6:.1f} MB per image, {wide['ratio_to_unfused']:.3f} "
                    f"of separate kernels (the trunk {wide['trunk_ratio_to_unfused']:.3f})")
        self.assertIn(sentence, " ".join(text.split()))

    def test_twelve_bands_at_100_pixels(self):
        words = ["--set", "data.format=bigearthnet", "--precision", "bf16"]
        plan = self.plan(*words)
        self.assertEqual((plan["bands"], plan["image_side"], plan["crop"], plan["classes"]), (12, 120, 100, 43))
        self.check_trunk(plan, 100, 2, 16)
        self.check_trunk(self.plan(*words[:2], "--precision", "tf32"), 100, 4, 12)

    def test_form_and_sums(self):
        for recipe in ("baseline", "bier", "dac", "diva", "sndl"):
            plan = self.json("doctor", "--step", "--set", f"recipe={recipe}", "--precision", "bf16")
            self.assertEqual({key: type(value) for key, value in plan.items()}, WHOLE)
            for line in plan["lines"]:
                self.assertEqual({key: type(value) for key, value in line.items()}, LINE, line)
                self.assertIn(line["pass"], ("input", "forward", "backward", "optimizer", "after"))
                self.assertIn(line["part"], ("trunk", "head", "loss", "other"))
                peaks = {a["key"]: a for a in plan["accelerators"]}
                bytes_moved = line["read_bytes"] + line["written_bytes"]
                for key, bound in line["bound_us"].items():
                    peak = peaks[key]["flops_per_second"][line["math"]]
                    slowest = max(bytes_moved / peaks[key]["bytes_per_second"], line["flops"] / peak)
                    self.assertAlmostEqual(bound, 1e6 * slowest, delta=1e-9 * (1 + bound))
            for key in ("launches", "read_bytes", "written_bytes", "unfused_bytes", "flops"):
                for part in (plan["lines"], plan["groups"]):
                    self.assertAlmostEqual(sum(p[key] for p in part) / plan["totals"][key], 1, delta=1e-12)
            totals = plan["totals"]
            self.assertAlmostEqual(totals["bytes_per_image"] * plan["rows"], totals["read_bytes"] + totals["written_bytes"], delta=1)
            for key, rate in totals["images_per_second"].items():
                self.assertAlmostEqual(rate * totals["bound_us"][key] / 1e6, plan["rows"], delta=1e-6)

    def test_optimizer_reads_and_writes_every_trained_value(self):
        plan = self.plan()
        adam = moved(plan, kernel="adam", **{"pass": "optimizer"})
        self.assertAlmostEqual(adam / 28 / plan["parameters"], 1, delta=1e-3)
        sgd = moved(self.plan("--set", "optimizer.kind=sgd", "--set", "optimizer.momentum=0"), kernel="sgd")
        self.assertAlmostEqual(sgd / 12 / plan["parameters"], 1, delta=1e-3)
        frozen = self.plan("--set", "model.frozen=true")
        self.assertEqual(moved(frozen, kernel="conv_backward_weight"), 0)
        self.assertLess(moved(frozen, kernel="adam"), 0.1 * adam)

    def test_text_names_what_it_is(self):
        text = self.ok(*RESNET50, "--precision", "bf16").stdout
        for part in ("an estimate", "H100 SXM", "A100 SXM 80GB", "data sheet", "unknown without a device", "MB per image",
                     "GFLOP", "img/s", "launches"):
            self.assertIn(part, text)

    def test_largest_batch_fits_and_the_next_does_not(self):
        words = ["--precision", "bf16", "--memory", "16GB"]
        plan = self.json(*RESNET50, *words)
        self.assertEqual(plan["memory_limit_bytes"], 16 * 10**9)
        largest = plan["largest_batch"]
        self.assertGreater(largest, 128)
        held = [self.json("doctor", "--step", "--set", "model.backbone=resnet50", "--precision", "bf16", "--rows",
                          str(rows))["held_memory_bytes"] for rows in (largest, largest + 1)]
        self.assertLessEqual(held[0], 16 * 10**9)
        self.assertGreater(held[1], 16 * 10**9)
        self.assertEqual(self.json(*RESNET50, "--memory", "1MB")["largest_batch"], 0)
        self.assertIn("not even a batch of two images would fit: choose a smaller crop or network",
                      self.ok(*RESNET50, "--memory", "1MB").stdout)

    def test_nothing_is_allocated(self):
        self.json("doctor", "--step", "--set", "model.backbone=resnet50", "--rows", "4096")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        self.assertLess(peak, 512, "MiB")

    def test_refusals(self):
        self.refused(2, ["--rows", "--step"], "doctor", "--rows", "4")
        self.refused(2, ["--rows"], "doctor", "--step", "--rows", "0")
        self.refused(2, ["--bands"], "doctor", "--step", "--bands", "none")
        self.refused(2, ["--memory"], "doctor", "--step", "--memory", "80 apples")
        self.refused(2, ["precision", "bf17"], "doctor", "--step", "--precision", "bf17")
        self.refused(2, ["crop 300", "256"], "doctor", "--step", "--crop", "300")
        self.refused(2, ["model.embeding", "model.embedding"], "doctor", "--step", "--set", "model.embeding=4")
        self.refused(2, ["resnet51"], "doctor", "--step", "--set", "model.backbone=resnet51")
        self.refused(2, ["absent.json"], "doctor", "--step", "--config", "absent.json")
        self.refused(2, ["model.embedding", "diva"], "doctor", "--step", "--set", "recipe=diva", "--set", "model.embedding=6")

    def test_engines_are_cudnns(self):
        self.refused(2, ["--step"], "doctor", "--engines", "h100")
        done = self.start(*RESNET50, "--engines", "h100", "--json")
        if done.returncode:  # a build without CUDA
            self.assertEqual(done.returncode, 2)
            self.assertIn("SWATH_CUDA=ON", done.stderr)
        else:
            lines = json.loads(done.stdout)["lines"]
            self.assertEqual({bool(line["engine"]) for line in lines if line["library"] == "cuDNN"}, {True})


if __name__ == "__main__":
    unittest.main()
