"""Runs swath's miners and losses and their peers in PyTorch in turns, and prints how many times faster swath is.

Forward and backward of losses, embeddings to triplets of miners. The peer is pytorch-metric-learning (`pml`) where it has the
method, else plain PyTorch (bench/peers/); both are listed where both exist. A floor is the ratio that swath is meant to reach;
where several plain versions exist it is that of the fastest. Needs a Python with torch and pytorch-metric-learning:
SWATH_PEERS_PYTHON, or the one that runs this.
    python bench/kernel_ratio.py build/cpu/apps/swath --cpu-time
    python bench/kernel_ratio.py build/cuda/apps/swath --device cuda
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
MINERS = ["semihard", "distance", "random_distance", "intra_random"]
LOSSES = ["margin", "binomial", "adversarial", "bce", "weight_norm"]
GROUPS = ["miners", "multilabel_semihard", *LOSSES, "moco", "nca"]
GPU_GROUPS = ["miners", *LOSSES]  # whose peers run on a GPU


def peer_command(group, args):
    """Script and options of the peer for all sizes of a group."""
    rows, cols = ["--rows", *map(str, args.rows)], ["--cols", *map(str, args.cols)]
    seconds = ["--seconds", str(args.seconds), *(["--device", args.device] if group in GPU_GROUPS else [])]
    if group == "miners":
        return ["miners_pytorch.py", *rows, *cols, *seconds]
    if group == "multilabel_semihard":
        return ["multilabel_semihard_pytorch.py", *rows, *cols, *seconds]
    if group == "moco":
        return ["moco_pytorch.py", *rows, *cols, *seconds]
    if group == "nca":
        return ["nca_pytorch.py", "--rows", str(args.bank)]
    names = ["margin", "margin_pml"] if group == "margin" else [group]
    if group == "weight_norm":
        rows = ["--rows", "0"]
    return ["losses_pytorch.py", "--only", *names, *rows, *(["--cols", "43"] if group == "bce" else cols), *seconds]


def swath_words(group, args):
    """Benchmarks and axes of `swath bench` for the same sizes."""
    rows, cols = ",".join(map(str, args.rows)), ",".join(map(str, args.cols))
    if group == "nca":
        return ["-b", "loss.nca", "-a", f"bank={args.bank}"]
    if group == "bce":
        return ["-b", "bce_loss", "-a", f"rows={rows}", "-a", "classes=43"]
    if group == "weight_norm":
        return ["-b", "loss.weight_norm", "-a", f"cols={cols}"]
    names = [f"mine.{name}" for name in MINERS] if group == "miners" else ["mine." + group] if "semihard" in group else ["loss." + group]
    return [word for name in names for word in ("-b", name, "-a", f"rows={rows}", "-a", f"cols={cols}")]


def run(command, args):
    threads = str(args.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def peer_times(group, args):
    """Milliseconds by (method, peer, rows, cols)."""
    script, *words = peer_command(group, args)
    clock = ["--cpu-time"] if args.cpu_time else []
    python = os.environ.get("SWATH_PEERS_PYTHON", sys.executable)
    text = run([python, str(PEERS / script), *words, "--threads", str(args.threads), *clock], args)
    found = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    times = {}
    for row in found:
        if "skipped" in row:
            raise SystemExit(f"{script}: {row['skipped']}")
        name, peer = row.get("name", group).removeprefix("mine."), row.get("way", "plain")
        if name == "margin_pml":
            name, peer = "margin", "pml"
        size = (row["batch"], row["width"]) if group == "nca" else (row["rows"], row["cols"])
        times[name, peer, *size] = row.get("median_ms", row.get("milliseconds"))
    return times


def swath_times(group, args):
    """Milliseconds by (method, rows, cols)."""
    clock = ["--cpu-time"] if args.cpu_time else []
    limits = ["--min-time", str(args.seconds), "--max-noise", "5", "--timeout", "30", "--peak-bandwidth", "1", "--peak-flops", "1"]
    found = json.loads(run([args.program, "bench", "--device", args.device, *swath_words(group, args), *limits, *clock, "--json"], args))
    times = {}
    for benchmark in found["benchmarks"]:
        name = benchmark["name"].removeprefix("mine.").removeprefix("loss.").removesuffix("_loss")
        for state in benchmark["states"]:
            sizes = {axis["name"]: int(axis["value"]) for axis in state["axis_values"]}
            values = {summary["tag"]: float(summary["data"][0]["value"]) for summary in state["summaries"]}
            times[name, sizes.get("rows", 0), sizes.get("cols", sizes.get("classes"))] = 1e3 * values["swath/batch/time/median"]
    return times


def floor_of(name, rows):
    if name == "multilabel_semihard" or (name == "distance" and rows >= 512):
        return 20.0
    if name in MINERS or name == "margin":
        return 5.0
    return 1.5 if name == "nca" else 1.2


def measure(group, args):
    """One row per method, peer and size: medians over the rounds."""
    pairs = [(peer_times(group, args), swath_times(group, args)) for _ in range(args.rounds)]
    rows = []
    for name, peer, *size in pairs[0][0]:
        theirs = [peers[name, peer, *size] for peers, _ in pairs]
        ours = [swath[name, *size] for _, swath in pairs]
        ratios = [a / b for a, b in zip(theirs, ours)]
        rows.append({"name": name, "peer": peer, "rows": size[0], "cols": size[1], "swath_ms": statistics.median(ours),
                     "peer_ms": statistics.median(theirs), "ratio": statistics.median(ratios), "lowest": min(ratios), "floor": None})
    for row in rows:
        alike = [r for r in rows if (r["name"], r["rows"], r["cols"]) == (row["name"], row["rows"], row["cols"])]
        judged = [r for r in alike if r["peer"] == "pml"] or [min(alike, key=lambda r: r["peer_ms"])]
        if row in judged and args.device == "cpu":
            row["floor"] = floor_of(row["name"], row["rows"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built swath")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="all, or on a GPU " + " ".join(GPU_GROUPS))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of swath and of its peers; no floors on a GPU")
    parser.add_argument("--rows", nargs="+", type=int, default=[112, 512, 2048])
    parser.add_argument("--cols", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--bank", type=int, default=269_695, help="rows of the bank of NCA, whose batch is 120 x 512")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer, in turns")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for one size in a run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu-time", action="store_true", help="time of the processors, for a busy machine")
    parser.add_argument("--json", metavar="FILE", help="write the rows there as well")
    args = parser.parse_args()
    groups = GROUPS if args.device == "cpu" else GPU_GROUPS
    args.only = args.only or groups
    if not set(args.only) <= set(groups):
        parser.error(f"on a GPU only {', '.join(groups)} have peers")
    line = "{:<20} {:<8} {:>5} {:>5} {:>10} {:>10} {:>8} {:>8} {:>6}  {}"
    print(line.format("method", "peer", "rows", "cols", "swath ms", "peer ms", "ratio", "lowest", "floor", ""))
    rows = []
    for group in args.only:
        for row in measure(group, args):
            rows.append(row)
            floor = row["floor"]
            print(line.format(row["name"], row["peer"], row["rows"], row["cols"], f"{row['swath_ms']:.3f}", f"{row['peer_ms']:.3f}",
                              f"{row['ratio']:.2f}", f"{row['lowest']:.2f}", floor or "", "missed" if floor and row["ratio"] < floor else ""),
                  flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"device": args.device, "threads": args.threads, "clock": "cpu" if args.cpu_time else "wall", "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
