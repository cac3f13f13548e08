"""Arrays of a CUDA device with NumPy and the CUDA runtime alone: what a framework does to hand its memory over by DLPack."""
import ctypes
import os

import numpy as np

CUDA = 2  # kDLCUDA
KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}  # DLDataTypeCode


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


class DLManagedTensor(ctypes.Structure):
    pass


Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(DLManagedTensor))
DLManagedTensor._fields_ = [("tensor", DLTensor), ("manager", ctypes.c_void_p), ("deleter", Deleter)]

new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype, capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def loaded_runtime():
    """The CUDA runtime that the package has loaded, so that both speak to one device."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "libcudart" in os.path.basename(line.split()[-1])}
    if len(paths) != 1:
        raise RuntimeError(f"one libcudart should be loaded, not {sorted(paths)}")
    return ctypes.CDLL(paths.pop())


class Runtime:
    def __init__(self):
        self.library = loaded_runtime()

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    def copy(self, to, source, size, kind):
        self.call("cudaMemcpy", ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size), ctypes.c_int(kind))

    def to_host(self, data, shape, dtype):
        host = np.empty(shape, dtype)
        if host.size:
            self.copy(host.ctypes.data, data, host.nbytes, 2)
        return host


handed_over = {}  # what consumers hold: address of the DLManagedTensor, and what must live as long


@Deleter
def release(managed):
    del handed_over[ctypes.addressof(managed.contents)]


class CudaArray:
    """A copy of a NumPy array in memory of cudaMalloc."""

    def __init__(self, runtime, host):
        self.runtime, self.shape, self.dtype = runtime, host.shape, host.dtype
        host = np.ascontiguousarray(host)
        self.data = ctypes.c_void_p()
        runtime.call("cudaMalloc", ctypes.byref(self.data), ctypes.c_size_t(max(host.nbytes, 1)))
        runtime.copy(self.data.value, host.ctypes.data, host.nbytes, 1)

    def __del__(self):
        self.runtime.library.cudaFree(self.data)

    def __dlpack_device__(self):
        return CUDA, 0

    def __dlpack__(self, **_):
        shape = (ctypes.c_int64 * len(self.shape))(*self.shape)
        managed = DLManagedTensor(DLTensor(self.data, CUDA, 0, len(self.shape), KINDS[self.dtype.kind], 8 * self.dtype.itemsize, 1,
                                           shape, None, 0), None, release)
        address = ctypes.addressof(managed)
        handed_over[address] = (managed, shape, self)
        return new_capsule(address, b"dltensor", None)

    def numpy(self):
        return self.runtime.to_host(self.data.value, self.shape, self.dtype)


def to_numpy(runtime, array):
    """Any array of a CUDA device, through its __dlpack__, on the host."""
    device = array.__dlpack_device__()[0]
    if device != CUDA:
        raise RuntimeError(f"the array lies on DLPack's device {device}, not on CUDA")
    capsule = array.__dlpack__()
    tensor = ctypes.cast(capsule_pointer(capsule, b"dltensor"), ctypes.POINTER(DLManagedTensor)).contents.tensor
    kind = {code: kind for kind, code in KINDS.items()}[tensor.code]
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    return runtime.to_host(tensor.data + tensor.byte_offset if tensor.data else 0, shape, np.dtype(f"{kind}{tensor.bits // 8}"))
