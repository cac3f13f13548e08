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
                # Separate kernels convert a gradient of 16 bits.
                self.add(name, moved, moved + (6 * weights if kind == "weight" and self.size == 2 else 0))
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


class FusedCounts:
    """The same bytes where convolutions normalise their input and gather sums (conv_pipeline=on), by kind of kernel. A block's
    result is written by the first convolution of the next block, which reads the last result and the residual."""

    def __init__(self, n, side, size, stem_channels):
        self.n, self.size = n, size
        self.bytes = {}
        at = half(side)
        stem = self.array(at, 64)
        self.add("conv_forward", self.arrays(side, stem_channels, 64, 7, at))
        self.add("conv_backward_weight", self.arrays(side, stem_channels, 64, 7, at))
        self.add("batch_norm_statistics", stem)
        at = half(at)
        pooled, index = self.array(at, 64), n * at * at * 64
        self.add("batch_norm_pool", stem + pooled + index)
        self.add("batch_norm_pool_backward", stem + pooled + index + stem)
        channels = 64
        for stage, (blocks, width, stride) in enumerate(stages(side)):
            for block in range(blocks):
                to = half(at) if stride == 2 and block == 0 else at
                self.block(at, channels, width, to, first=block == 0, of_pooled=stage == block == 0,
                           last=stage == 3 and block == blocks - 1)
                channels, at = 4 * width, to

    def add(self, kind, count):
        self.bytes[kind] = self.bytes.get(kind, 0) + count

    def array(self, at, channels):
        return self.size * self.n * at * at * channels

    def arrays(self, at, channels, out, kernel, to):
        """Input, weights and result of a convolution, once each."""
        return self.array(at, channels) + self.size * kernel * kernel * channels * out + self.array(to, out)

    def block(self, at, channels, width, to, first, of_pooled, last):
        x, one, two, end = self.array(at, channels), self.array(at, width), self.array(to, width), self.array(to, 4 * width)
        reduce, spread = self.arrays(at, channels, width, 1, at), self.arrays(to, width, 4 * width, 1, to)
        middle = self.arrays(at, width, width, 3, to)
        # The first convolution: the pooled maxima are normalised and have no residual; another gradient comes to both.
        self.add("conv_forward_normal" if of_pooled else "conv_forward_joined", reduce + (0 if of_pooled else 2 * x))
        self.add("conv_backward_data_masked" if of_pooled else "conv_backward_data_joined", reduce + (2 if of_pooled else 3) * x)
        self.add("conv_backward_weight_normal" if of_pooled else "conv_backward_weight", reduce)
        for moved, before in ((middle, one), (spread, two)):
            self.add("conv_forward_normal", moved)
            self.add("conv_backward_data_masked", moved + before)
            self.add("conv_backward_weight_normal", moved)
            self.add("batch_norm_input", 3 * before)
        if first:
            shortcut = self.arrays(at, channels, 4 * width, 1, to)
            self.add("conv_forward_normal" if of_pooled else "conv_forward_sums", shortcut)
            self.add("conv_backward_data", shortcut)
            self.add("conv_backward_weight_normal" if of_pooled else "conv_backward_weight", shortcut)
        if not last:
            return self.add("batch_norm_input", (5 if first else 3) * end)
        mask = end / self.size / 8
        self.add("batch_norm_apply", 3 * end + mask)
        self.add("batch_norm_backward", 2 * end + mask + end + 2 * end + end)
