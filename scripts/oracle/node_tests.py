"""List ONNX's own node tests that use nothing but the standard operators of given models.

usage: node_tests.py OUT.txt MODEL.onnx...
The tests lie in the installed onnx package (1.22.0 is the last that ships them), backend/test/data/node.
"""
import sys
from pathlib import Path

import onnx


def operators(nodes) -> set[tuple[str, str]]:
    """(domain, operator) of nodes and of the graphs inside them."""
    found = set()
    for node in nodes:
        found.add(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
        for attribute in node.attribute:
            for graph in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                found |= operators(graph.node)
    return found


def main(out: Path, models: list[Path]) -> None:
    used = set().union(*(operators(onnx.load(path, load_external_data=False).graph.node) for path in models))
    standard = {name for name in used if name[0] == "" and onnx.defs.has(name[1])}
    tests = Path(onnx.__file__).parent / "backend/test/data/node"
    names = [
        path.parent.name
        for path in sorted(tests.glob("*/model.onnx"))
        if operators(onnx.load(path).graph.node) <= standard
    ]
    out.write_text("\n".join(names) + "\n")
    print(len(standard), "operators:", *sorted(name for _, name in standard))
    print(len(names), "tests of", tests)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]])
