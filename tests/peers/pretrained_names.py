"""pretrained_names.py FOLDER: ResNets of torchvision and timm as safetensors, and what must come of them (K×R×S×C, 12 bands).

Every value is drawn anew, so that tensors of equal shape differ. Exits 77 where torch, torchvision, timm or safetensors lacks.
"""
import os
import sys

try:
    import timm
    import torch
    import torchvision
    from safetensors.torch import save_file
except ImportError as error:
    print(error)
    sys.exit(77)

folder = sys.argv[1]
torch.manual_seed(7)


def own_layout(state):
    """Without the classifier and the counters; convolutions have the input channels last."""
    kept = {name: value for name, value in state.items() if not name.startswith("fc.") and value.is_floating_point()}
    return {name: (value.permute(0, 2, 3, 1) if value.dim() == 4 else value).contiguous() for name, value in kept.items()}


def save(state, name):
    save_file(state, os.path.join(folder, name + ".safetensors"))


for origin, make in (("torchvision", torchvision.models.resnet18), ("timm", lambda: timm.create_model("resnet18"))):
    state = {k: torch.randn_like(v) if v.is_floating_point() else v for k, v in make().state_dict().items()}
    save(state, origin)
    save(own_layout(state), origin + "_own")
    stem = state["conv1.weight"]
    save(own_layout({**state, "conv1.weight": torch.cat([stem] + [stem[:, 1:2]] * 9, 1)}), origin + "_12_own")
    save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, origin + "_half")
    save(own_layout({k: v.half().float() for k, v in state.items() if v.is_floating_point()}), origin + "_half_own")
    torch.save(state, os.path.join(folder, origin + ".pth"))
