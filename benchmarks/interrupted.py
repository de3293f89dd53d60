"""What kills and full disks do to a training: it ends with the very bytes of one that nobody touched.

    python benchmarks/interrupted.py [--kills 8] [--networks resnet34 vit] [--only kill,two,disk,other] [--seed 7]

Small trainings of both networks by the command in dvc.yaml. Each is started and killed, again and again, until it happens to
end; then every file of its model is held against that of one that only saved after epochs. `kill`: so many by SIGKILL at
random moments, half as many as it saves, a quarter as it ends, half as many by SIGTERM. `two`: of two processes. `disk`:
wants root, for a small tmpfs. `other`: params.yaml changes in between. Only what was started here is killed. All runs import
one copy of the package: the key of work in progress has the code in it, and it must not change under way.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import warehouse_classifier
from victim import MOMENTS, Blow, Process, Training, content, minds_sigterm, pack

SAVED_EVERY = ("0", "0.5", "2")  # seconds, of a training that gets a SIGKILL; 0 is after every step
NEVER = "100000"  # within an epoch: of one that nobody touches, or that has to save because of a SIGTERM alone

KILL = Blow("kill -9 at any moment")
AS_IT_SAVES = Blow("kill -9 as it saves", sign=Training.half)
AS_IT_ENDS = Blow("kill -9 as it ends", sign=Training.half_a_model, early=True)
AS_IT_TIDIES = Blow("kill -9 as it tidies up", sign=Training.model, within=0.05, early=True)
TERM = Blow("SIGTERM at any moment", signal.SIGTERM)
AS_WORKERS_START = Blow("kill -9 as workers start", sign=Training.workers, within=4, early=True)
WORKER = Blow("kill -9 of a worker", sign=Training.workers, within=10, worker=True)


@dataclass
class Row:
    """One kind of kill, and the trainings that it, among others, fell upon."""

    moments: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    differ: int = 0
    wrong: int = 0


class Soak:
    def __init__(self, there: Path, seed: int) -> None:
        self.there, self.drawn, self.number = there, random.Random(seed), 0
        self.truth: dict[tuple[Any, ...], dict[str, str]] = {}
        self.seconds: dict[tuple[Any, ...], float] = {}
        self.rows: dict[tuple[str, int, str], Row] = {}
        shutil.copytree(Path(warehouse_classifier.__file__).parent, there / "warehouse_classifier")
        pack(there / "images")

    def folder(self) -> Path:
        self.number += 1
        folder = self.there / str(self.number)
        folder.mkdir()
        return folder

    def training(self, *what: Any, folder: Path | None = None) -> Training:
        """A new one, after one of its kind that nobody touched."""
        if what not in self.truth:
            whole, began = Training(self.folder(), *what), time.monotonic()
            if whole.start(NEVER).wait():
                sys.exit(f"{what}: nobody touched it, and it failed: {whole.last_words(50)}")
            self.truth[what], self.seconds[what] = whole.left(), time.monotonic() - began
            print(f"{' '.join(map(str, what))}: {self.seconds[what]:.0f} seconds if nobody touches it", flush=True)
            shutil.rmtree(whole.folder)
        return Training(folder or self.folder(), *what)

    def row(self, training: Training, name: str) -> Row:
        return self.rows.setdefault((training.network, training.processes, name), Row())

    def expect(self, right: object, training: Training, name: str, what: str) -> None:
        if not right:
            self.row(training, name).wrong += 1
            there = [path.name for path in training.kept() + training.half()]
            print(
                f"WRONG: {training.stage}, {name}: {what}; it has {there} and said: {training.last_words(9)}",
                flush=True,
            )

    def end(self, training: Training, status: int, truth: dict[str, str], *names: str) -> None:
        """It is over: is it as if nobody had touched it?"""
        left = training.left()
        for name in names or ["nothing"]:
            row = self.row(training, name)
            row.ended, row.differ = row.ended + (status == 0), row.differ + (status == 0 and left != truth)
            self.expect(status == 0, training, name, f"it ended with {status}")
            self.expect(status or left == truth, training, name, f"it left {left}, not {truth}")
            self.expect(
                status or not any((training.folder / ".work").iterdir()), training, name, "its work is still there"
            )
        shutil.rmtree(training.folder, ignore_errors=True)

    def kills(self, plan: list[Blow], *what: Any) -> None:
        """Trainings that are killed until they happen to end, until all that is planned is done."""
        self.drawn.shuffle(plan)
        (training, stuck), count, began = (self.training(*what), False), len(plan), time.monotonic()
        while plan or training.suffered:
            blow, before = plan[-1] if plan else None, training.progress()
            process = training.start(NEVER if blow == TERM else self.drawn.choice(SAVED_EVERY))
            if blow and not blow.early:
                if stuck:  # or it might never end
                    training.until(process, 600, lambda: training.progress() > before)  # noqa: B023
                training.until(process, self.drawn.uniform(0, self.seconds[what]))
            if blow and self.hit(training, process, blow):
                training.suffered.add(plan.pop())
                after = training.progress()
                right = after >= before or not training.found(".work/*/")  # which goes when all is over
                self.expect(right, training, blow.name, f"{before} became {after or 'nothing'}")
                # the one before stays too; there are three between the renaming of the one and the removal of the oldest
                spare = blow.sent == signal.SIGKILL or after == before
                right = len(training.kept()) <= 2 + spare and len(training.half()) <= spare
                self.expect(right, training, blow.name, "that is too much to leave")
                stuck = after <= before
            else:
                self.end(training, process.wait(), self.truth[what], *(blow.name for blow in training.suffered))
                training, stuck = self.training(*what), False
        print(f"{' '.join(map(str, what))}: {count} kills in {time.monotonic() - began:.0f} seconds", flush=True)

    def hit(self, training: Training, process: Process, blow: Blow) -> bool:
        """Kill it, and look at what it makes of that; False if it had ended before."""
        sign = blow.sign
        if sign:
            training.until(process, 600, lambda: sign(training))
            training.until(process, blow.within * self.drawn.random() ** 3)
        workers = training.workers()
        if process.poll() is not None or (blow.worker and not workers):
            return False
        moment, minds, now = training.moment(), minds_sigterm(process.pid), time.time()
        with suppress(ProcessLookupError):
            os.kill(self.drawn.choice(workers) if blow.worker else process.pid, blow.sent)
        status = process.wait(130)
        if status == 0:  # that was too late
            return False
        self.row(training, blow.name).moments[moment] += 1
        one_line = training.errors() == [training.last_words(1)]
        if blow.worker:
            right = status == 1 and one_line
        elif blow == TERM:
            right = status == 130 and one_line and f"{training.stage} was interrupted; " in training.last_words(1)
            right = right or (status == -signal.SIGTERM and not minds)
        else:
            right = status == -signal.SIGKILL
        self.expect(right, training, blow.name, f"{moment}, it ended with {status}")
        end = time.monotonic() + 60
        while training.alive() and time.monotonic() < end:
            time.sleep(0.1)
        for pid in training.alive():
            self.expect(False, training, blow.name, f"{moment}, process {pid} lived on for a minute")
            os.kill(pid, signal.SIGKILL)
        if not blow.worker and (blow == TERM or workers):
            self.expect(not training.lost(now), training, blow.name, f"{moment}, the last step was not saved")
        return True

    def disk(self, network: str) -> None:
        """On a disk too small it fails in one line, what it has stays as it is, and it goes on when there is room."""
        name, folder, mount = "a full disk", self.folder(), ["mount", "-t", "tmpfs", "-o"]
        subprocess.run([*mount, "size=8g", "tmpfs", folder], check=True)
        try:
            training = self.training(network, folder=folder)
            training.until_saved("0")  # within an epoch: at its end the best weights are kept as well
            size = sum(file.stat().st_size for file in content(training.kept()[-1:]))  # of one, and there may be two
            shutil.rmtree(folder / ".work")
            line = f"error: {training.stage}: the disk is full; free some space, `dvc repro` goes on from what is done"
            # there is no room for a checkpoint, then for one, then for no second one beside it, and then for all
            for share in (0.3, 0.8, 1.2, 0.3, 0.7, 0.95, 5):
                room, before = os.statvfs(folder), content(training.kept())
                bytes = (room.f_blocks - room.f_bfree) * room.f_frsize + int(share * size)
                subprocess.run([*mount, f"remount,size={bytes}", "tmpfs", folder], check=True)
                status = training.start("0.5").wait()
                if status == 0:
                    break
                self.row(training, name).moments["saving"] += 1
                right = status == 1 and training.errors() == [training.last_words(1)] == [line]
                self.expect(right, training, name, f"it ended with {status}")
                right = content(training.kept()) == before if before else len(training.kept()) == (share > 1)
                self.expect(right and not training.half(), training, name, "what it had is not as it was")
            self.end(training, status, self.truth[network,], name)
        finally:
            subprocess.run(["umount", folder], check=True)

    def other(self, network: str) -> None:
        """With another params.yaml it begins anew, and with the first one again it goes on."""
        name, what = "another params.yaml", (network, 1, 0.002)
        self.training(*what)
        training = self.training(network)
        training.until_saved()
        kept, before = training.kept(), content(training.kept())
        training.tell(what[2])
        status = training.start("2").wait()
        self.expect(status == 0 and training.left() == self.truth[what], training, name, "it left another model")
        self.expect(content(training.kept()) == before, training, name, "what it had is not as it was")
        training.tell(None)
        training.until_saved()
        self.expect(training.progress() > kept[0].name, training, name, "it began anew")
        self.row(training, name).moments["learning"] += 2
        self.end(training, training.start("2").wait(), self.truth[network,], name)

    def table(self) -> int:
        """Print it; returns how much is not as it should be."""
        heads = "".join(f"{head:>9}" for head in ("times", *MOMENTS, "ended", "differ", "wrong"))
        print(f"\n{'network':<10}{'processes':>9}  {'what':<26}{heads}")
        for (network, processes, name), row in sorted(self.rows.items()):
            counts = [
                row.moments.total(),
                *(row.moments[moment] for moment in MOMENTS),
                row.ended,
                row.differ,
                row.wrong,
            ]
            print(f"{network:<10}{processes:>9}  {name:<26}{''.join(f'{count:>9}' for count in counts)}")
        return sum(row.differ + row.wrong for row in self.rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--networks", nargs="+", choices=["resnet34", "vit"], default=["resnet34", "vit"])
    parser.add_argument("--only", default="kill,two,disk,other")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    half, some, few = (-(-args.kills // share) for share in (2, 4, 8))
    with tempfile.TemporaryDirectory() as there:
        soak = Soak(Path(there), args.seed)
        for network in args.networks:
            if "kill" in args.only:
                aimed = [AS_IT_SAVES, TERM] * half + [AS_IT_ENDS, AS_IT_TIDIES] * few
                soak.kills([KILL] * args.kills + aimed, network)
            if "two" in args.only:
                soak.kills([KILL, TERM, WORKER, AS_WORKERS_START] * some, network, 2)
            if "disk" in args.only:
                soak.disk(network)
            if "other" in args.only:
                soak.other(network)
        wrong = soak.table()
    sys.exit(f"{wrong} are not as they should be" if wrong else 0)


if __name__ == "__main__":
    main()
