"""Fast MoCo (docs/methods.md 6) in plain PyTorch, loss and gradient, timed.

Prints one JSON object per case: the median and the best milliseconds, and the loss. The counterpart in swath is
bench/moco_bench.cpp, which makes the same rows.
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
    parser.add_argument("--batch", type=int, nargs="+", default=[112, 512, 2048])
    parser.add_argument("--width", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--seconds", type=float, default=2, help="time to spend on a case, after one call that is not timed")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for width in args.width:
        for batch in args.batch:
            queries = unit_rows(batch, width, 1).requires_grad_()
            keys, queue = unit_rows(batch, width, 2), unit_rows(QUEUE_BATCHES * batch, width, 3)
            times, begun = [], None
            while begun is None or time.perf_counter() - begun < args.seconds or len(times) < 3:
                queries.grad = None
                start = time.perf_counter()
                loss = moco_loss(queries, keys, queue)
                loss.backward()
                if begun is None:
                    begun = time.perf_counter()
                else:
                    times.append(time.perf_counter() - start)
            print(
                json.dumps(
                    {
                        "program": f"pytorch {torch.__version__}",
                        "batch": batch,
                        "width": width,
                        "queue": QUEUE_BATCHES * batch,
                        "threads": args.threads,
                        "calls": len(times),
                        "milliseconds": 1e3 * statistics.median(times),
                        "best_milliseconds": 1e3 * min(times),
                        "loss": loss.item(),
                        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
