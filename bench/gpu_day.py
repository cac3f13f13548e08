"""Everything that only a GPU can show, in one results file and one page: tests, sanitizers, kernels, steps, search, training.

    python bench/gpu_day.py build/cuda --out gpu-day
BUILD is a tree configured with SWATH_CUDA, SWATH_TESTS and SWATH_BENCH; gpu-day.sh makes it. Peers need a Python with PyTorch for
CUDA and pytorch-metric-learning (SWATH_TORCH_PYTHON, SWATH_PEERS_PYTHON, else the one that runs this). After each part results.json
and index.html are written anew, so that nothing is lost if a later part hangs. --tiny runs each part at a size that a simulator
bears, and the peers on the CPU. Ends with 0 when every part passed or was left out.
"""

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
CASES = {"3 x 224 x 224": ["--batch", "128", "--size", "224", "--channels", "3"],
         "12 x 100 x 100": ["--batch", "120", "--size", "100", "--channels", "12"]}
TINY_CASES = {"3 x 32 x 32": ["--batch", "4", "--size", "32", "--channels", "3"]}
SANITIZED = ["row_kernels_test", "miner_kernels_test", "loss_kernels_test", "label_kernels_test", "image_kernels_test"]
# Types of activations, and whether convolutions normalise (conv_pipeline=on).
STEPS = [("fp32", False), ("tf32", False), ("bf16", False), ("fp16", False), ("fp16", True)]
TINY_STEPS = [("bf16", False), ("fp16", True)]
COMPILED = {"bf16", "fp16"}
TOOLS = ["memcheck", "racecheck", "synccheck"]
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #5b6570; --line: #c9d0d8; --bad: #b3261e; --good: #1a7f37; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171a; --ink: #e8ebee; --soft: #9fa9b3; --line: #3b444d; --bad: #ff8a80; --good: #6fd08c; }
}
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--ground); color: var(--ink); font: 1rem/1.45 system-ui, sans-serif; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.soft { color: var(--soft); } .failed { color: var(--bad); } .passed { color: var(--good); }
pre { overflow-x: auto; padding: .5rem; border: 1px solid var(--line); font-size: .8rem; }
"""


class Day:
    """The results so far: parts with a state (passed, failed, left out), a note, tables and the end of a failed output."""

    def __init__(self, args):
        self.args, self.build, self.out = args, Path(args.build).resolve(), Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.swath = str(self.build / "apps" / "swath")
        self.python = os.environ.get("SWATH_TORCH_PYTHON") or os.environ.get("SWATH_PEERS_PYTHON") or sys.executable
        self.peers_on = "cpu" if args.tiny else "cuda"
        self.results = {"device": "", "started": time.strftime("%Y-%m-%d %H:%M:%S"), "tiny": args.tiny, "parts": []}

    def run(self, command, timeout, **environment):
        """Exit code, standard output, standard error; 124 after the time-out."""
        command = [str(word) for word in command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=self.args.work,
                                  env={**os.environ, **environment})
            return done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            return 124, (late.stdout or b"").decode(errors="replace"), f"ran longer than {timeout} s"
        except OSError as error:
            return 127, "", str(error)

    def part(self, name, work):
        if self.args.only and name not in self.args.only:
            return
        began = time.monotonic()
        entry = {"name": name, "state": "passed", "note": "", "tables": [], "output": ""}
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            work(entry)
        except Exception as error:  # one part must not take the others with it
            entry["state"], entry["output"] = "failed", f"{type(error).__name__}: {error}"
        entry["seconds"] = round(time.monotonic() - began, 1)
        self.results["parts"].append(entry)
        self.write()
        print(f"{name}: {entry['state']}, {entry['seconds']} s. {entry['note']}", file=sys.stderr, flush=True)

    def write(self):
        (self.out / "results.json").write_text(json.dumps(self.results, indent=1) + "\n")
        (self.out / "index.html").write_text(page(self.results))

    def lacks(self, *modules):
        """Why peers that need these modules cannot run; empty where they can."""
        probe = f"import torch, {', '.join(modules)}, sys; sys.exit(3 if {not self.args.tiny} and not torch.cuda.is_available() else 0)"
        code, _, err = self.run([self.python, "-c", probe], 300)
        if code == 0:
            return ""
        why = "its PyTorch sees no GPU" if code == 3 else (err.strip().splitlines() or ["it cannot be started"])[-1]
        return f"without PyTorch: {self.python}: {why}"


def fail(entry, code, text):
    entry["state"] = "failed"
    entry["output"] += f"exit code {code}\n" + text[-4000:] + "\n"


def leave_out(entry, why):
    entry["state"], entry["note"] = "left out", why


def table(title, head, rows):
    return {"title": title, "head": head, "rows": rows}


def page(results):
    """One page without anything from elsewhere."""
    text = html.escape
    parts = []
    for part in results["parts"]:
        state = {"passed": "passed", "failed": "failed"}.get(part["state"], "soft")
        parts.append(f"<section><h2>{text(part['name'])} <span class='{state}'>{text(part['state'])}</span></h2>"
                     f"<p class='soft'>{part['seconds']} s. {text(part['note'])}</p>")
        for one in part["tables"]:
            head = "".join(f"<th scope='col'>{text(str(cell))}</th>" for cell in one["head"])
            rows = "".join("<tr>" + "".join(f"<td>{text(str(cell))}</td>" for cell in row) + "</tr>" for row in one["rows"])
            parts.append(f"<h3>{text(one['title'])}</h3><div class='table'><table><thead><tr>{head}</tr></thead>"
                         f"<tbody>{rows}</tbody></table></div>")
        if part["output"]:
            parts.append(f"<pre>{text(part['output'])}</pre>")
        parts.append("</section>")
    title = f"swath on {results['device'] or 'no device'}"
    return (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
            f"<title>{text(title)}</title><link rel='icon' href='data:,'><style>{STYLE}</style></head><body><h1>{text(title)}</h1>"
            f"<p class='soft'>{text(results['started'])}{', tiny sizes' if results['tiny'] else ''}</p>{''.join(parts)}</body></html>\n")


def device(day, entry):
    code, out, err = day.run([day.swath, "doctor", "--json"], 120)
    findings = json.loads(out)["findings"] if out else []
    cuda = [f for f in findings if f["name"].startswith("device cuda") and f["present"]]
    day.results["device"] = cuda[0]["found"].split(", compute")[0].split(" ", 1)[-1] if cuda else ""
    entry["tables"].append(table("swath doctor", ["", "found"], [[f["name"], f["found"]] for f in findings]))
    if not cuda:
        fail(entry, code, err or "there is no CUDA device")


def tests(day, entry):
    code, out, err = day.run(["ctest", "--test-dir", day.build, "-L", "gpu", "--timeout", "1800", *(["-R", "row_kernels"] if day.args.tiny else [])], 7200)
    lines = re.findall(r"Test\s+#\d+: (\S+) \.*\s*(\*{0,3}\S+(?: \S+)?)\s+([\d.]+) sec", out)
    entry["tables"].append(table("ctest -L gpu", ["test", "result", "seconds"], [list(line) for line in lines]))
    if code or not lines:
        fail(entry, code, out + err)


def sanitizers(day, entry):
    tool = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    if not tool:
        return leave_out(entry, "compute-sanitizer is not on the PATH")
    rows = []
    for check in TOOLS[: 1 if day.args.tiny else None]:
        for name in SANITIZED[: 1 if day.args.tiny else None]:
            program = day.build / "tests" / "kernels" / name
            code, out, err = day.run([tool, "--tool", check, "--error-exitcode", "9", program, "--gtest_brief=1",
                                      "--gtest_filter=*cuda*:*Cuda*"], day.args.limit)
            if not re.search(r"\b[1-9]\d* tests? from \d+ test suites? ran", out):
                fail(entry, code, f"{name} ran no test under {check}\n" + out[-1500:] + err[-500:])
            summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", out + err)
            rows.append([name, check, code, summary[-1] if summary else (err.strip().splitlines() or [""])[-1][:80]])
            if code:
                fail(entry, code, f"{name}, {check}\n" + out[-1500:] + err[-500:])
    entry["tables"].append(table("compute-sanitizer", ["program", "tool", "exit code", "summary"], rows))


def kernels(day, entry):
    code, out, err = day.run([day.swath, "bench", "--list"], 60)
    names = re.findall(r"^([a-z_0-9.]+) ", out, re.MULTILINE)
    rows = []
    for name in names[: 3 if day.args.tiny else None]:
        words = ["-a", "rows=112"] if day.args.tiny else []
        kept = day.out / "kernels"
        kept.mkdir(exist_ok=True)
        code, out, err = day.run([day.swath, "bench", "--device", "cuda:0", "-b", name, "--min-time", "0.05", "--timeout", "1",
                                  *words, "--json", (kept / f"{name}.json").resolve()], day.args.limit)
        if code:
            fail(entry, code, f"{name}\n" + err)
            continue
        rows += [measured(line) for line in out.splitlines() if line.startswith(name + " ")]
    entry["tables"].append(table("swath bench", ["benchmark", "shape", "mode", "median", "noise", "GB/s", "GFLOP/s", "bound", "share"], rows))


def measured(line):
    """Cells of a line of swath bench."""
    words = line.split()
    shape = [word for word in words if "=" in word]
    mode, _, *median, noise, bandwidth, speed, bound, share, _ = words[1 + len(shape) :]
    return [words[0], " ".join(shape), mode, " ".join(median), noise, bandwidth, speed, bound, share]


def last_json(text):
    return json.loads(text.splitlines()[-1])


def our_step(day, entry, case, dtype, pipeline):
    """swath's step; None where it failed or the device cannot."""
    words = [day.build / "bench/swath_step_bench", "--device", "cuda:0", *case, "--dtype", dtype, "--steps", "1" if day.args.tiny else "20",
             "--json", *(["--conv-pipeline"] if pipeline else [])]
    code, out, err = day.run(words, day.args.limit)
    if code == 0:
        return last_json(out)
    if pipeline and "compute capability" in err:
        entry["note"] += err.strip() + ". "
    else:
        fail(entry, code, f"swath, {dtype}\n" + err)
    return None


def peer_step(day, entry, case, dtype, compiled):
    """PyTorch's step; None where it failed."""
    words = [day.python, SOURCE / "bench/peers/step_pytorch.py", "--device", day.peers_on, *case, "--dtype", dtype,
             "--steps", "1" if day.args.tiny else "20", *(["--compile"] if compiled else []),
             *(["--backend", "aot_eager"] if day.args.tiny else [])]
    code, out, err = day.run(words, day.args.limit)
    if code == 0 and out:
        return last_json(out)
    fail(entry, code, f"PyTorch, {dtype}{', compiled' if compiled else ''}\n" + err)
    return None


def steps(day, entry):
    why = day.lacks("torchvision")
    entry["note"] = why + ". " if why else ""
    rows = []
    for name, case in (TINY_CASES if day.args.tiny else CASES).items():
        peers = {}
        for dtype, pipeline in TINY_STEPS if day.args.tiny else STEPS:
            ours = our_step(day, entry, case, dtype, pipeline)
            if not why and dtype not in peers:
                peers[dtype] = [peer_step(day, entry, case, dtype, False),
                                peer_step(day, entry, case, dtype, True) if dtype in COMPILED else None]
            eager, compiled = peers.get(dtype, (None, None))
            if ours:
                rows.append([name, dtype + (", conv_pipeline" if pipeline else ""), *step_cells(ours, eager, compiled)])
    entry["tables"].append(table("one training step of ResNet-50: images per second, their ratio, peak MiB and launches of kernels",
                                 ["case", "type", "swath", "PyTorch", "compiled", "ratio", "ratio to compiled", "MiB", "PyTorch MiB",
                                  "compiled MiB", "launches", "PyTorch launches", "compiled launches"], rows))


def step_cells(ours, eager, compiled):
    """Cells of a case; "-" where a program was not run."""
    def cells(key, form):
        return [form.format(x[key]) if x else "-" for x in ({**ours, "launches": ours["graph_kernels"]}, eager, compiled)]

    ratios = [f"{ours['images_per_second'] / x['images_per_second']:.2f}" if x else "-" for x in (eager, compiled)]
    return [*cells("images_per_second", "{:.3g}" if ours["images_per_second"] < 100 else "{:.0f}"), *ratios,
            *cells("peak_mib", "{:.0f}"), *cells("launches", "{}")]


def search(day, entry):
    """swath's exact search against FAISS's own flat index, both on the GPU."""
    sizes = ["--rows", "300", "--dim", "128", "--many", "20", "--single", "3", "--repeats", "1"] if day.args.tiny else []
    code, out, err = day.run([day.build / "bench/swath_search_bench", "--gpu", "--json", *sizes], day.args.limit)
    if code == 2 and "no FAISS for the GPU" in err:
        return leave_out(entry, err.strip())
    if code:
        return fail(entry, code, err)
    found = last_json(out)
    rows = [[s["name"], f"{s['swath_ms']:.2f}", f"{s['faiss_ms']:.2f}", f"{s['ratio']:.2f}", f"{s['equal_neighbours']} of {s['neighbours']}"]
            for s in found["searches"]]
    entry["tables"].append(table(f"{found['rows']} x {found['dim']}, k = {found['k']}, {found['index']}",
                                 ["search", "swath ms", "FAISS ms", "ratio", "equal neighbours"], rows))


def peers(day, entry):
    """Miners and losses against pytorch-metric-learning and plain PyTorch."""
    why = day.lacks("pytorch_metric_learning")
    if why:
        return leave_out(entry, why)
    kept = (day.out / "peers.json").resolve()
    sizes = ["--only", "miners", "margin", "--rows", "24", "--cols", "16", "--rounds", "1", "--seconds", "0.01"] if day.args.tiny else []
    code, _, err = day.run([sys.executable, SOURCE / "bench/kernel_ratio.py", day.swath, "--device", day.peers_on, *sizes, "--json", kept],
                           4 * day.args.limit, SWATH_PEERS_PYTHON=day.python)
    if code:
        return fail(entry, code, err)
    rows = [[row["name"], row["peer"], row["rows"], row["cols"], f"{row['swath_ms']:.4f}", f"{row['peer_ms']:.4f}", f"{row['ratio']:.2f}"]
            for row in json.loads(kept.read_text())["rows"]]
    entry["tables"].append(table(f"miners, and losses with their gradients, on {day.peers_on}; pml: pytorch-metric-learning, else PyTorch",
                                 ["method", "peer", "rows", "columns", "swath ms", "peer ms", "ratio"], rows))


def training(day, entry):
    with tempfile.TemporaryDirectory() as folder:
        size, images, epochs = ("32", "160", "1") if day.args.tiny else ("120", "3000", "6")
        code, _, err = day.run([day.swath, "scenes", "--out", folder + "/scenes", "--images", images, "--size", size], 600)
        if code:
            return fail(entry, code, err)
        words = ["--root", folder + "/scenes", "--packed", folder + "/packed", "--set", "run.directory=" + folder + "/runs",
                 "--set", "run.name=day", "--set", "epochs=" + epochs, "--set", "precision=bf16"]
        words += ["--set", "data.image_size=32", "--set", "crop=32", "--set", "model.backbone=resnet18", "--set", "model.embedding=32",
                  "--set", "sampler.classes_per_batch=4"] if day.args.tiny else ["--set", "data.image_size=120", "--set", "crop=100"]
        code, out, err = day.run([day.swath, "train", "--device", "cuda:0", *words], 3600)
        lines = [line for line in err.splitlines() if re.match(r"epoch \d+/|after epoch|untrained", line)]
        entry["tables"].append(table("swath train on generated scenes", ["progress"], [[line[:160]] for line in lines[-12:]]))
        if code:
            fail(entry, code, err)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="a built tree with CUDA, tests and benchmarks")
    parser.add_argument("--out", default="gpu-day", help="folder for results.json and index.html")
    parser.add_argument("--only", nargs="+", help="parts to run")
    parser.add_argument("--tiny", action="store_true", help="sizes for a simulator")
    parser.add_argument("--limit", type=int, default=900, help="seconds that one program may take")
    parser.add_argument("--work", default=".", help="folder in which programs run")
    args = parser.parse_args()
    day = Day(args)
    parts = {"device": device, "tests": tests, "sanitizers": sanitizers, "kernels": kernels, "steps": steps,
             "search": search, "peers": peers, "training": training}
    unknown = set(args.only or []) - set(parts)
    if unknown:
        parser.error(f"no part is named {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    if not Path(day.swath).exists():
        parser.error(f"{day.swath} does not exist: build the program first, or run gpu-day.sh")
    for name, work in parts.items():
        day.part(name, lambda entry, work=work: work(day, entry))
    failed = [part["name"] for part in day.results["parts"] if part["state"] == "failed"]
    print(f"{day.out / 'index.html'}: {len(day.results['parts']) - len(failed)} parts passed or left out, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
