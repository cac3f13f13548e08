"""Fast MoCo (docs/methods.md 6) in plain PyTorch, loss and gradient, timed.

Prints one JSON object per size: name, rows, cols, the queue's rows, and milliseconds of a call (median and best). The
counterpart in swath is `swath bench -b moco_loss`. On a busy machine, --cpu-time with --threads 1 measures what a call costs
rather than how long it waited.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch.nn import functional

QUEUE_BATCHES = 30


def moco_loss(queries, keys, queue, tau=0.07, lower=0.5, upper=1.4):
    positive = (queries * keys).sum(1, keepdim=True)
    negative = queries @ queue.T
    with torch.no_grad():
        width = queries.shape[1]
        distance = (2 - 2 * negative).clamp(min=0).sqrt()
        clamped = distance.clamp(min=lower)
        log_q = (width - 2) * clamped.log() + (width - 3) / 2 * (1 - clamped.square() / 4).clamp(min=1e-8).log()
        exponent = (-log_q).masked_fill(distance > upper, -torch.inf)
        weight = torch.softmax(exponent, 0)
        weight = torch.where((distance <= upper).any(0, keepdim=True), weight, 1 / len(queries))
    logits = torch.cat([positive, weight * negative], 1) / tau
    return functional.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.long))


def unit_rows(rows, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, width, generator=generator))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[112, 512, 2048])
    parser.add_argument("--cols", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--seconds", type=float, default=2, help="time for one size, after one call that is not timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="time of the processors instead of the clock on the wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    for cols in args.cols:
        for rows in args.rows:
            queries = unit_rows(rows, cols, 1).requires_grad_()
            keys, queue = unit_rows(rows, cols, 2), unit_rows(QUEUE_BATCHES * rows, cols, 3)

            def step():
                queries.grad = None
                start = clock()
                moco_loss(queries, keys, queue).backward()
                return clock() - start

            step()
            times, end = [], time.perf_counter() + args.seconds
            while len(times) < 3 or time.perf_counter() < end:
                times.append(step())
            row = {"program": f"pytorch {torch.__version__}", "name": "moco", "rows": rows, "cols": cols,
                   "queue": QUEUE_BATCHES * rows, "threads": args.threads, "clock": "cpu" if args.cpu_time else "wall",
                   "milliseconds": round(1e3 * statistics.median(times), 4),
                   "best_milliseconds": round(1e3 * min(times), 4),
                   "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
