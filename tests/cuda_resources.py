#!/usr/bin/env python3
"""Compiles every .cu file of a build for the given architectures and fails when a kernel spills registers.

    cuda_resources.py compile_commands.json --arch 80 --arch 90 [--list]

The flags are those of the build; --list prints registers, shared memory and stack of every kernel.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

WITH_VALUE = {"-o", "-c", "-x", "-MT", "-MF", "-arch", "-gencode"}


def command_for(entry, arch, output):
    """The build's own command, for one architecture, writing machine code and telling what each kernel uses."""
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
    return kept + [f"-arch=sm_{arch}", "-cubin", "-Xptxas=-v", "-x", "cu", entry["file"], "-o", output]


def kernels_of(log):
    """Yields name, registers, shared bytes, stack bytes, spill bytes of every function that ptxas reports."""
    pattern = (r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
               r"(?:\s+ptxas info\s+: Used (\d+) registers([^\n]*))?")
    for name, stack, stores, loads, registers, rest in re.findall(pattern, log):
        shared = re.search(r"(\d+) bytes smem", rest)
        yield name, int(registers or 0), int(shared.group(1)) if shared else 0, int(stack), int(stores) + int(loads)


def plain_names(names):
    try:
        output = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=True).stdout
        return dict(zip(names, output.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        return {name: name for name in names}


def compile_one(task):
    entry, arch = task
    with tempfile.TemporaryDirectory() as folder:
        command = command_for(entry, arch, os.path.join(folder, "a.cubin"))
        result = subprocess.run(command, cwd=entry["directory"], text=True, capture_output=True)
    log = result.stdout + result.stderr
    return os.path.basename(entry["file"]), arch, result.returncode, log, list(kernels_of(log))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands")
    parser.add_argument("--arch", action="append", required=True)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    # What configure put into the build folder is other people's code.
    build = os.path.dirname(os.path.abspath(options.commands)) + os.sep
    with open(options.commands) as stream:
        entries = [e for e in json.load(stream) if e["file"].endswith(".cu") and not e["file"].startswith(build)]
    if not entries:
        sys.exit(f"{options.commands} names no .cu file: configure with CUDA")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(compile_one, [(entry, arch) for entry in entries for arch in options.arch]))
    names = plain_names(sorted({kernel[0] for result in results for kernel in result[4]}))
    failures = 0
    count = 0
    for file, arch, status, log, kernels in results:
        if status:
            failures += 1
            print(f"{file} does not compile for sm_{arch}:\n{log}")
        for name, registers, shared, stack, spills in kernels:
            count += 1
            if spills:
                failures += 1
            if spills or options.list:
                print(f"{'SPILLS ' if spills else ''}sm_{arch} {file}: {names[name]}: {registers} registers, "
                      f"{shared} bytes shared, {stack} bytes stack, {spills} bytes spilled")
    print(f"{len(entries)} files, {count} kernels, {failures} failures")
    sys.exit(1 if failures or not count else 0)


if __name__ == "__main__":
    main()
