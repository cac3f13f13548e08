"""NCA with a memory bank (docs/methods.md 6) as research code writes it in PyTorch: loss, gradient, bank update, timed.

The B x N similarities, their exponentials and the label similarities of the batch are dense. Label similarities come from a
product of multi-hot rows for each batch: the N x N matrix that the original code keeps would take 270 GB at the default size.
Prints one JSON object: median and best milliseconds of a step, the loss, and the memory that the process took beyond bank and
labels. The counterpart is `swath bench -b loss.nca`. On a busy machine, --cpu-time measures what a step costs rather than how
long it waited.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch.nn import functional


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def nca_loss(embeddings, index, bank, multi_hot, temperature):
    similarity = multi_hot[index] @ multi_hot.T / multi_hot.shape[1]
    weight = torch.exp(embeddings @ bank.T / temperature)
    weight = weight.scatter(1, index[:, None], 0)
    positive, total = (weight * similarity).sum(1), weight.sum(1)
    share = (positive / total)[positive > 0]
    return -share.log().sum() / len(embeddings)


@torch.no_grad()
def update(bank, embeddings, index, momentum):
    rows = momentum * bank[index] + (1 - momentum) * embeddings
    bank[index] = functional.normalize(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=269_695)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--batch", type=int, default=120)
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one that is not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="time of the processors instead of the clock on the wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    limit = (args.width / 3) ** -0.5
    bank = torch.empty(args.rows, args.width).uniform_(-limit, limit)
    multi_hot = (torch.rand(args.rows, args.classes) < 3 / args.classes).float()
    embeddings = functional.normalize(torch.randn(args.batch, args.width)).requires_grad_()
    clock = time.process_time if args.cpu_time else time.perf_counter
    before = peak_mib()
    seconds = []
    for step in range(args.steps + 1):
        index = torch.randperm(args.rows)[: args.batch]
        embeddings.grad = None
        start = clock()
        loss = nca_loss(embeddings, index, bank, multi_hot, 0.05)
        loss.backward()
        update(bank, embeddings.detach(), index, 0.5)
        if step > 0:
            seconds.append(clock() - start)
    print(
        json.dumps(
            {
                "program": f"pytorch {torch.__version__}",
                "rows": args.rows,
                "width": args.width,
                "batch": args.batch,
                "classes": args.classes,
                "threads": args.threads,
                "clock": "cpu" if args.cpu_time else "wall",
                "milliseconds": 1e3 * statistics.median(seconds),
                "best_milliseconds": 1e3 * min(seconds),
                "loss": loss.item(),
                "extra_mib": peak_mib() - before,
            }
        )
    )


if __name__ == "__main__":
    main()
