"""What a training step of ResNet-50 multiplies, reads and writes, from its published layer table (K. He et al., 2016, table 1,
with the stride in the 3 x 3 convolutions). Shares no code with the program."""


def stages(side):
    """(blocks, width, stride of the first block) of the four stages behind the stem."""
    return [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]


def half(side):
    """A window of 3 with stride 2 and padding 1, or of 7 and padding 3."""
    return (side - 1) // 2 + 1


class Counts:
    """Bytes by kind and operations, of one pass over `n` images of `side` with elements of `size` bytes."""

    def __init__(self, n, side, size, stem_channels=3):
        self.n, self.size = n, size
        self.multiplications = {"forward": 0, "data": 0, "weight": 0}
        self.bytes = dict.fromkeys(["conv_forward", "conv_backward_data", "conv_backward_weight", "batch_norm_statistics",
                                    "batch_norm_apply", "batch_norm_backward", "batch_norm_pool", "batch_norm_pool_backward",
                                    "average_pool", "average_pool_backward"], 0)
        self.unfused = dict(self.bytes)
        self.weights = 0
        at = half(side)
        conv = self.conv(side, stem_channels, 64, 7, at, data=False)
        pooled = half(at)
        self.stem_pool(conv, n * pooled * pooled * 64)
        channels, at = 64, pooled
        for stage, (blocks, width, stride) in enumerate(stages(side)):
            for block in range(blocks):
                to = half(at) if stride == 2 and block == 0 else at
                self.inner(self.conv(at, channels, width, 1, at))
                self.inner(self.conv(at, width, width, 3, to))
                end = self.conv(to, width, 4 * width, 1, to)
                first = block == 0
                if first:
                    self.conv(at, channels, 4 * width, 1, to)
                self.outer(end, shortcut=first, last=stage == 3 and block == blocks - 1)
                channels, at = 4 * width, to
        self.average(at, channels)

    def add(self, kind, fused, unfused=None):
        self.bytes[kind] += fused
        self.unfused[kind] += fused if unfused is None else unfused

    def conv(self, at, channels, out, kernel, to, data=True):
        """Adds all passes of a convolution and the statistics of its result, whose elements it returns."""
        weights = kernel * kernel * channels * out
        result = self.n * to * to * out
        moved = self.size * (self.n * at * at * channels + weights + result)
        self.weights += weights
        for kind, name in (("forward", "conv_forward"), ("data", "conv_backward_data"), ("weight", "conv_backward_weight")):
            if data or kind != "data":
                self.multiplications[kind] += result * kernel * kernel * channels
                self.add(name, moved)
        self.add("batch_norm_statistics", self.size * result)
        return result

    def inner(self, elements):
        """Normalisation and ReLU within a block: apply reads and writes; PyTorch's ReLU does so again."""
        e = self.size * elements
        self.add("batch_norm_apply", 2 * e, 4 * e)
        self.add("batch_norm_backward", 5 * e, 8 * e)

    def outer(self, elements, shortcut, last):
        """The end of a block: normalisation, the sum with the residual, ReLU. Backwards two gradients arrive, except at the
        network's end; the masked sum is stored."""
        e, mask, terms, second = self.size * elements, elements / 8, 2 if shortcut else 1, 0 if last else 1
        self.add("batch_norm_apply", 3 * e + mask, 2 * terms * e + 3 * e + 2 * e)
        sums = (1 + second + terms) * e + mask + e
        self.add("batch_norm_backward", sums + (1 + terms) * e + terms * e, 3 * second * e + 3 * e + 5 * terms * e)

    def stem_pool(self, elements, pooled):
        e, p = self.size * elements, self.size * pooled
        self.add("batch_norm_pool", e + p + pooled, 5 * e + p + 8 * pooled)
        self.add("batch_norm_pool_backward", 2 * (e + 2 * p + pooled) + e, 3 * p + p + 8 * pooled + e + 3 * e + 5 * e)

    def average(self, at, channels):
        out = self.n * channels
        moved = self.size * out * at * at + 4 * out
        self.add("average_pool", moved)
        self.add("average_pool_backward", moved)
