"""Everything that only a GPU can show, in one results file and one page: tests, sanitizers, kernels, steps, training.

    python bench/gpu_day.py build/cuda --out gpu-day
BUILD is a tree configured with SWATH_CUDA, SWATH_TESTS and SWATH_BENCH; gpu-day.sh makes it. Peers need a Python with PyTorch for
CUDA (SWATH_PEERS_PYTHON, else the one that runs this). After each part results.json and index.html are written anew, so that
nothing is lost if a later part hangs. --tiny runs each part at a size that a simulator bears. Ends with 0 when every part passed.
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
TINY_CASES = {"3 x 32 x 32": ["--batch", "2", "--size", "32", "--channels", "3"]}
SANITIZED = ["row_kernels_test", "miner_kernels_test", "loss_kernels_test", "label_kernels_test", "image_kernels_test"]
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
        self.python = os.environ.get("SWATH_PEERS_PYTHON") or sys.executable
        self.results = {"device": "", "started": time.strftime("%Y-%m-%d %H:%M:%S"), "tiny": args.tiny, "parts": []}

    def run(self, command, timeout):
        """Exit code, standard output, standard error; 124 after the time-out."""
        command = [str(word) for word in command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=self.args.work)
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

    def has_torch(self):
        probe = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
        return self.run([self.python, "-c", probe], 300)[0] == 0


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


def peer_step(day, case, dtype, compiled):
    words = [day.python, SOURCE / "bench/peers/step_pytorch.py", "--device", "cuda", *case, "--dtype", dtype, "--steps", "20",
             *(["--compile"] if compiled else [])]
    code, out, _ = day.run(words, day.args.limit)
    return json.loads(out.splitlines()[-1]) if code == 0 and out else None


def steps(day, entry):
    torch = not day.args.tiny and day.has_torch()
    if not torch:
        entry["note"] = "without PyTorch, whose Python has no CUDA here"
    rows = []
    for name, case in (TINY_CASES if day.args.tiny else CASES).items():
        for dtype in ["bf16"] if day.args.tiny else ["fp32", "tf32", "bf16", "fp16"]:
            code, out, err = day.run([day.build / "bench/swath_step_bench", "--device", "cuda:0", *case, "--dtype", dtype,
                                      "--steps", "1" if day.args.tiny else "20", "--json"], day.args.limit)
            if code:
                fail(entry, code, err)
                continue
            ours = json.loads(out.splitlines()[-1])
            eager = peer_step(day, case, dtype, False) if torch else None
            compiled = peer_step(day, case, dtype, True) if torch and dtype == "bf16" else None
            cells = [f"{x['images_per_second']:.0f}" if x else "" for x in (ours, eager, compiled)]
            ratio = [f"{ours['images_per_second'] / x['images_per_second']:.2f}" if x else "" for x in (eager, compiled)]
            memory = [f"{x['peak_mib']:.0f}" if x else "" for x in (ours, eager, compiled)]
            rows.append([name, dtype, ours["graph_kernels"], *cells, *ratio, *memory])
    entry["tables"].append(table("one training step of ResNet-50, images per second and peak MiB",
                                 ["case", "type", "kernels", "swath", "PyTorch", "compiled", "ratio", "ratio to compiled", "MiB", "PyTorch MiB",
                                  "compiled MiB"], rows))


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
    parts = {"device": device, "tests": tests, "sanitizers": sanitizers, "kernels": kernels, "steps": steps, "training": training}
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
