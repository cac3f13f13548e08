"""The random miners of docs/methods.md 5 in PyTorch, timed from embeddings to triplets: semihard, distance, random_distance and
intra_random.

Three ways: `loop` draws anchor by anchor with NumPy, as research code does; `batched` holds every anchor's candidates in B x B
tensors; `pml` is pytorch-metric-learning's DistanceWeightedMiner (which lists every pair of a positive and a drawn negative).
Prints a JSON list: name, way, rows, cols, median and best milliseconds, triplets. The rows are random unit vectors, two of each
class in turn, as balanced batches have them.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from torch.nn import functional


def distances(rows):
    squares = (rows * rows).sum(1)
    squared = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    result = squared.clamp(min=0).sqrt()
    result.fill_diagonal_(0)
    return result


def log_inverse_density(distance, width, lower_cutoff=0.5):
    d = distance.clamp(min=lower_cutoff)
    return (2 - width) * d.log() - (width - 3) / 2 * (1 - d * d / 4).clamp(min=1e-8).log()


def semihard_loop(rows, labels):
    distance = distances(rows).numpy()
    labels = labels.numpy()
    triplets = []
    for i, row in enumerate(distance):
        positive = labels == labels[i]
        negative = ~positive
        positive[i] = False
        if not positive.any() or not negative.any():
            continue
        hard_negative = negative & (row < row[positive].max())
        hard_positive = positive & (row > row[negative].min())
        triplets.append((i, np.random.choice(np.flatnonzero(hard_positive if hard_positive.any() else positive)),
                         np.random.choice(np.flatnonzero(hard_negative if hard_negative.any() else negative))))
    return triplets


def distance_loop(rows, labels):
    distance = distances(rows)
    names = labels.numpy()
    triplets = []
    for i in range(len(rows)):
        positive = names == names[i]
        negative = ~positive
        positive[i] = False
        if not positive.any() or not negative.any():
            continue
        exponent = log_inverse_density(distance[i], rows.shape[1])
        exponent[torch.from_numpy(~negative)] = -torch.inf
        weight = (exponent - exponent.max()).exp().double().numpy()
        triplets.append((i, np.random.choice(np.flatnonzero(positive)), np.random.choice(len(names), p=weight / weight.sum())))
    return triplets


def intra_random_loop(rows, labels):
    names = labels.numpy()
    members = {c: np.flatnonzero(names == c) for c in np.unique(names)}
    classes = list(members)
    return [tuple(np.random.choice(members[classes[np.random.randint(len(classes))]], 3)) for _ in range(len(rows))]


def masks(labels):
    positive = labels[:, None] == labels[None, :]
    negative = ~positive
    positive.fill_diagonal_(False)
    return positive, negative


def draw(weight):
    return torch.multinomial(weight, 1)[:, 0]


def listed(positive, negative, positive_weight, negative_weight):
    anchor = torch.nonzero(positive.any(1) & negative.any(1))[:, 0]
    return torch.stack([anchor, draw(positive_weight[anchor]), draw(negative_weight[anchor])], 1)


def semihard_batched(rows, labels):
    distance = distances(rows)
    positive, negative = masks(labels)
    hard_negative = negative & (distance < distance.masked_fill(~positive, -torch.inf).max(1).values[:, None])
    hard_positive = positive & (distance > distance.masked_fill(~negative, torch.inf).min(1).values[:, None])
    hard_negative = torch.where(hard_negative.any(1)[:, None], hard_negative, negative)
    hard_positive = torch.where(hard_positive.any(1)[:, None], hard_positive, positive)
    return listed(positive, negative, hard_positive.float(), hard_negative.float())


def distance_batched(rows, labels):
    positive, negative = masks(labels)
    exponent = log_inverse_density(distances(rows), rows.shape[1]).masked_fill(~negative, -torch.inf)
    weight = (exponent - exponent.max(1).values[:, None]).exp()
    return listed(positive, negative, positive.float(), weight)


def intra_random_batched(rows, labels):
    _, sizes = torch.unique(labels, return_counts=True)
    order = torch.argsort(labels, stable=True)
    begin = sizes.cumsum(0) - sizes
    chosen = torch.randint(len(sizes), (len(rows),))
    place = (torch.rand(len(rows), 3) * sizes[chosen][:, None]).long()
    return order[begin[chosen][:, None] + place]


def permuted(mine):
    return lambda rows, labels: mine(rows, labels[torch.randperm(len(labels))])


def pml():
    from pytorch_metric_learning import miners

    miner = miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=2.0)
    return lambda rows, labels: torch.stack(miner(rows, labels), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[112, 512, 2048])
    parser.add_argument("--cols", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each case, three calls at least")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda, where the ways are batched and pml")
    parser.add_argument("--cpu-time", action="store_true", help="time of the processors instead of the clock on the wall")
    parser.add_argument("--ways", nargs="+", default=["loop", "batched", "pml"], choices=["loop", "batched", "pml"])
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    if args.device != "cpu":
        args.ways = [way for way in args.ways if way != "loop"]
        torch.set_default_device(args.device)
    wait, calls = (lambda: None, 1) if args.device == "cpu" else (torch.cuda.synchronize, 10)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    ways = {
        "loop": {"semihard": semihard_loop, "distance": distance_loop, "random_distance": permuted(distance_loop),
                 "intra_random": intra_random_loop},
        "batched": {"semihard": semihard_batched, "distance": distance_batched, "random_distance": permuted(distance_batched),
                    "intra_random": intra_random_batched},
        "pml": {},
    }
    if "pml" in args.ways:
        ways["pml"] = {"distance": pml()}
    results = []
    for count in args.rows:
        for cols in args.cols:
            rows = functional.normalize(torch.randn(count, cols))
            labels = torch.arange(count) // 2
            for way in args.ways:
                for name, mine in ways[way].items():
                    times = []
                    with torch.no_grad():
                        triplets = mine(rows, labels)
                        wait()
                        while len(times) < 3 or sum(times) * calls < args.seconds:
                            start = clock()
                            for _ in range(calls):
                                triplets = mine(rows, labels)
                            wait()
                            times.append((clock() - start) / calls)
                    results.append({"name": name, "way": way, "rows": count, "cols": cols,
                                    "median_ms": round(1e3 * statistics.median(times), 4),
                                    "best_ms": round(1e3 * min(times), 4), "triplets": len(triplets)})
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
