"""Turns a PyTorch checkpoint into safetensors: pth_to_safetensors.py CHECKPOINT.pth WEIGHTS.safetensors

Needs torch and safetensors. Nothing that the checkpoint holds is executed. It may be a state_dict, or hold one as state_dict,
model_state_dict or model; a prefix module. that all names share is dropped, and so is what is no tensor.
"""
import sys

HOLDERS = ("state_dict", "model_state_dict", "model")
PREFIX = "module."


def fail(sentence):
    print(f"pth_to_safetensors: {sentence}", file=sys.stderr)
    sys.exit(3)


def tensors_of(loaded, torch):
    for holder in HOLDERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(holder), dict):
            loaded = loaded[holder]
            break
    state = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)} if isinstance(loaded, dict) else {}
    if state and all(name.startswith(PREFIX) for name in state):
        state = {name[len(PREFIX):]: value for name, value in state.items()}
    # Tensors that share memory become tensors of their own: the format has no sharing.
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    source, target = sys.argv[1:]
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as missing:
        fail(f"{missing}; install torch and safetensors")
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as problem:
        fail(f"{source} cannot be read as a checkpoint of tensors: {str(problem).splitlines()[0]}")
    state = tensors_of(loaded, torch)
    if not state:
        fail(f"{source} holds no tensors by name, nor under {', '.join(HOLDERS)}; save a state_dict")
    try:
        save_file(state, target)
    except Exception as problem:
        fail(f"{target} cannot be written: {problem}")
    print(f"{target}: {len(state)} tensors")


main()
