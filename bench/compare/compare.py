#!/usr/bin/env python3
"""Halfbyte beside llama.cpp and ONNX Runtime's WebGPU on one Vulkan device, the same weights, in turns; their CPU engines for scale.

    bench/compare/compare.py                      all cases, 3 repetitions: hours on software Vulkan
    bench/compare/compare.py --quick              one short prompt, 8 tokens, one repetition
    bench/compare/compare.py --mesa backports     on a newer Mesa than Debian 12's, unpacked beside the engines

Every case is run by each engine in its own process, engine after engine, and that as often as there are repetitions, so that what
else the machine does falls on all alike. Prints a Markdown table; `--json FILE` keeps every number.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

import drivers
import engines

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Of the last minute, before anything is run: above 0.5 others are at work, and the numbers are not worth keeping.
LOAD = os.getloadavg()[0]


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    cases = [("prefill", n, 0) for n in options.prefill] + [("decode", options.decode, d) for d in options.depth]
    mesa = drivers.choose(options)
    runners = engines.prepare(options)
    rates = {(e.name, case): [] for e in runners for case in cases}
    for repetition in range(options.repeat):
        for case in cases:
            for engine in runners:
                rate = engine.rate(*case)
                rates[engine.name, case].append(rate)
                note = f"{repetition + 1}/{options.repeat} {engine.name}: {case[0]} {case[1]} at {case[2]}: {rate:.2f} tokens/s"
                print(note, file=sys.stderr, flush=True)
    same_device(runners)
    print(heading(options, runners, mesa))
    print(table(runners, cases, rates))
    if options.json:
        lines = [dict(engine=e, kind=k, tokens=n, depth=d, rates=r) for (e, (k, n, d)), r in rates.items()]
        options.json.write_text(json.dumps(dict(about=about(runners) | dict(mesa=mesa), lines=lines), indent=1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole = lambda text: [int(n) for n in text.split(",") if int(n) > 0]
    parser.add_argument("--quick", action="store_true", help="--prefill 64 --decode 8 --depth 0 --repeat 1")
    parser.add_argument("--prefill", type=whole, metavar="N,…", help="prompt lengths [64,128,512]")
    parser.add_argument("--decode", type=int, metavar="N", help="tokens to generate [32]")
    parser.add_argument("--depth", type=lambda t: [int(n) for n in t.split(",")], metavar="N,…", help="tokens before them [0,512]")
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions [3]")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"some of {', '.join(engines.NAMES)}")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU engines [all]")
    parser.add_argument("--adapter", default="0", help="halfbyte's name or index of the GPU (see `halfbyte devices`) [0]")
    parser.add_argument("--mesa", choices=drivers.MESAS, default="system", help="the drivers of the GPU engines [system]")
    parser.add_argument("--vulkan-index", default="0", help="llama.cpp's index of the same GPU [0]")
    parser.add_argument("--halfbyte", type=pathlib.Path, default=ROOT / "target/release/halfbyte", help="the program")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/compare", help="where the others are built")
    parser.add_argument("--llama", type=pathlib.Path, help="a folder that build_llama.sh filled [FOLDER/llama]")
    parser.add_argument("--gguf", type=pathlib.Path, help="weights in Q4_1 [fetched]")
    parser.add_argument("--packed", type=pathlib.Path, help="the same, as halfbyte packs them [made]")
    parser.add_argument("--onnx", type=pathlib.Path, help="the same in f32 as ONNX [made]")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every number there")
    options = parser.parse_args()
    quick = options.quick
    options.prefill = options.prefill if options.prefill is not None else ([64] if quick else [64, 128, 512])
    options.depth = options.depth if options.depth is not None else ([0] if quick else [0, 512])
    options.decode = options.decode or (8 if quick else 32)
    options.repeat = options.repeat or (1 if quick else 3)
    options.folder = options.folder.resolve()
    options.llama = options.llama or options.folder / "llama"
    return options


def same_device(runners):
    """Numbers of two devices side by side would mean nothing."""
    devices = {e.name: e.device for e in runners if e.on_gpu}
    if len(set(devices.values())) > 1:
        names = "; ".join(f"{name} on {device}" for name, device in devices.items())
        sys.exit(f"these ran on different GPUs: {names}. Choose with --adapter and --vulkan-index.")


def about(runners):
    git = lambda *words: subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    commit = git("rev-parse", "--short", "HEAD") + ("-changed" if git("status", "--porcelain", "-uno") else "")
    return dict(
        date=datetime.date.today().isoformat(),
        commit=commit,
        processor=processor(),
        system=platform.platform(terse=True),
        engines={e.name: e.version for e in runners},
    )


def heading(options, runners, mesa):
    facts = about(runners)
    versions = "; ".join(f"{name}: {version}" for name, version in facts["engines"].items())
    command = shlex.join(["bench/compare/compare.py", *sys.argv[1:]])
    model = options.gguf.name if options.gguf else "SmolLM2-135M-Instruct, Q4_1 (halfbyte: M0E4 with the same codes)"
    driver = f", Mesa {mesa} in place of the system's" if mesa else ""
    return (
        f"{model}, {facts['date']}, commit {facts['commit']}, "
        f"{facts['processor']}, {facts['system']}{driver}. {versions}. Tokens a second, median of {options.repeat} "
        f"with half the distance between least and greatest; load {LOAD:.1f} before; `{command}`.\n"
    )


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    models = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{models[0]} ({len(models)} threads)" if models else platform.machine()


def table(runners, cases, rates):
    """One line a case; after the first engine's, each engine's column says how many times as fast the first one is."""
    first = runners[0].name
    ratio = lambda e, case: statistics.median(rates[first, case]) / statistics.median(rates[e, case])
    lines = ["| what | tokens | depth | " + " | ".join(e.name for e in runners) + " |"]
    lines.append("|---|---:|---:|" + "---:|" * len(runners))
    for case in cases:
        cells = [spread(rates[first, case])]
        cells += [f"{spread(rates[e.name, case])} ({ratio(e.name, case):.2f}x)" for e in runners[1:]]
        lines.append("| " + " | ".join([*map(str, case), *cells]) + " |")
    lines.append(f"\nIn brackets: {first}'s rate over that engine's.")
    return "\n".join(lines)


def spread(rates):
    middle = statistics.median(rates)
    return f"{middle:.2f} ± {50 * (max(rates) - min(rates)) / middle:.1f} %"


if __name__ == "__main__":
    main()
