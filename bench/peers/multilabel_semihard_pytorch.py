"""Multi-label semihard mining (docs/methods.md 5) in PyTorch and NumPy, timed from embeddings to triplets.

Distances, shared labels and one stable sort of all rows are whole-batch operations; then a loop over the anchors, as research
code has it, whose candidate sets are NumPy masks. Prints one JSON object per size: name, rows, cols, classes, milliseconds of a
call (median and best) and the triplets. The counterpart in swath is `swath bench -b mine.multilabel_semihard`. On a busy
machine, --cpu-time with --threads 1 measures what a call costs rather than how long it waited.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from torch.nn import functional


def mine(rows, labels, random, max_negatives=3, max_triplets=3):
    squares = (rows * rows).sum(1)
    distance = (squares[:, None] + squares[None, :] - 2 * rows @ rows.T).clamp(min=0).sqrt()
    distance.fill_diagonal_(0)
    order = torch.argsort(distance, dim=1, stable=True).numpy()
    similarity = (labels @ labels.T).short().numpy()
    triplets = []
    for anchor in range(len(rows)):
        by_distance = order[anchor]
        shared = similarity[anchor, by_distance]
        found = 0
        positives = np.flatnonzero((shared > 0) & (by_distance != anchor))
        for place in positives[::-1]:
            nearer, positive = shared[:place], by_distance[place]
            fine = by_distance[:place][(nearer > 0) & (nearer < shared[place])]
            triplets.extend((anchor, positive, negative) for negative in fine)
            none = by_distance[:place][nearer == 0]
            draws = min(max_negatives, len(none))
            if draws > 0:
                triplets.extend((anchor, positive, negative) for negative in random.choice(none, draws))
            found += len(fine) + draws
            if draws > 0 and found >= max_triplets:
                break
    return np.array(triplets, dtype=np.int32).reshape(-1, 3)


def multi_hot(rows, classes, mean, random):
    """1 to 2 * mean - 1 distinct classes a row."""
    labels = np.zeros((rows, classes), np.float32)
    for row in labels:
        row[random.choice(classes, min(classes, random.integers(1, 2 * mean)), replace=False)] = 1
    return torch.from_numpy(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[112, 512, 2048])
    parser.add_argument("--cols", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--classes", type=int, default=43)
    parser.add_argument("--labels", type=int, default=3, help="mean labels of a row")
    parser.add_argument("--seconds", type=float, default=1, help="time to spend on a size, after one call that is not timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="time of the process on its processors")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    for count in args.rows:
        for cols in args.cols:
            random = np.random.default_rng(1)
            rows = functional.normalize(torch.randn(count, cols, generator=torch.Generator().manual_seed(1)))
            labels = multi_hot(count, args.classes, args.labels, random)
            triplets = mine(rows, labels, random)
            times = []
            while len(times) < 3 or sum(times) < args.seconds:
                start = clock()
                triplets = mine(rows, labels, random)
                times.append(clock() - start)
            print(
                json.dumps(
                    {
                        "name": "mine.multilabel_semihard",
                        "program": f"pytorch {torch.__version__}",
                        "rows": count,
                        "cols": cols,
                        "classes": args.classes,
                        "threads": args.threads,
                        "calls": len(times),
                        "median_ms": round(1e3 * statistics.median(times), 4),
                        "best_ms": round(1e3 * min(times), 4),
                        "triplets": len(triplets),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
