"""Runs swath's training step and PyTorch's in turns and prints the ratios of speed and of peak memory.

The peers take turns so that a change of the machine's load meets both. Needs a Python with torch and torchvision.
    python bench/step_ratio.py build/cpu/bench/swath_step_bench
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

CASES = {
    "3x224": ["--batch", "16", "--size", "224", "--channels", "3"],
    "12x100": ["--batch", "32", "--size", "100", "--channels", "12"],
}


def measure(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built swath_step_bench")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer per case")
    parser.add_argument("--steps", default="6", help="timed steps per run")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--dtypes", nargs="*", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    python = os.environ.get("SWATH_PEERS_PYTHON", sys.executable)
    peer = [python, str(Path(__file__).parent / "peers" / "step_pytorch.py"), "--threads", args.threads]
    os.environ["OMP_NUM_THREADS"] = args.threads
    print(f"{'case':<8} {'dtype':<5} {'swath img/s':>11} {'pytorch':>8} {'ratio':>6} {'lowest':>6} {'MiB':>6} {'pytorch':>8} {'ratio':>6}")
    for case in args.cases:
        for dtype in args.dtypes:
            common = CASES[case] + ["--dtype", dtype, "--steps", args.steps]
            ours, theirs = [], []
            for _ in range(args.rounds):
                theirs.append(measure(peer + common))
                ours.append(measure([args.program, "--json"] + common))
            speed = [statistics.median(r["images_per_second"] for r in runs) for runs in (ours, theirs)]
            lowest = min(a["images_per_second"] / b["images_per_second"] for a, b in zip(ours, theirs))
            peak = [statistics.median(r["peak_mib"] for r in runs) for runs in (ours, theirs)]
            print(
                f"{case:<8} {dtype:<5} {speed[0]:>11.2f} {speed[1]:>8.2f} {speed[0] / speed[1]:>6.2f} {lowest:>6.2f}"
                f" {peak[0]:>6.0f} {peak[1]:>8.0f} {peak[0] / peak[1]:>6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
