#!/usr/bin/env python3
"""Compiles every .cu file of a build for the given architectures and reads what ptxas reports and the machine code that it
wrote. Fails when a kernel spills registers, or is not within the budget that the header beside its file states:

    // Budget: margin_terms_kernel 48 registers, 128-bit loads; margin_gradient_kernel 56 registers, 792 bytes shared, 128-bit loads.

Every kernel of the file has an entry, map_kernel's under the name of its body. Registers and static shared memory are upper
bounds. "N bytes dynamic shared" bounds what a launch of x_kernel may ask for: the file's constexpr x_kernel_dynamic_shared() must
not exceed it, and it must not exceed what a block of the architecture can have. A file with such memory has such a budget.
"128-bit loads": every instance has them, but for those whose first template
argument, the elements taken at a time or whether words are wide, is 1 or false.
"tensor cores": every instance uses them; without these words none may.

    cuda_resources.py compile_commands.json --arch 80 --arch 90 [--list] [--only FILE]

The flags are those of the build; --list prints what each kernel uses. Without nvdisasm (of the CUDA Toolkit, or of the PyPI
package nvidia-cuda-nvdisasm of $SWATH_PEERS_PYTHON) the machine code is not read: that ends with 77, in CI with 1.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

KERNELS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kernels")
BLOCK_SHARED = {"80": 163 * 1024, "86": 99 * 1024, "89": 99 * 1024, "90": 227 * 1024}  # bytes that a block can opt in to
WITH_VALUE = {"-o", "-c", "-x", "-MT", "-MF", "-arch", "-gencode"}
FIND_IN_PACKAGE = """import importlib.metadata as m
for f in m.distribution("nvidia-cuda-nvdisasm").files:
    if f.name == "nvdisasm": print(f.locate().resolve())"""


@dataclass
class Kernel:
    """What one instance of a kernel uses, or, in a budget, may use."""
    name: str
    width: int = 0  # first template argument, where that is a number
    registers: int = 0
    shared: int = 0
    dynamic: int = 0
    stack: int = 0
    spills: int = 0
    wide_loads: bool = False
    tensor_cores: bool = False

    def __str__(self):
        words = [f"{self.registers} registers"] + ([f"{self.shared} bytes shared"] if self.shared else [])
        words += [f"{self.dynamic} bytes dynamic shared"] if self.dynamic else []
        words += ["128-bit loads"] if self.wide_loads else []
        return ", ".join(words + (["tensor cores"] if self.tensor_cores else []))


@dataclass
class Compiled:
    file: str
    arch: str
    status: int
    log: str
    kernels: dict = field(default_factory=dict)  # mangled name: Kernel


def command_for(entry, arch, source, output):
    """The build's own command for a source, for one architecture, writing machine code and telling what each kernel uses."""
    words = shlex.split(entry["command"])
    if os.path.basename(words[0]) in ("ccache", "sccache"):
        words = words[1:]
    kept = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in WITH_VALUE:
            skip = True
        elif word == "-MD" or word.startswith(("--generate-code", "-gencode=", "-arch=", "-t")):
            pass
        else:
            kept.append(word)
    return kept + [f"-arch=sm_{arch}", "-cubin", "-Xptxas=-v", "-x", "cu", source, "-o", output]


def find_nvdisasm(nvcc):
    beside = os.path.join(os.path.dirname(shutil.which(nvcc) or nvcc), "nvdisasm")
    found = shutil.which("nvdisasm") or (beside if os.access(beside, os.X_OK) else None)
    if found:
        return found
    python = os.environ.get("SWATH_PEERS_PYTHON", sys.executable)
    return subprocess.run([python, "-c", FIND_IN_PACKAGE], capture_output=True, text=True).stdout.strip() or None


def plain_name(demangled):
    """'void swath::kernels::(anonymous namespace)::adam_kernel<4>(…)' is adam_kernel and 4; of map_kernel the body counts."""
    text = re.sub(r"\(anonymous namespace\)::|swath::kernels::|^void ", "", demangled).split("(")[0]
    name, _, arguments = text.partition("<")
    width = re.match(r"\d+", arguments)
    if name == "map_kernel":
        name = re.sub(r"<.*", "", arguments.split(",", 1)[1]).strip(" >")
    name = name.strip().rsplit("::", 1)[-1]
    return name, 1 if arguments.startswith("false") else int(width.group()) if width else 0


def kernels_of(log):
    """The functions that ptxas reports, by their mangled names."""
    pattern = (r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
               r"(?:\s+ptxas info\s+: Used (\d+) registers([^\n]*))?")
    found = re.findall(pattern, log)
    plain = subprocess.run(["c++filt"], input="\n".join(f[0] for f in found), text=True, capture_output=True, check=True).stdout
    kernels = {}
    for (mangled, stack, stores, loads, registers, rest), demangled in zip(found, plain.splitlines()):
        name, width = plain_name(demangled)
        shared = re.search(r"(\d+) bytes smem", rest)
        kernels[mangled] = Kernel(name, width, int(registers or 0), int(shared.group(1)) if shared else 0, stack=int(stack),
                                  spills=int(stores) + int(loads))
    return kernels


def read_machine_code(text, kernels):
    kernel = None
    for line in text.splitlines():
        if section := re.match(r"\s*\.text\.(\S+):", line):
            kernel = kernels.get(section.group(1))
        elif kernel and (instruction := re.match(r"\s*/\*[0-9a-f]+\*/\s+(?:@\S+\s+)?([A-Z]\S*)", line)):
            word = instruction.group(1)
            kernel.wide_loads |= word.startswith("LDG") and ".128" in word
            kernel.tensor_cores |= word.startswith(("HMMA", "HGMMA"))  # HFMA2.MMA is no tensor core's


def compile_one(entry, arch, nvdisasm):
    with tempfile.TemporaryDirectory() as folder:
        cubin, source = os.path.join(folder, "a.cubin"), entry["file"]
        dynamic = [budget for budget in budgets_for(entry["file"]).values() if budget.dynamic]
        if dynamic:
            source = os.path.join(folder, os.path.basename(entry["file"]))
            with open(source, "w", encoding="utf-8") as file:
                file.write(f'#include "{entry["file"]}"\nnamespace swath::kernels {{\n')
                file.writelines(f'static_assert({budget.name}_dynamic_shared() <= {budget.dynamic}, "{budget.name} may ask for more '
                                'dynamic shared memory than its budget");\n' for budget in dynamic)
                file.write("}\n")
        result = subprocess.run(command_for(entry, arch, source, cubin), cwd=entry["directory"], text=True, capture_output=True)
        log = result.stdout + result.stderr
        done = Compiled(entry["file"], arch, result.returncode, log, kernels_of(log))
        if nvdisasm and result.returncode == 0:
            code = subprocess.run([nvdisasm, cubin], text=True, capture_output=True, check=True).stdout
            read_machine_code(code, done.kernels)
    return done


def budgets_of(header):
    """The budgets that a header states, by the kernel's name."""
    with open(header, encoding="utf-8") as file:
        found = re.search(r"^// Budget: ([^.]*)\.", file.read(), re.M)
    budgets = {}
    for entry in found.group(1).replace("\n// ", " ").split(";") if found else []:
        words = re.fullmatch(r"\s*(\w+) (\d+) registers(?:, (\d+) bytes shared)?(?:, (\d+) bytes dynamic shared)?"
                             r"(, 128-bit loads)?(, tensor cores)?", entry)
        if not words:
            raise SystemExit(f"{header}: the budget \"{entry.strip()}\" is not understood")
        name, registers, shared, dynamic, wide, tensor = words.groups()
        budgets[name] = Kernel(name, 0, int(registers), int(shared or 0), int(dynamic or 0), wide_loads=bool(wide),
                               tensor_cores=bool(tensor))
    return budgets


def budgets_for(file):
    """The budgets of a .cu file; none where it is not one of kernels/."""
    return budgets_of(os.path.splitext(file)[0] + ".h") if os.path.dirname(file) == KERNELS else {}


def dynamic_complaints(file, arch, budgets):
    """What the budgets of a file of kernels/ say of dynamic shared memory."""
    with open(file, encoding="utf-8") as stream:
        used = "extern __shared__" in stream.read()
    stated = [budget for budget in budgets.values() if budget.dynamic]
    if used != bool(stated):
        yield f"{os.path.basename(file)} " + ("has dynamic shared memory without a budget" if used else "has no dynamic shared memory")
    for budget in stated:
        if budget.dynamic > BLOCK_SHARED.get(arch, budget.dynamic):
            yield f"sm_{arch} {budget.name}: a block cannot have the {budget.dynamic} bytes of its budget, only {BLOCK_SHARED[arch]}"


def complaints(kernel, budget, read_code):
    if kernel.spills:
        yield f"spills {kernel.spills} bytes"
    if budget is None:
        return
    if kernel.registers > budget.registers:
        yield f"takes {kernel.registers} registers, its budget is {budget.registers}"
    if kernel.shared > budget.shared:
        yield f"takes {kernel.shared} bytes of shared memory, its budget is {budget.shared}"
    if read_code and budget.wide_loads and kernel.width != 1 and not kernel.wide_loads:
        yield "has no 128-bit loads, which are promised"
    if read_code and budget.tensor_cores != kernel.tensor_cores:
        yield "uses no tensor cores, which are promised" if budget.tensor_cores else "uses tensor cores, which nobody promised"


def check(done, options, read_code):
    """Yields what is wrong with one file for one architecture."""
    file = os.path.basename(done.file)
    if done.status:
        yield f"{file} does not compile for sm_{done.arch}:\n{done.log}"
        return
    header = os.path.splitext(done.file)[0] + ".h"
    budgets = budgets_for(done.file) if os.path.dirname(done.file) == KERNELS else None
    if budgets is not None:
        yield from dynamic_complaints(done.file, done.arch, budgets)
    for kernel in done.kernels.values():
        place = f"sm_{done.arch} {file}: {kernel.name}" + (f"<{kernel.width}>" if kernel.width else "")
        if options.list:
            print(f"{place}: {kernel}")
        if budgets is not None and kernel.name not in budgets and kernel.registers:  # a function that is called has no count
            yield f"{place} has no budget in {os.path.basename(header)}; it takes {kernel}"
        for complaint in complaints(kernel, (budgets or {}).get(kernel.name), read_code):
            yield f"{place} {complaint}"
    for name in (budgets or {}).keys() - {kernel.name for kernel in done.kernels.values()}:
        yield f"{os.path.basename(header)} has a budget for {name}, which {file} does not have"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands")
    parser.add_argument("--arch", action="append", required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", metavar="FILE", help="one .cu file")
    options = parser.parse_args()
    # What configure put into the build folder is other people's code.
    build = os.path.dirname(os.path.abspath(options.commands)) + os.sep
    with open(options.commands, encoding="utf-8") as stream:
        entries = [e for e in json.load(stream) if e["file"].endswith(".cu") and not e["file"].startswith(build)]
    if options.only:
        entries = [e for e in entries if os.path.basename(e["file"]) == options.only]
    if not entries:
        sys.exit(f"{options.commands} names no .cu file: configure with CUDA")
    words = shlex.split(entries[0]["command"])
    nvdisasm = find_nvdisasm(words[1] if os.path.basename(words[0]) in ("ccache", "sccache") else words[0])

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda task: compile_one(*task, nvdisasm), [(e, arch) for e in entries for arch in options.arch]))
    problems = [problem for done in results for problem in check(done, options, bool(nvdisasm))]
    count = sum(len(done.kernels) for done in results)
    print("\n".join([*problems, f"{len(entries)} files, {count} kernels, {len(problems)} failures"]))
    if problems or not count:
        sys.exit(1)
    if not nvdisasm:
        print("the machine code was not read: nvdisasm is not there (pip install nvidia-cuda-nvdisasm)")
        sys.exit(1 if os.environ.get("CI") == "true" else 77)


if __name__ == "__main__":
    main()
