"""Writes a file with the safetensors package (`write FILE`) or checks the one that safetensors_test wrote (`check FILE`)."""
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

action, path = sys.argv[1:]
expected = {
    "a.weight": (np.arange(12, dtype=np.float32) * 0.5).reshape(3, 4),
    "b.count": np.array([-5, 7], np.int64),
    "c.bytes": np.arange(5, dtype=np.uint8),
    "d.empty": np.zeros((0, 4), np.float32),
}
if action == "write":
    half = {"e.half": np.array([0.5, -2, 65504, 6e-8], np.float16), "f.double": np.array([0.25, -3.0])}
    save_file({**expected, **half}, path, metadata={"who": "peer"})
else:
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"who": "swath"}
        assert set(file.keys()) == set(expected)
        for name, value in expected.items():
            got = file.get_tensor(name)
            assert got.dtype == value.dtype and got.shape == value.shape and (got == value).all(), name
