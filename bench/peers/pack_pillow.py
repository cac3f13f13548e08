"""Packs an MLRSNet archive with Pillow and NumPy on one core: pack_pillow.py ARCHIVE OUT. Prints images, seconds and processor seconds."""
import csv
import glob
import os
import sys
import time

import numpy as np
from PIL import Image

root, out = sys.argv[1:]
begin, cpu_begin = time.perf_counter(), time.process_time()
images = []
for name in sorted(glob.glob(os.path.join(root, "labels", "*.csv"))):
    category = os.path.splitext(os.path.basename(name))[0]
    with open(name, newline="") as file:
        for row in csv.DictReader(file):
            images.append(os.path.join(root, "Images", category, row["image"]))
pixels = np.lib.format.open_memmap(os.path.join(out, "train.npy"), "w+", np.uint8, (len(images), 256, 256, 3))
for i, name in enumerate(images):
    with Image.open(name) as image:
        image = image.convert("RGB")
        if image.size != (256, 256):
            image = image.resize((256, 256), Image.BILINEAR)
        pixels[i] = np.asarray(image)
pixels.flush()
print(len(images), time.perf_counter() - begin, time.process_time() - cpu_begin)
