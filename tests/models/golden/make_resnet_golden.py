#!/usr/bin/env python3
"""Writes resnet50.safetensors and resnet18_12bands.safetensors beside this file: the forward result, every gradient and
the updated running statistics of torchvision's ResNet in double precision, and PyTorch's own float32 error of each: the
largest of six float32 runs, five of them with weights moved by one rounding. (A ReLU input next to 0 that rounding switches
on or off changes gradients by 1e-3; which one is hit differs from run to run.)

Weights, images and the gradient fed in come from an integer hash of tensor name and element, so that the C++ test makes
the same values. Tensors above 4096 elements are stored as a count sketch of 512 signed sums: the norm of the difference
of two sketches estimates the norm of the difference of the tensors (standard error about 3 %).

Needs: torch, torchvision, numpy, safetensors.
"""
import pathlib
import re

import numpy as np
import torch
import torchvision
from safetensors.numpy import save_file

SKETCH = 512
WHOLE = 4096
LAST_NORM = r"layer\d\.\d+\.bn%d\.weight$"
U64 = np.uint64


def splitmix(x):
    with np.errstate(over="ignore"):
        x = x + U64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
        return x ^ (x >> U64(31))


def name_hash(name):
    h = 14695981039346656037
    for c in name.encode():
        h = ((h ^ c) * 1099511628211) % 2**64
    return h


def uniform(name, count):
    """Multiples of 2^-24 in [0, 1)."""
    bits = splitmix(np.arange(count, dtype=U64) ^ U64(name_hash(name)))
    return (bits >> U64(40)).astype(np.float64) / 2.0**24


def values(name, shape, last_norm):
    u = uniform(name, int(np.prod(shape)))
    if len(shape) == 4 and name.endswith("weight"):
        v = (2 * u - 1) * np.sqrt(6.0 / (shape[0] * shape[2] * shape[3]))
    elif re.search(LAST_NORM % last_norm, name):
        v = 0.1 + 0.2 * u  # a weak residual branch, as in a trained network: rounding errors do not grow with depth
    elif name.endswith("running_var") or name.endswith("weight"):
        v = 0.5 + u
    elif name.endswith("bias") or name.endswith("running_mean"):
        v = (2 * u - 1) * 0.2
    else:
        v = (2 * u - 1) * 1.5
    return v.astype(np.float32).reshape(shape)


def sketch(array):
    """Elements in the order of PyTorch's layout (O, I, H, W)."""
    flat = np.asarray(array, np.float64).ravel()
    if flat.size <= WHOLE:
        return flat.astype(np.float32)
    h = splitmix(np.arange(flat.size, dtype=U64))
    sign = 1.0 - 2.0 * ((h >> U64(9)) & U64(1)).astype(np.float64)
    return np.bincount((h % U64(SKETCH)).astype(np.int64), flat * sign, SKETCH).astype(np.float32)


def run(depth, channels, size, batch, dtype, nudge=0):
    last_norm = 3 if depth in ("resnet50", "resnet101") else 2
    model = getattr(torchvision.models, depth)()
    model.fc = torch.nn.Identity()
    if channels != 3:
        model.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
        else:
            state[name] = torch.from_numpy(values(name, tuple(tensor.shape), last_norm))
            if nudge:
                up = np.random.default_rng(nudge).random(tuple(tensor.shape)) < 0.5
                state[name] = torch.where(torch.from_numpy(up), torch.nextafter(state[name], torch.tensor(9.0)), state[name])
    model.load_state_dict(state)
    model = model.to(dtype)
    images = torch.from_numpy(values("images", (batch, channels, size, size), last_norm)).to(dtype)
    result = {}
    with torch.no_grad():
        result["eval"] = model.eval()(images)
    model.train()
    features = model(images)
    features.backward(torch.from_numpy(values("d_features", tuple(features.shape), last_norm)).to(dtype))
    result["features"] = features.detach()
    for name, parameter in model.named_parameters():
        result["d." + name] = parameter.grad
    for name, buffer in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            result[name] = buffer
    return {name: tensor.double().numpy() for name, tensor in result.items()}


def write(file, depth, channels, size, batch):
    exact = run(depth, channels, size, batch, torch.float64)
    singles = [run(depth, channels, size, batch, torch.float32, nudge) for nudge in range(6)]
    out = {}
    for name, tensor in exact.items():
        out[name] = sketch(tensor)
        error = max(np.linalg.norm(single[name] - tensor) for single in singles) / np.linalg.norm(tensor)
        out[name + ".torch_error"] = np.array([error], np.float32)
    meta = {"depth": depth, "channels": str(channels), "size": str(size), "batch": str(batch), "torch": torch.__version__}
    save_file(out, file, metadata=meta)
    worst = max(float(v[0]) for k, v in out.items() if k.endswith("torch_error"))
    print(f"{file.name}: {len(exact)} tensors, largest error of PyTorch's float32 {worst:.2e}")


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    write(here / "resnet50.safetensors", "resnet50", 3, 128, 4)
    write(here / "resnet18_12bands.safetensors", "resnet18", 12, 64, 4)
