"""Writes arrays with NumPy (`write FOLDER`) or checks with NumPy those that npy_test wrote (`check FOLDER`)."""
import sys

import numpy as np

action, folder = sys.argv[1:]
for name, kind in [("f4", "<f4"), ("i8", "<i8"), ("i4", "<i4"), ("u2", "<u2"), ("u1", "|u1")]:
    expected = (np.arange(24) * 3 % 251).astype(kind).reshape(2, 3, 4)
    if action == "write":
        np.save(f"{folder}/{name}.npy", expected)
        with open(f"{folder}/{name}_v2.npy", "wb") as file:
            np.lib.format.write_array(file, expected, version=(2, 0))
    else:
        got = np.load(f"{folder}/{name}.npy", allow_pickle=False)
        assert got.dtype == expected.dtype and got.shape == expected.shape and (got == expected).all(), name
if action == "write":
    np.save(f"{folder}/fortran.npy", np.asfortranarray(np.ones((2, 3), "<f4")))
    np.save(f"{folder}/object.npy", np.array([{}]), allow_pickle=True)
    np.save(f"{folder}/big_endian.npy", np.ones(3, ">f4"))
