"""Trains every recipe over several seeds on an archive in the MLRSNet layout, and prints Recall@K before and after as a table.

    python bench/recipe_table.py build/cuda/apps/swath UCMerced --device cuda:0 --jobs 15
Small settings (configs/ucmerced.json): ResNet-18, crops of 64 pixels, 128 dimensions. What a run gave is kept in --out, as
<recipe>-<seed>.json; runs that are there are not repeated. Writes curves.svg, Recall@1 on val over the epochs, means of the seeds.
"""

import argparse
import concurrent.futures
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "ucmerced.json"
KS = ["1", "2", "4", "8"]
COLORS = {"baseline": "#0b62c4", "dac": "#b3261e", "bier": "#1a7f37", "diva": "#8250df", "sndl": "#b06a00"}


def settings(recipe, epochs):
    """Beside the configuration: 847 images are few for eight clusters and for batches of 120."""
    own = {
        "dac": ["dac.kmeans.clusters=4", f"dac.every={max(1, epochs // 10)}", f"dac.finetune_epoch={epochs * 9 // 10}"],
        "sndl": ["sampler.batch_size=32"],
    }
    return [f"recipe={recipe}", f"epochs={epochs}", *own.get(recipe, [])]


def call(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def one_run(args, recipe, seed):
    """Trains, scores test before and after; what --out keeps."""
    kept = args.out / f"{recipe}-{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    folder = args.out / "runs"
    words = [f"seed={seed}", f"run.directory={folder}", f"run.name={recipe}-{seed}", *settings(recipe, args.epochs)]
    began = time.monotonic()
    call([args.program, "train", "--config", CONFIG, "--root", args.root, "--packed", args.out / "packed", "--device", args.device,
          *[word for one in words for word in ("--set", one)]])
    result = {"recipe": recipe, "seed": seed, "seconds": round(time.monotonic() - began, 1)}
    for name, checkpoint in (("untrained", "untrained"), ("trained", "best")):
        scored = call([args.program, "eval", "--run", folder / f"{recipe}-{seed}", "--checkpoint", checkpoint, "--json"])
        result[name] = [json.loads(scored)["metrics"]["recall"][k] for k in KS]
    with open(folder / f"{recipe}-{seed}" / "val.csv", newline="") as file:
        result["val"] = [[int(row["epoch"]), float(row["recall@1"])] for row in csv.DictReader(file)]
    kept.write_text(json.dumps(result) + "\n")
    return result


def table(results):
    yield "| recipe | seeds | untrained, Recall@1 | trained, Recall@1 | lowest and highest | gain | @2 | @4 | @8 |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for recipe in COLORS:
        runs = [result for result in results if result["recipe"] == recipe]
        if not runs:
            continue
        before = statistics.mean(run["untrained"][0] for run in runs)
        after = [statistics.mean(run["trained"][k] for run in runs) for k in range(len(KS))]
        ones = [run["trained"][0] for run in runs]
        yield (f"| {recipe} | {', '.join(str(run['seed']) for run in runs)} | {before:.4f} | {after[0]:.4f} |"
               f" {min(ones):.4f}, {max(ones):.4f} | {after[0] - before:+.4f} | {after[1]:.4f} | {after[2]:.4f} | {after[3]:.4f} |")


def curves(results):
    """Recall@1 on val over the epochs as SVG."""
    means = {}
    for recipe in COLORS:
        runs = [dict(result["val"]) for result in results if result["recipe"] == recipe]
        if runs:
            means[recipe] = [(epoch, statistics.mean(run[epoch] for run in runs)) for epoch in sorted(runs[0]) if all(epoch in run for run in runs)]
    last = max(epoch for line in means.values() for epoch, _ in line)
    values = [value for line in means.values() for _, value in line]
    low, high = int(min(values) * 20) / 20, (int(max(values) * 20) + 1) / 20
    x, y = (lambda epoch: 50 + 500 * epoch / last), (lambda value: 300 - 270 * (value - low) / (high - low))
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 340" font-family="system-ui, sans-serif" font-size="12" role="img" '
             'aria-label="Recall@1 on val over the epochs, one line for each recipe">'
             "<style>text{fill:#1b1f24}.grid{stroke:#c9d0d8}@media(prefers-color-scheme:dark){text{fill:#e8ebee}.grid{stroke:#3b444d}}</style>"]
    for step in range(round(low * 20), round(high * 20) + 1):
        parts.append(f'<line class="grid" x1="50" x2="550" y1="{y(step / 20):.1f}" y2="{y(step / 20):.1f}"/>'
                     f'<text x="44" y="{y(step / 20) + 4:.1f}" text-anchor="end">{step / 20:.2f}</text>')
    parts += [f'<text x="{x(epoch):.1f}" y="318" text-anchor="middle">{epoch}</text>' for epoch in range(0, last + 1, max(1, last // 8))]
    parts.append('<text x="300" y="336" text-anchor="middle">epoch</text><text x="50" y="18">Recall@1 on val</text>')
    below = 0.0
    for recipe, line in sorted(means.items(), key=lambda item: -item[1][-1][1]):
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in line)
        below = max(below + 15, y(line[-1][1]) + 4)
        parts.append(f'<polyline fill="none" stroke="{COLORS[recipe]}" stroke-width="2" points="{points}"/>'
                     f'<text x="558" y="{below:.1f}" style="fill:{COLORS[recipe]};font-weight:600">{recipe}</text>')
    return "".join(parts) + "</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="the built swath")
    parser.add_argument("root", type=Path, help="folder of the archive")
    parser.add_argument("--recipes", nargs="+", choices=list(COLORS), default=list(COLORS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("recipes"), help="folder for runs, results and curves.svg")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    call([args.program, "pack", "--config", CONFIG, "--root", args.root, "--packed", args.out / "packed"])
    todo, results, failed = [(recipe, seed) for recipe in args.recipes for seed in args.seeds], [], 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, future in [(name, pool.submit(one_run, args, *name)) for name in todo]:
            try:
                results.append(future.result())
            except (RuntimeError, OSError) as error:
                failed += 1
                print(f"{name[0]}, seed {name[1]}: {error}", file=sys.stderr)
    if results:
        print("\n".join(table(results)))
        (args.out / "curves.svg").write_text(curves(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
