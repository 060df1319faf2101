"""Loops and multiply-adds in the assembly that Mesa's compilers print, by instruction set."""

import re

# How many multiply-adds an instruction does, by its name.
MULTIPLY_ADDS = {
    "ir3": [(r"mad\.f(16|32)", 1), (r"dp4acc(\..*)?", 4), (r"dp2acc(\..*)?", 2)],
    "valhall": [(r"FMA\.v2f16", 2), (r"FMA\.f32", 1), (r"(IDPADD|IDP)\.v4[su]8", 4)],
    "agx": [(r"[fh]fma(16|32)?", 1)],
    "rdna": [
        (r"v_pk_fma_f16", 2),
        (r"v_(fma|fmac|fmaak|fmamk|mad|mac)(_mix|_mixlo|_mixhi)?(_legacy)?_f(16|32)", 1),
        (r"v_dot2c?_.*", 2),
        (r"v_dot4c?_.*", 4),
    ],
}


def per_multiply_add(isa, text):
    """Instructions for each multiply-add of the inner loop; None where there is none."""
    code = {"ir3": ir3, "valhall": valhall, "agx": agx, "rdna": rdna}[isa](text)
    instructions, loops = code
    best = max(inner(loops) or [(0, len(instructions) - 1)], key=lambda loop: multiply_adds(isa, instructions, loop))
    found = multiply_adds(isa, instructions, best)
    return sum(times for _, times in instructions[best[0] : best[1] + 1]) / found if found else None


def multiply_adds(isa, instructions, loop):
    total = 0
    for name, times in instructions[loop[0] : loop[1] + 1]:
        total += next((n * times for pattern, n in MULTIPLY_ADDS[isa] if re.fullmatch(pattern, name)), 0)
    return total


def inner(loops):
    """Those that hold no other; several branches to one start are one loop."""
    ends = {}
    for start, end in loops:
        ends[start] = max(end, ends.get(start, end))
    holds = lambda a, b: a != b and a[0] <= b[0] and b[1] <= a[1]
    return [a for a in ends.items() if not any(holds(a, b) for b in ends.items())]


def by_labels(lines, label, branch, instruction):
    """Instructions, and loops by branches to labels that come before; each of the three tells what a line is, or None."""
    instructions, labels, loops = [], {}, []
    for line in lines:
        if name := label(line):
            labels[name] = len(instructions)
        elif found := instruction(line):
            target = branch(line)
            if target in labels:
                loops.append((labels[target], len(instructions)))
            instructions.append(found)
    return instructions, loops


def ir3(text):
    """Adreno: `l97:`, `(ss)(rpt3)mad.f32 r1.x, ...`, `br p0.y, #l362`; the listing follows a header of `;` lines."""

    def instruction(line):
        found = re.match(r"(?:\([^)]*\)\s*)*([a-z][\w.]*)", line)
        if not found or line.startswith(("@", ";")) or found.group(1).startswith("nop"):
            return None
        repeat = re.search(r"\(rpt(\d)\)", line)
        name = ".".join(found.group(1).split(".")[:2])
        return name, 1 + int(repeat.group(1)) if repeat else 1

    lines = [line.strip() for line in text.splitlines()]
    label = lambda line: found.group(1) if (found := re.fullmatch(r"(l\d+):", line)) else None
    branch = lambda line: found.group(1) if (found := re.search(r"#(l\d+)", line)) else None
    return by_labels(lines, label, branch, instruction)


def rdna(text):
    """RDNA: `BB15:`, `s_branch BB15 ; bf82fef2`."""
    lines = [line.split(";")[0].strip() for line in text.splitlines()]
    label = lambda line: found.group(1) if (found := re.fullmatch(r"(BB\d+):", line)) else None
    branch = lambda line: found.group(1) if (found := re.match(r"s_c?branch\w*\s+(BB\d+)", line)) else None

    def instruction(line):
        found = re.match(r"([sv]_\w+|ds_\w+|buffer_\w+|global_\w+|image_\w+)", line)
        return (re.sub(r"_(e32|e64|sdwa|dpp)$", "", found.group(1)), 1) if found else None

    return by_labels(lines, label, branch, instruction)


def valhall(text):
    """Mali: `FMA.v2f16.wait0 r38, ...`; branches name how many instructions they skip: `BRANCHZ.eq r1, offset:-235`."""
    instructions, loops = [], []
    for line in text.splitlines():
        found = re.match(r"\s+([A-Z][A-Z_0-9]*(?:\.[vfsui]\w+)?)", line)
        if not found:
            continue
        offset = re.search(r"offset:(-\d+)", line)
        if offset and found.group(1).startswith(("BRANCH", "JUMP")):
            loops.append((max(0, len(instructions) + 1 + int(offset.group(1))), len(instructions)))
        if found.group(1) != "NOP":
            instructions.append((found.group(1), 1))
        else:
            instructions.append(("NOP", 0))
    return instructions, loops


def agx(text):
    """Apple: `  84: 20c0d20b0000  jmp_none 3026`, the last listing of the kernel; jumps tell how many bytes they skip."""
    instructions, starts, jumps = [], {}, []
    for line in text.splitlines():
        found = re.match(r"\s*([0-9a-f]+): [0-9a-f]+\s+(\w+)(.*)", line)
        if not found:
            continue
        at, name, rest = int(found.group(1), 16), found.group(2), found.group(3)
        if at == 0:
            # A preamble or an earlier kernel ends here; the kernel itself is the longest listing.
            instructions.append([])
            starts, jumps = ({}, []) if len(instructions) == 1 else (starts, jumps)
        instructions[-1].append((at, name, rest))
    listing = max(instructions, key=len, default=[])
    starts = {at: index for index, (at, _, _) in enumerate(listing)}
    for index, (at, name, rest) in enumerate(listing):
        skip = re.match(r"\s+(-\d+)", rest)
        if name.startswith("jmp") and skip and at + int(skip.group(1)) in starts:
            jumps.append((starts[at + int(skip.group(1))], index))
    return [(name, 1) for _, name, _ in listing], jumps
