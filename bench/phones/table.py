#!/usr/bin/env python3
"""Regenerates bench/phones/table.md: what Mesa's compilers make of every hot kernel on the GPUs of phones, without one.

    bench/phones/table.py [--folder target/phones] [--only adreno-750,…] [--candidates]

Needs Debian, and the Rust toolchain for the example that writes the kernels; where a package is missing it says so and ends with 0.
"""

import argparse
import collections
import datetime
import os
import pathlib
import re
import subprocess
import sys

import assembly

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOT = ["linear", "normed_heads", "attention", "rms_norm", "rope", "elementwise"]
HOT_ELEMENTWISE = ["silu_mul", "gelu_mul", "gelu_tanh_mul"]

MODELS = ["smollm2-135m", "llama2-7b", "gemma-2b", "qwen3-4b"]

Family = collections.namedtuple("Family", "isa registers occupancy full spills instructions")
ADRENO = Family("ir3", "Registers used", "Max Waves Per Core", 16, ["STP Count", "LDP Count"], "Instruction Count")
MALI = Family("valhall", "Registers used", "Threads", 2, ["Spills", "Fills"], "Instructions")
APPLE = Family("agx", "GPRs", "Threads", 1024, ["Spills", "Fills"], "Instructions")
RDNA = Family("rdna", "VGPRs", "Subgroups per SIMD", 16, ["Spilled VGPRs", "Spilled SGPRs"], "Instructions")

Gpu = collections.namedtuple("Gpu", "name profile family")
GPUS = {
    "adreno-660": Gpu("Adreno 660", "adreno-660", ADRENO),
    "adreno-740": Gpu("Adreno 740", "adreno-740", ADRENO),
    "adreno-750": Gpu("Adreno 750", "adreno-750", ADRENO),
    "adreno-830": Gpu("Adreno 830", "adreno-830", ADRENO),
    "mali-g610": Gpu("Mali-G610", "mali-g710", MALI),
    "mali-g720": Gpu("Mali-G720", "mali-g720", MALI),
    "apple-g13": Gpu("Apple G13", "apple-m1", APPLE),
    "rdna2": Gpu("RDNA2 (navi24, as in Xclipse)", "xclipse-940", RDNA),
}

# Where the compiler spells products of signed 8-bit integers out, so that nothing in a loop tells how many there are.
SPELLED_OUT = ["Adreno 660", "Adreno 740", "Apple G13"]


def parse(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/phones", help="for what is fetched and made")
    parser.add_argument("--tools", type=pathlib.Path, help="a folder that setup.sh filled [FOLDER/tools]")
    parser.add_argument("--only", default=",".join(GPUS), help="some of the GPUs; printed instead of written")
    parser.add_argument("--candidates", action="store_true", help="every kernel that tuning may choose, printed instead of written")
    parser.add_argument("--f8", action="store_true", help="KV caches in 8 bits, printed instead of written")
    parser.add_argument("--textures", action="store_true", help="weights in textures, printed instead of written")
    parser.add_argument("--kernels", help="the program that writes them [cargo's example phone_kernels]")
    options = parser.parse_args()
    options.tools = options.tools or options.folder / "tools"
    return options


def tools(options):
    """Whether the compilers are there."""
    setup = subprocess.run([HERE / "setup.sh", options.tools])
    if setup.returncode not in (0, 3):
        sys.exit("setup.sh failed")
    return setup.returncode == 0


def main():
    options = parse(__doc__)
    if not tools(options):
        return
    wanted = options.only.split(",")
    specs = kernels(options, sorted({GPUS[g].profile for g in wanted}))
    tables, findings = [], []
    for target in wanted:
        rows = [row for spec in specs[GPUS[target].profile] if (row := measure(options, target, spec, findings))]
        tables.append(section(GPUS[target], rows))
    page = heading(options, findings) + "\n".join(tables)
    if wanted == list(GPUS) and not options.candidates and not options.f8 and not options.textures:
        (HERE / "table.md").write_text(page)
    else:
        print(page)


def kernels(options, profiles):
    """The hot kernels of the profiles' plans, each once, with the models and phases that have it."""
    command = [options.kernels] if options.kernels else ["cargo", "run", "-q", "-p", "tests", "--example", "phone_kernels", "--"]
    command += ["--candidates"] * options.candidates + ["--f8"] * options.f8 + ["--textures"] * options.textures
    told = subprocess.run([*command, options.folder / "spirv", ",".join(profiles), *MODELS], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if told.returncode != 0:
        sys.exit("the kernels could not be written")
    specs = {profile: {} for profile in profiles}
    for line in told.stdout.splitlines():
        profile, model, phase, _, bits, file, spec = line.split("\t")
        if not any(spec.startswith(hot) for hot in HOT):
            continue
        if spec.startswith("elementwise") and not any(f"OP={op} " in spec + " " for op in HOT_ELEMENTWISE):
            continue
        found = specs[profile].setdefault(spec, dict(spec=spec, file=options.folder / "spirv" / profile / file, bits=bits, used={}))
        found["used"].setdefault(model, []).append(phase)
    return {profile: list(found.values()) for profile, found in specs.items()}


def measure(options, target, spec, findings):
    """A row of the table; what is wrong goes into the findings."""
    gpu, out = GPUS[target], options.folder / "out" / target
    out.mkdir(parents=True, exist_ok=True)
    name = spec["file"].name
    try:
        told = subprocess.run([options.tools / "on", target, out, spec["file"]], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        findings.append(f"{gpu.name}: the compiler does not end within two minutes on `{spec['spec']}`")
        return None
    if told.returncode == 3:
        print(told.stderr.strip(), file=sys.stderr)
        return None
    if told.returncode != 0 or not (out / f"{name}.tsv").exists():
        findings.append(f"{gpu.name}: `{spec['spec']}` is refused: {(told.stderr.strip().splitlines() or ['?'])[-1]}")
        return None
    found = dict(line.split("\t") for line in (out / f"{name}.tsv").read_text().splitlines())
    family = gpu.family
    row = dict(spec, registers=found[family.registers], instructions=found[family.instructions])
    row["occupancy"] = min(int(found[family.occupancy]), family.full)
    row["spills"] = sum(int(found[name]) for name in family.spills)
    text = told.stdout
    for kind in ("IR3_Assembly", "Assembly"):
        if (file := out / f"{name}.{kind}.txt").exists():
            text = file.read_text()
    row["each"] = assembly.per_multiply_add(family.isa, text) if spec["spec"].startswith("linear") else None
    unsigned = "DOT=unsigned" in spec["spec"]
    if "MATH=i8" in spec["spec"] and gpu.name in SPELLED_OUT and not unsigned:
        row["each"] = None
    if row["each"] and unsigned and "WEIGHT=affine8" in spec["spec"]:
        # As many again add up the codes.
        row["each"] *= 2
    row["size"] = found["Subgroup size"]
    kernel = spec["spec"].split(" ")[0]
    least = family.full if kernel.startswith("linear_gemv") else family.full / 2 if kernel.startswith("linear_") else 0
    if row["spills"]:
        findings.append(f"{gpu.name}: {row['spills']} spills and fills in `{spec['spec']}`")
    if row["occupancy"] < least:
        what = "full" if least == family.full else "half"
        findings.append(f"{gpu.name}: less than {what} occupancy, {row['occupancy']} of {family.full}, in `{spec['spec']}`")
    return row


def section(gpu, rows):
    lines = [f"\n## {gpu.name}, profile `{gpu.profile}`\n"]
    lines.append("| kernel | variant | used by | registers | " + f"{gpu.family.occupancy.lower()} (of {gpu.family.full}) | spills | instructions | a multiply-add | bits a weight |")
    lines.append("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for row in sorted(rows, key=lambda r: r["spec"]):
        kernel, *variant = row["spec"].split(" ")
        used = "; ".join(f"{model} {' and '.join(sorted(phases))}" for model, phases in row["used"].items())
        each = f"{row['each']:.2f}" if row["each"] else "-"
        cells = [kernel, " ".join(v for v in variant if not v.endswith("=false")), used, row["registers"], row["occupancy"], row["spills"], row["instructions"], each, row["bits"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def made(options, script, more=""):
    """When, from what, and by which compilers."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    mesa = (options.tools / "mesa_version").read_text().strip()
    today = datetime.date.today().isoformat()
    return f"{today}, commit {commit} or the one after it, Mesa {mesa}{more}. Made by `bench/phones/{script}`; nothing here ran."


def heading(options, findings):
    radeon = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "mesa-vulkan-drivers"], capture_output=True, text=True).stdout or "none"
    listed = "\n".join(f"- {finding}" for finding in sorted(set(findings))) or "None: no spills, full occupancy of all GEMVs, at least half of all GEMMs."
    return f"""# Hot kernels on the GPUs of phones, from their machine code

{made(options, "table.py", f" (RDNA2: {radeon})")}

These are the kernels that each profile's plans take for a decode step and a prefill chunk of 128 of SmolLM2-135M, Llama-2-7B,
Gemma-2B and Qwen3-4B, weights M0E4 in groups of 32 with embedding and head in affine8, in the SPIR-V that the engine hands to the
driver. The compilers are Mesa's, not the vendors': good for spills, occupancy and what a loop consists of, not for times.
Those that multiply in 8 bits (`MATH=i8`) are what `--activations i8` takes in their stead.

"A multiply-add" is the number of instructions in the inner loop for each multiply-add in it: of the loops that hold no other loop, the one
with the most multiply-adds; a loop is what lies between the target of a backward branch and that branch; one of several paths through it counts
like the others. Repeated instructions count as often as they are repeated, and one on two or four packed numbers as two or four
multiply-adds. Where all loops are unrolled it is the whole kernel. There is none where a compiler spells 8-bit dot products out; what adds up codes by
dot products is none. Decoding of weights, loads, waits and the loop's own instructions are all in it.
"Bits a weight" are those of codes, scales and biases in memory, each read once.

## Findings

{listed}
"""


if __name__ == "__main__":
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    main()
