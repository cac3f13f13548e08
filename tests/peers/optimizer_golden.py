"""Prints the constants of tests/kernels/optimizer_golden.h: three steps of torch.optim on four float32 parameters."""
import torch

VALUES = [0.5, -1.25, 3.0, 0.0]
GRADS = [[0.1, -0.2, 0.3, 1e-4], [-0.05, 0.4, 0.25, 0.0], [0.2, 0.1, -2.0, -1e-3]]
CASES = [
    ("adam", lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2, foreach=False)),
    ("adamw", lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=1e-2, foreach=False)),
    ("sgd", lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=1e-2, foreach=False)),
]


def run(make):
    value = torch.nn.Parameter(torch.tensor(VALUES))
    optimizer = make([value])
    for grad in GRADS:
        value.grad = torch.tensor(grad)
        optimizer.step()
    return value.detach().tolist()


if __name__ == "__main__":
    print(f"// Written by tests/peers/optimizer_golden.py with torch {torch.__version__.split('+')[0]}.")
    print("#pragma once\n#include <array>\n\nnamespace swath::golden {\n")
    print("inline constexpr std::array<float, 4> kValues = {" + ", ".join(f"{v!r}f" for v in VALUES) + "};")
    rows = ", ".join("{" + ", ".join(f"{v!r}f" for v in g) + "}" for g in GRADS)
    print("inline constexpr float kGrads[3][4] = {" + rows + "};")
    for name, make in CASES:
        print(f"inline constexpr std::array<float, 4> k{name.capitalize()} = {{" + ", ".join(f"{v!r}f" for v in run(make)) + "};")
    print("\n}  // namespace swath::golden")
