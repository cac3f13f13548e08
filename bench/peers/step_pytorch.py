"""One training step of ResNet-50 with the margin loss (docs/methods.md 2, 3, 5, 6) in PyTorch, timed.

Prints one JSON object: median and best images per second, the loss of the last step, the peak memory of the process, and how many
kernels one step launches (on the CPU: how many operators it calls).
The counterpart in swath is bench/step_bench.cpp; bench/step_ratio.py runs both in turns.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from torch.nn import functional


class Embedder(torch.nn.Module):
    """ResNet-50 v1.5 for any number of channels, global average pooling, dropout, one linear head, unit rows."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.trunk = torchvision.models.resnet50(weights=None)
        if channels != 3:
            self.trunk.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        features = self.trunk.fc.in_features
        self.trunk.fc = torch.nn.Identity()
        self.dropout = torch.nn.Dropout(0.01)
        self.head = torch.nn.Linear(features, width)

    def forward(self, images):
        return functional.normalize(self.head(self.dropout(self.trunk(images))).float())


class MarginLoss(torch.nn.Module):
    """Margin loss on semihard triplets; one category per row, one trainable boundary."""

    def __init__(self, margin: float = 0.2, beta: float = 1.2, nu: float = 0.1):
        super().__init__()
        self.margin, self.nu = margin, nu
        self.beta = torch.nn.Parameter(torch.tensor(beta))

    @torch.no_grad()
    def mine(self, rows, labels):
        """Anchors, positives, negatives. Every row is an anchor: labels come in pairs."""
        gram = rows @ rows.T
        squares = gram.diagonal()
        distance = (squares[:, None] + squares[None, :] - 2 * gram).clamp(min=0).sqrt().fill_diagonal_(0)
        same = labels[:, None] == labels[None, :]
        positive = same & ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        negative = ~same
        farthest = distance.masked_fill(~positive, -1).amax(1, keepdim=True)
        nearest = distance.masked_fill(~negative, float("inf")).amin(1, keepdim=True)
        hard_negative = negative & (distance < farthest)
        hard_positive = positive & (distance > nearest)
        negatives = torch.where(hard_negative.any(1, keepdim=True), hard_negative, negative).float()
        positives = torch.where(hard_positive.any(1, keepdim=True), hard_positive, positive).float()
        return slice(None), torch.multinomial(positives, 1)[:, 0], torch.multinomial(negatives, 1)[:, 0]

    def forward(self, rows, labels):
        anchors, positives, negatives = self.mine(rows.detach(), labels)
        d_ap = ((rows[anchors] - rows[positives]).square().sum(1) + 1e-8).sqrt()
        d_an = ((rows[anchors] - rows[negatives]).square().sum(1) + 1e-8).sqrt()
        pull = (d_ap - self.beta + self.margin).clamp(min=0)
        push = (self.beta - d_an + self.margin).clamp(min=0)
        active = ((pull > 0) | (push > 0)).sum().clamp(min=1)
        return ((pull + push).sum() + self.nu * self.beta.abs()) / active


def launches_of(run_step, cuda):
    """Kernels of one step as the profiler traces them."""
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CUDA if cuda else activity.CPU]) as trace:
        run_step()
        if cuda:
            torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return sum(event.get("cat") == ("kernel" if cuda else "cpu_op") for event in events)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--dtype", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32", help="bf16 and fp16 use autocast")
    parser.add_argument("--steps", type=int, default=8, help="timed steps, after those that are not; on a GPU five rounds")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="torch.compile of the network")
    args = parser.parse_args()
    cuda = args.device != "cpu"

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = args.dtype == "tf32"
    model = Embedder(args.channels, 512).to(args.device, memory_format=torch.channels_last).train()
    loss_function = MarginLoss().to(args.device)
    network = torch.compile(model, backend=args.backend) if args.compile else model
    optimizer = torch.optim.Adam(
        [
            {"params": model.parameters(), "lr": 1e-5, "weight_decay": 1e-4},
            {"params": loss_function.parameters(), "lr": 5e-4, "weight_decay": 0},
        ],
        fused=True,
    )
    scaler = torch.amp.GradScaler(args.device, enabled=args.dtype == "fp16")
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.dtype)
    images = torch.randn(args.batch, args.channels, args.size, args.size).to(args.device, memory_format=torch.channels_last)
    labels = (torch.arange(args.batch) // 2).to(args.device)

    def run_step():
        with torch.autocast(args.device, dtype=half, enabled=half is not None):
            rows = network(images)
        loss = loss_function(rows, labels)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    # Steps on a GPU are not waited for one by one; cuDNN's search for algorithms takes place in the first.
    rounds, steps = (5, args.steps) if cuda else (args.steps, 1)
    seconds = []
    for index in range(-1, rounds):
        start = time.perf_counter()
        for _ in range(2 if index < 0 else steps):
            loss = run_step()
        if cuda:
            torch.cuda.synchronize()
        value = loss.item()
        if index >= 0:
            seconds.append((time.perf_counter() - start) / steps)
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "program": f"pytorch {torch.__version__}",
                "device": torch.cuda.get_device_name() if cuda else "cpu",
                "compile": args.compile,
                "batch": args.batch,
                "size": args.size,
                "channels": args.channels,
                "dtype": args.dtype,
                "threads": args.threads,
                "steps": args.steps,
                "images_per_second": args.batch / statistics.median(seconds),
                "best_images_per_second": args.batch / min(seconds),
                "loss": value,
                "peak_mib": peak / 2**20,
                "launches": launches_of(run_step, cuda),
            }
        )
    )


if __name__ == "__main__":
    main()
