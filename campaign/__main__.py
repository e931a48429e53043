"""`./run campaign [--seed 1] [--faults 240] [--each 4] [--report FILE]`: see the package."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from campaign.cargo import Table
from campaign.checks import check
from campaign.faults import deal
from campaign.ground import DAG, IMAGES_DAG, Ground
from campaign.report import Played, never_struck, write
from campaign.round import FIRST_DAY, Round
from stack.cluster.command import check_machine
from stack.errors import StackError

INSIDE = "MILLRACE_CAMPAIGN_INSIDE"


def main() -> int:
    """Run it; 0 when everything held."""
    options = _options()
    try:
        check_machine()
    except StackError as fault:
        print(f"run: {fault}", file=sys.stderr)
        return 1
    if not os.environ.get(INSIDE):  # mounts of our own, which go with this process
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "campaign", *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))
    folder = Path(tempfile.mkdtemp(prefix="millrace-campaign-", dir="/var/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    ground = Ground(folder)
    try:
        return _campaign(ground, options)
    except StackError as fault:
        print(f"run: {fault}", file=sys.stderr)
        return 1
    finally:
        ground.stop()
        if options.keep:
            print(f"kept: {folder}")
        else:
            ground.remove()


def _campaign(ground: Ground, options: argparse.Namespace) -> int:
    ground.prepare()
    began = time.monotonic()
    ground.start()
    print(f"cluster up after {time.monotonic() - began:.0f} s, in {ground.folder}", flush=True)
    _unpause(ground)
    table, date = Table(), FIRST_DAY
    played: list[Played] = []
    hands = deal(random.Random(options.seed), options.faults, options.each)
    for number, hand in enumerate(hands, 1):
        round_ = Round(ground, number, random.Random(options.seed * 100_003 + number), hand, date)
        problems = _play(round_, table)
        date += timedelta(days=len(round_.runs))
        table = _held(ground) if problems else round_.expected(table)
        played.append(Played.of(round_, problems))
        print(played[-1].line, flush=True)
        if problems and options.keep:
            _keep_evidence(ground, number)
        if options.report:
            asked = f"--seed {options.seed} --faults {options.faults} --each {options.each}"
            write(options.report, played, asked, time.monotonic() - began)
        if time.monotonic() - began > options.minutes * 60:
            print(f"stopped after {options.minutes:.0f} minutes", flush=True)
            break
    struck = sum(len(one.hits) for one in played)
    bad = [one for one in played if one.problems]
    print(f"{struck} faults in {len(played)} rounds, {len(bad)} rounds with a problem")
    for name in (never := never_struck(played)):
        print(f"{name}: had no target in any round, so nothing is known of it")
    return 1 if bad or never else 0


def _play(round_: Round, table: Table) -> list[str]:
    """One round from calm to calm; the invariants that it violated."""
    try:
        round_.ground.calm()
        round_.play()
        round_.ground.calm()
        return check(round_, round_.expected(table))
    except StackError as fault:
        return [str(fault)]


def _held(ground: Ground) -> Table:
    """After a problem: what the target holds now, so that the next round stands for itself."""
    with ground.warehouse() as connection:
        rows = connection.execute("SELECT id, label, (price * 100)::bigint FROM public.campaign").fetchall()
    return Table({number: (label, cents) for number, label, cents in rows})


def _unpause(ground: Ground) -> None:
    for dag in (DAG, IMAGES_DAG):
        ground.unpause(dag)


def _keep_evidence(ground: Ground, number: int) -> None:
    """The logs as they are, as a later round writes more into them."""
    shutil.copytree(ground.place.logs, ground.folder / "evidence" / str(number), dirs_exist_ok=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run campaign", description="Faults on a cluster of its own; needs root.")
    parser.add_argument("--seed", type=int, default=1, help="the same faults at the same moments (1)")
    parser.add_argument("--faults", type=int, default=240, help="how many (240)")
    parser.add_argument("--each", type=int, default=4, help="how many in a round (4)")
    parser.add_argument("--minutes", type=float, default=120, help="stop after the round that passes this (120)")
    parser.add_argument("--report", type=Path, help="write the report there, anew after each round")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and databases")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
