"""What align_bpu_validation does with the program of a NetworkTask."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from hat.cli.common import print_table
from hat.cli.compile_network import program_of_size
from hat.config import Config
from hat.data.files import write_json
from hat.deploy.network_board_predictor import NetworkAlignment, NetworkBoardPredictor
from horizon import runtime


def align(
    config: Config,
    predictor: NetworkBoardPredictor,
    file: Path | None,
    path: Path,
    args: argparse.Namespace,
) -> int:
    """Run the program, ``file`` or one compiled here, over all data sets; 1 if integers differ."""
    if file:
        source, origin = file.read_bytes(), str(file)
    else:
        source, origin = program_of_size(config, predictor.model, predictor.size, args.march)
    program = runtime.Model(source, args.num_workers)
    results = []
    for index, loader in enumerate(predictor.loaders):
        count = len(loader.dataset)  # type: ignore[arg-type]
        with tqdm(total=min(count, args.num_pairs or count), unit="sample", disable=None) as bar:
            result = predictor.fit(program, index, args.num_pairs, bar.update)
        show(result, origin, f"{config.get('task_name')}, data set {index}")
        results.append({"program": origin, **asdict(result)})
    write_json(path, {"task": config.get("task_name"), "data_sets": results})
    print(f"\nMetrics: {path}")
    return 1 if any(result["differing"] for result in results) else 0


def show(result: NetworkAlignment, origin: str, title: str) -> None:
    print(f"\n{title}: {result.samples} samples\nProgram: {origin}\n")
    columns = list(next(iter(result.metrics.values())))
    rows = [(name, *(values[c] for c in columns)) for name, values in result.metrics.items()]
    print_table(rows, ("", *columns))
    print(f"\nDiffering output integers: {result.differing:,} of {result.values:,}")
    if result.differing:
        print(
            "The program's integers are not those of int_infer: was it compiled from this "
            "checkpoint? Otherwise this is a defect of the compiler or the executor"
        )
