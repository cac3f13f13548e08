"""Losses over rows (docs/methods.md 6, 7) as plain PyTorch, forward and backward, timed.

Prints one JSON object per loss and size: name, rows, cols, and milliseconds of a call (median and best). `margin_pml` is the
margin loss of pytorch-metric-learning on the same triplets; the other losses are not in that library. The inputs are those of
swath's benchmarks of the same names: triplets and labels at random, embeddings of three learners in BIER's proportions. On a
busy machine, --cpu-time with --threads 1 measures what a call costs rather than how long it waited.
"""

import argparse
import json
import statistics
import time

import torch
from torch.nn import functional


def unit_parts(rows, widths):
    parts = torch.randn(rows, sum(widths)).split(widths, 1)
    return torch.cat([functional.normalize(part) for part in parts], 1).requires_grad_()


def learner_widths(cols):
    return [cols * 3 // 16, cols * 5 // 16, cols - cols * 3 // 16 - cols * 5 // 16]


def margin_call(rows, cols):
    x = unit_parts(rows, [cols])
    beta = torch.tensor(1.2, requires_grad=True)
    anchors, positives, negatives = torch.randint(rows, (3, rows))

    def loss():
        d_ap = ((x[anchors] - x[positives]).square().sum(1) + 1e-8).sqrt()
        d_an = ((x[anchors] - x[negatives]).square().sum(1) + 1e-8).sqrt()
        pull = (d_ap - beta + 0.2).clamp(min=0)
        push = (beta - d_an + 0.2).clamp(min=0)
        active = ((pull > 0) | (push > 0)).sum().clamp(min=1)
        return ((pull + push).sum() + 0.1 * beta.abs()) / active

    return loss, [x, beta]


def margin_pml_call(rows, cols):
    from pytorch_metric_learning import losses

    x = unit_parts(rows, [cols])
    margin = losses.MarginLoss(margin=0.2, nu=0.1, beta=1.2, learn_beta=True)
    labels = torch.arange(rows) // 2 % 43
    triplets = tuple(torch.randint(rows, (3, rows)))
    return lambda: margin(x, labels, triplets), [x, *margin.parameters()]


def binomial_call(rows, cols):
    widths = learner_widths(cols)
    x = unit_parts(rows, widths)
    beta = torch.tensor(0.5, requires_grad=True)
    labels = torch.arange(rows) // 2 % 43

    def loss():
        same = labels[:, None] == labels[None, :]
        weight = torch.where(same, 1 / same.sum(), 1 / (~same).sum().clamp(min=1)).fill_diagonal_(0)
        sign = torch.where(same, 1.0, -25.0)
        total, ensemble, boost = 0, 0, 1
        for k, part in enumerate(x.split(widths, 1), 1):
            a = 2 * (part @ part.T - beta) * sign
            total = total + (functional.softplus(-a) * boost * weight).sum() / len(widths) + 0.1 * beta.abs()
            eta = 2 / (k + 1)
            ensemble = (1 - eta) * ensemble + eta * a.detach()
            boost = torch.sigmoid(-ensemble)
        return total

    return loss, [x, beta]


def bce_call(rows, classes):
    logits = (3 * torch.randn(rows, classes)).requires_grad_()
    labels = (torch.rand(rows, classes) < 0.1).float()
    return lambda: functional.binary_cross_entropy_with_logits(logits, labels), [logits]


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x.view_as(x)

    @staticmethod
    def backward(_, gradient):
        return -gradient


def regressor(source, target):
    return torch.nn.Sequential(torch.nn.Linear(source, 512), torch.nn.ReLU(), torch.nn.Linear(512, target))


def adversarial_call(rows, cols):
    widths = learner_widths(cols)
    x = unit_parts(rows, widths)
    directions = [(0, 1), (0, 2), (1, 2)]
    regressors = torch.nn.ModuleList(regressor(widths[s], widths[t]) for s, t in directions)

    def loss():
        parts = [functional.normalize(Reverse.apply(part)) for part in x.split(widths, 1)]
        total = 0
        for (source, target), predict in zip(directions, regressors):
            total = total - 1e5 * (parts[target] * functional.normalize(predict(parts[source]))).square().mean()
        return total

    return loss, [x, *regressors.parameters()]


def weight_norm_call(_, cols):
    widths = learner_widths(cols)
    heads = torch.nn.ModuleList(torch.nn.Linear(2048, width) for width in widths)
    regressors = torch.nn.ModuleList(regressor(widths[s], widths[t]) for s, t in [(0, 1), (0, 2), (1, 2)])

    def rows_to_unit(layer):
        return (layer.weight.square().sum(1) - 1).square().mean()

    def bias_within_unit(layer):
        return (layer.bias.square().sum() - 1).clamp(min=0)

    def loss():
        of_heads = sum(rows_to_unit(head) for head in heads) / len(heads)
        of_regressors = sum(rows_to_unit(r[i]) + bias_within_unit(r[i]) for r in regressors for i in (0, 2))
        return of_heads + of_regressors / len(regressors)

    return loss, [*(head.weight for head in heads), *regressors.parameters()]


SQUARE = [(rows, cols) for rows in (112, 512, 2048) for cols in (128, 512)]
CALLS = {
    "margin": (margin_call, SQUARE),
    "margin_pml": (margin_pml_call, SQUARE),
    "binomial": (binomial_call, SQUARE),
    "bce": (bce_call, [(rows, classes) for rows in (120, 512, 2048) for classes in (19, 43, 60, 256)]),
    "adversarial": (adversarial_call, SQUARE),
    "weight_norm": (weight_norm_call, [(0, 128), (0, 512)]),
}


def time_call(call, rows, cols, seconds, clock, cuda):
    """Seconds of a call; on a GPU of ten that are not waited for in between."""
    loss, inputs = call(rows, cols)

    def step():
        for value in inputs:
            value.grad = None
        loss().backward()

    calls = 10 if cuda else 1
    times = []
    step()
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = clock()
        for _ in range(calls):
            step()
        if cuda:
            torch.cuda.synchronize()
        times.append((clock() - start) / calls)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(CALLS), nargs="+", default=list(CALLS), help="losses to time")
    parser.add_argument("--rows", type=int, nargs="+", help="instead of the sizes that the loss has")
    parser.add_argument("--cols", type=int, nargs="+", help="with --rows; of bce the classes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for one size")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--cpu-time", action="store_true", help="time of the processors instead of the clock on the wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    torch.manual_seed(0)
    clock = time.process_time if args.cpu_time else time.perf_counter
    for name in args.only:
        call, sizes = CALLS[name]
        if args.rows and args.cols:
            sizes = [(rows, cols) for rows in args.rows for cols in args.cols]
        for rows, cols in sizes:
            try:
                times = time_call(call, rows, cols, args.seconds, clock, args.device != "cpu")
            except ModuleNotFoundError as error:
                print(json.dumps({"name": name, "skipped": str(error)}), flush=True)
                break
            row = {"program": f"pytorch {torch.__version__}", "name": name, "rows": rows, "cols": cols,
                   "threads": args.threads, "clock": "cpu" if args.cpu_time else "wall",
                   "milliseconds": round(1e3 * statistics.median(times), 5),
                   "best_milliseconds": round(1e3 * min(times), 5)}
            print(json.dumps(row), flush=True)


main()
