#!/usr/bin/env python3
"""Regenerates bench/phones/textures.md: products whose weights lie in textures beside those whose weights lie in buffers, as Mesa's
compilers make them for Adreno and Mali, without a phone.

    bench/phones/textures.py [table.py's options]

Needs what table.py needs.
"""

import argparse
import collections
import pathlib
import re

import table

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGETS = [target for target, gpu in table.GPUS.items() if gpu.family in (table.ADRENO, table.MALI)]

# Instructions that read memory, as far as their names tell what they read.
LOADS = {"ir3": r"\b(?:isam\.v|isam|ldib|ldg)\b", "valhall": r"\b(?:(?:LD_PKA|LOAD)\.i\d+|TEX_FETCH)\b"}
NUMBERS = ["registers", "occupancy", "spills", "instructions", "each"]


def main():
    options = table.parse(__doc__)
    if not table.tools(options):
        return
    pages = []
    for target in [target for target in options.only.split(",") if target in TARGETS]:
        gpu, findings = table.GPUS[target], []
        buffers, textures = [products(options, gpu.profile, textures) for textures in (False, True)]
        rows = []
        for spec, kernel in sorted(textures.items()):
            if "TEXTURE=true" in spec:
                pair = [table.measure(options, target, each, findings) for each in (buffers[spec.replace("TEXTURE=true ", "")], kernel)]
                rows.append(row(options, target, *pair))
        pages.append(section(gpu, rows, findings))
    page = heading(options) + "\n".join(pages)
    if set(TARGETS) <= set(options.only.split(",")):
        (HERE / "textures.md").write_text(page)
    else:
        print(page)


def products(options, profile, textures):
    options = argparse.Namespace(**{**vars(options), "textures": textures})
    return {row["spec"]: row for row in table.kernels(options, [profile])[profile] if row["spec"].startswith("linear")}


def row(options, target, buffer, texture):
    """The cells of a line: numbers with buffers and with textures, and the loads that one has more of than the other."""
    if not buffer or not texture:
        return None
    kernel, *variant = texture["spec"].split(" ")
    words = [word for word in variant if not word.endswith("=false") and word != "TEXTURE=true"]
    number = lambda value: f"{value:.2f}" if isinstance(value, float) else value
    cells = [f"{number(buffer[name])} → {number(texture[name])}" for name in NUMBERS]
    before, after = [loads(options, target, each) for each in (buffer, texture)]
    told = lambda more: ", ".join(f"{count} {name}" for name, count in sorted(more.items())) or "none"
    return [kernel, " ".join(words), *cells, f"{told(before - after)} → {told(after - before)}"]


def loads(options, target, kernel):
    file = next((options.folder / "out" / target).glob(f"{kernel['file'].name}.*Assembly.txt"), None)
    text = file.read_text() if file else ""
    return collections.Counter(re.findall(LOADS[table.GPUS[target].family.isa], text))


def section(gpu, rows, findings):
    lines = [f"\n## {gpu.name}, profile `{gpu.profile}`\n"]
    lines.append(f"| kernel | variant | registers | {gpu.family.occupancy.lower()} (of {gpu.family.full}) | spills | instructions | a multiply-add | loads that differ |")
    lines.append("|---|---|---:|---:|---:|---:|---:|---|")
    lines += ["| " + " | ".join(map(str, cells)) + " |" for cells in rows if cells]
    refused = [finding for finding in findings if "refused" in finding or "does not end" in finding]
    return "\n".join(lines + [f"\n- {finding}" for finding in refused]) + "\n"


def heading(options):
    return f"""# Weights in textures beside weights in buffers, from machine code

{table.made(options, "textures.py")}

Every product that [table.md](table.md) has and that can read its weights from a texture, with weights in buffers → with weights in textures.
"Loads that differ" are the instructions that read memory of which one has more than the other, anywhere in the kernel. Nothing here says which is
faster: that is the caches' affair, and no compiler knows them. On Adreno, Mesa reads buffers that are only read by `isam.v`, which goes
through the texture unit as `isam` does, so that with its driver both ways may pass the same cache; what Qualcomm's compiler does is not
known. On Mali, buffers are read by the load unit (`LD_PKA`, `LOAD`) and textures by the texture unit (`TEX_FETCH`).
"""


if __name__ == "__main__":
    main()
