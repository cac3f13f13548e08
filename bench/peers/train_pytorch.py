"""The baseline recipe (docs/methods.md 1, 2, 3, 5, 6, 7: margin loss on semihard triplets of pair rows) as a plain PyTorch script.

Reads what swath packed and exported, so that both train from the same weights on the same images:
    swath train --config configs/ucmerced.json --root UCMerced --set run.name=first
    swath export --run runs/first --checkpoint untrained --out first.safetensors
    python bench/peers/train_pytorch.py packs/ucmerced first.safetensors --seed 1
Prints one JSON object: Recall@1, 2, 4, 8 on test of the weights that were best on val, before training and after; seconds.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy
import torch
import torchvision
from safetensors.torch import load_file
from step_pytorch import MarginLoss
from torch.nn import functional


class Split:
    """A packed split: pixels N x H x W x C on the device, multi-hot labels."""

    def __init__(self, folder: Path, part: str, device: str):
        self.pixels = torch.from_numpy(numpy.load(folder / f"{part}.npy")).to(device)
        sidecar = json.loads((folder / f"{part}.json").read_text())
        content = json.loads(sidecar["content"]) if isinstance(sidecar["content"], str) else sidecar["content"]
        labels = numpy.zeros((len(content["labels"]), len(content["classes"])), numpy.float32)
        for row, classes in enumerate(content["labels"]):
            labels[row, classes] = 1
        self.host_labels = labels
        self.labels = torch.from_numpy(labels).to(device)


class Embedder(torch.nn.Module):
    """ResNet v1.5, global average pooling, dropout, one linear head, unit rows."""

    def __init__(self, backbone: str, width: int, weights: dict):
        super().__init__()
        self.trunk = getattr(torchvision.models, backbone)(weights=None)
        self.head = torch.nn.Linear(self.trunk.fc.in_features, width)
        self.trunk.fc = torch.nn.Identity()
        self.dropout = torch.nn.Dropout(0.01)
        head = {name.removeprefix("head.embedding."): value for name, value in weights.items() if name.startswith("head.")}
        self.head.load_state_dict(head)
        trunk = {name: value for name, value in weights.items() if not name.startswith("head.")}
        missing, unexpected = self.trunk.load_state_dict(trunk, strict=False)
        assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)

    def forward(self, images):
        return functional.normalize(self.head(self.dropout(self.trunk(images)).float()))


def standardise(images):
    images = images.permute(0, 3, 1, 2).float() / 255
    deviation, mean = torch.std_mean(images, dim=(2, 3), correction=0, keepdim=True)
    return ((images - mean) / (deviation + 1e-8)).contiguous(memory_format=torch.channels_last)


def augmented(images, crop: int, random: numpy.random.Generator):
    """A random crop and one flip of each image."""
    n, height, width, _ = images.shape
    rows = torch.from_numpy(random.integers(0, height - crop + 1, n))[:, None] + torch.arange(crop)
    columns = torch.from_numpy(random.integers(0, width - crop + 1, n))[:, None] + torch.arange(crop)
    vertical = torch.from_numpy(random.integers(0, 2, n) == 1)
    rows[vertical] = rows[vertical].flip(1)
    columns[~vertical] = columns[~vertical].flip(1)
    index = torch.arange(n)[:, None, None].to(images.device)
    return standardise(images[index, rows[:, :, None].to(images.device), columns[:, None, :].to(images.device)])


def balanced_batch(labels, per_class: int, random: numpy.random.Generator):
    """For every class so many of its images; repeated images are replaced by others."""
    chosen = {}
    for members in (numpy.flatnonzero(column) for column in labels.T):
        for image in random.choice(members, per_class, replace=len(members) < per_class):
            chosen[int(image)] = True
    rest = [int(i) for i in random.permutation(len(labels)) if int(i) not in chosen]
    wanted = per_class * labels.shape[1]
    return numpy.array((list(chosen) + rest)[:wanted])


def pair_rows(labels, per_class: int, random: numpy.random.Generator):
    """Rows of one category each: for every class of the batch so many of its images."""
    rows, categories = [], []
    for category, members in enumerate(numpy.flatnonzero(column) for column in labels.T):
        if len(members):
            rows.extend(random.choice(members, per_class, replace=len(members) < per_class))
            categories.extend([category] * per_class)
    return torch.tensor(numpy.array(rows)), torch.tensor(categories)


class PairRowsLoss(MarginLoss):
    """Of pair rows, some of which may have no partner or no stranger among them."""

    @torch.no_grad()
    def mine(self, rows, categories):
        squares = (rows @ rows.T).mul(-2) + rows.square().sum(1)[:, None] + rows.square().sum(1)[None, :]
        distance = squares.clamp(min=0).sqrt().fill_diagonal_(0)
        same = categories[:, None] == categories[None, :]
        negative, positive = ~same, same.clone().fill_diagonal_(False)
        usable = torch.nonzero(positive.any(1) & negative.any(1))[:, 0]
        hard_negative = negative & (distance < distance.masked_fill(~positive, -1).amax(1, keepdim=True))
        hard_positive = positive & (distance > distance.masked_fill(~negative, math.inf).amin(1, keepdim=True))
        negatives = torch.where(hard_negative.any(1, keepdim=True), hard_negative, negative)[usable].float()
        positives = torch.where(hard_positive.any(1, keepdim=True), hard_positive, positive)[usable].float()
        return usable, torch.multinomial(positives, 1)[:, 0], torch.multinomial(negatives, 1)[:, 0]


@torch.no_grad()
def recall(model, split: Split, crop: int, ks=(1, 2, 4, 8)):
    """Multi-label Recall@K: the share of a query's labels that its K nearest neighbours have together, on average."""
    model.eval()
    _, height, width, _ = split.pixels.shape
    top, left = (height - crop) // 2, (width - crop) // 2
    centre = split.pixels[:, top : top + crop, left : left + crop]
    rows = torch.cat([model(standardise(chunk)) for chunk in centre.split(256)])
    model.train()
    nearest = torch.cdist(rows, rows).fill_diagonal_(math.inf).topk(max(ks), largest=False).indices
    found = [split.labels[nearest[:, :k]].amax(1) for k in ks]
    return [float(((split.labels * union).sum(1) / split.labels.sum(1)).mean()) for union in found]


def learning_rate(epoch: int, epochs: int, base: float, warmup: int):
    if epoch < warmup:
        return base * (epoch + 1) / (warmup + 1)
    return base * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, epochs - warmup)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path, help="folder of packed splits")
    parser.add_argument("weights", help="untrained weights, written by swath export")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--every", type=int, default=2, help="epochs between evaluations on val")
    parser.add_argument("--bf16", action="store_true", help="autocast of the network")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    random = numpy.random.default_rng(args.seed)
    train, val, test = (Split(args.packed, part, args.device) for part in ("train", "val", "test"))
    weights = load_file(args.weights)
    model = Embedder(args.backbone, weights["head.embedding.weight"].shape[0], weights)
    model = model.to(args.device, memory_format=torch.channels_last).train()
    loss_function = PairRowsLoss().to(args.device)
    optimizer = torch.optim.Adam(
        [
            {"params": model.parameters(), "lr": args.lr, "weight_decay": 1e-4},
            {"params": loss_function.parameters(), "lr": 5e-4, "weight_decay": 0},
        ],
        fused=True,
    )
    base = [group["lr"] for group in optimizer.param_groups]
    untrained, best, best_state = recall(model, test, args.crop), -1.0, None
    per_class, start, trained_seconds = 2, time.perf_counter(), 0.0
    for epoch in range(args.epochs):
        began = time.perf_counter()
        for group, rate in zip(optimizer.param_groups, base):
            group["lr"] = learning_rate(epoch, args.epochs, rate, 1)
        for _ in range(max(1, len(train.host_labels) // (per_class * train.host_labels.shape[1]))):
            batch = balanced_batch(train.host_labels, per_class, random)
            images = augmented(train.pixels[torch.from_numpy(batch).to(args.device)], args.crop, random)
            rows, categories = pair_rows(train.host_labels[batch], per_class, random)
            with torch.autocast(torch.device(args.device).type, dtype=torch.bfloat16, enabled=args.bf16):
                embeddings = model(images)
            loss = loss_function(embeddings.float()[rows.to(args.device)], categories.to(args.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()
        trained_seconds += time.perf_counter() - began
        if (epoch + 1) % args.every == 0 or epoch + 1 == args.epochs:
            value = recall(model, val, args.crop)[0]
            if value > best:
                best, best_state = value, copy.deepcopy(model.state_dict())
    seconds = time.perf_counter() - start
    model.load_state_dict(best_state)
    print(
        json.dumps(
            {
                "program": f"pytorch {torch.__version__}",
                "seed": args.seed,
                "untrained": untrained,
                "trained": recall(model, test, args.crop),
                "train_seconds": trained_seconds,
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
