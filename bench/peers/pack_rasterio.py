"""Packs a BigEarthNet archive with rasterio on one core: pack_rasterio.py ARCHIVE OUT. Prints images, seconds and processor seconds."""
import json
import os
import sys
import time

import numpy as np
import rasterio
from rasterio.enums import Resampling

BANDS = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12".split()
root, out = sys.argv[1:]
begin, cpu_begin = time.perf_counter(), time.process_time()
patches = []
for name in sorted(os.listdir(root)):
    if os.path.isdir(os.path.join(root, name)):
        try:
            with open(os.path.join(root, name, name + "_labels_metadata.json")) as file:
                json.load(file)
        except json.JSONDecodeError:
            continue
        patches.append(name)
pixels = np.lib.format.open_memmap(os.path.join(out, "train.npy"), "w+", np.uint16, (len(patches), 120, 120, 12))
for i, name in enumerate(patches):
    for b, band in enumerate(BANDS):
        with rasterio.open(os.path.join(root, name, f"{name}_{band}.tif")) as file:
            pixels[i, :, :, b] = file.read(1, out_shape=(120, 120), resampling=Resampling.bilinear)
pixels.flush()
print(len(patches), time.perf_counter() - begin, time.process_time() - cpu_begin)
