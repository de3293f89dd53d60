"""Run a stage on SageMaker: send what it reads, follow the job, bring what it leaves.

One job does one work: whoever asks for the same (inputs, command, code, parameters, remote) while it runs follows it, and
whoever asks when it is done takes what it has left.
"""

import signal
import time
from types import FrameType

from warehouse_classifier.compute import model_registry, parameters, snapshot, stage_spec
from warehouse_classifier.compute.local import tracked_params
from warehouse_classifier.compute.sagemaker import aws, code_archive, dvc_remote, outputs, preflight
from warehouse_classifier.compute.sagemaker.follow import Follower
from warehouse_classifier.compute.sagemaker.job import Jobs
from warehouse_classifier.compute.sagemaker.prompt import ask, say, tell
from warehouse_classifier.compute.sagemaker.request import CODE, RUNS
from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.snapshot import Snapshot
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root
from warehouse_classifier.tracking.mlflow_run import MlflowRun

WHY = {
    "MaxRuntimeExceeded": "it took longer than sagemaker.max_hours; the same command goes on from its checkpoint",
    "MaxWaitTimeExceeded": "it waited for a machine longer than sagemaker.max_wait_hours; the same command goes on from there",
}


class Gone(KeyboardInterrupt):
    """Whoever followed a job is to end, and has nobody to ask."""


def run(stage: str, argv: list[str]) -> None:
    """Raises UserError if the stage fails there or cannot be started, and KeyboardInterrupt if nobody waits for it any more."""
    signal.signal(signal.SIGTERM, _gone)
    tree = parameters.read()
    told, settings, place = stage_spec.read(stage, argv, tree), Settings.load(), dvc_remote.read()
    preflight.check(told, settings, tree)
    begun = snapshot.take(stage, argv, tree)
    refuse_other_inputs(told, begun)
    jobs = Jobs(told, place, settings)
    attempt, state = jobs.newest()
    if state and state.status == "Completed" and (entry := wanted(jobs, jobs.name(attempt))):
        say(f"{stage} was done as {jobs.name(attempt)}; taking what it has left")
        _, tracked = followed(jobs, jobs.name(attempt))
        return bring(jobs, entry, tracked, begun)
    if state and state.status == "Stopping":
        say(f"{stage} is being stopped; another attempt comes after that")
        followed(jobs, jobs.name(attempt))
        return run(stage, argv)
    if state and not state.ended:
        say(f"{stage} is at work already; following it")
    else:
        if state and state.status == "Completed":
            outputs.tidy(jobs)  # anew is from the beginning
        attempt += 1
        start(jobs, jobs.name(attempt))
    name = jobs.name(attempt)
    state, tracked = followed(jobs, name)
    if state.status != "Completed":
        phase = f", {state.phase}" if state.phase != state.status else ""
        why = state.reason or WHY.get(state.phase, "somebody stopped it; the same command goes on from its checkpoint")
        raise UserError(f"{stage} on SageMaker: {state.status}{phase} ({name}): {why}")
    if (entry := outputs.read(jobs, name)) is None:
        raise UserError(f"{stage} on SageMaker: {name} is done, and its outcome is not in {jobs.address(name)}")
    return bring(jobs, entry, tracked, begun)


def refuse_other_inputs(told: stage_spec.StageSpec, begun: Snapshot | None) -> None:
    """Raises UserError if an input here is not what dvc.lock says: a job gets that, and DVC would record this."""
    if others := [path for path, md5 in (begun.inputs if begun else {}).items() if told.inputs[path] != md5]:
        raise UserError(
            f"{', '.join(others)} is not what dvc.lock says, and the job would get that;"
            " `dvc commit` keeps the change, `dvc checkout` undoes it"
        )


def start(jobs: Jobs, name: str) -> None:
    """Send what the remote lacks, and ask for the job."""
    told, place = jobs.spec, jobs.remote
    packed = code_archive.pack(told, place)
    if stage_spec.read(told.stage, told.argv) != told:
        raise UserError(f"{told.stage}: what it is made of was edited as it was sent; start it again")
    if told.inputs:
        if others := dvc_remote.changed(told.inputs):
            raise UserError(
                f"{', '.join(others)} is not what dvc.lock says, and the job would get that;"
                " `dvc commit` keeps the change, `dvc checkout` undoes it"
            )
        say(f"{told.stage}: sending what {place.url} lacks of {', '.join(told.inputs)}")
        dvc_remote.dvc("push", *told.inputs)
    with aws.asking("the code for SageMaker"):
        place.client(jobs.settings.region).put_object(Bucket=place.bucket, Key=place.key(RUNS, name, CODE), Body=packed)
    try:
        jobs.create(name)
    except KeyboardInterrupt:  # whoever asked for it in this very moment may have it
        tell(name)
        raise


def wanted(jobs: Jobs, name: str) -> outputs.Entry | None:
    """What a completed job has left, unless it is gone, or known here already: then the stage is to be run anew."""
    entry = outputs.read(jobs, name)
    if entry is None or outputs.is_known(jobs.spec.stage, entry) or not outputs.is_there(jobs, entry):
        return None
    return entry


def bring(jobs: Jobs, entry: outputs.Entry, tracked: MlflowRun, begun: Snapshot | None) -> None:
    """Put the outputs in place, unless what the job was made of was edited here meanwhile: then they stay in the remote."""
    snapshot.refuse_changes(begun)  # before anything is fetched, and after, for that may take minutes
    outputs.bring(jobs, entry)
    model_registry.models(tracked, jobs.spec.stage, jobs.spec.argv)
    snapshot.refuse_changes(begun)
    try:
        outputs.tidy(jobs)
    except UserError as fault:  # the stage is done all the same
        say(f"{fault}; its checkpoints stay in {jobs.address(jobs.work)}")


def followed(jobs: Jobs, name: str) -> tuple[State, MlflowRun]:
    """The job's end and its figures, however often one asks to leave. Raises KeyboardInterrupt if it is left or was to be stopped."""
    settings, told = jobs.settings, jobs.spec
    follower, stopped = None, False
    try:
        begun = jobs.state(name) or State(jobs.request(name))  # perhaps with other settings than today's
        machine, count = begun.machines
        tags = {"runner": "sagemaker", "job": name, "instance": f"{count} x {machine}", "image": begun.image}
        tracked = MlflowRun(
            told.stage, tracked_params(told.stage, told.argv[0], parameters.read()), told.digest, tags, settings.mlflow
        )
        follower = Follower(jobs, name, tracked, root() / ".work" / "sagemaker" / f"{name}.lock")
        while True:
            try:
                state = follower.follow()
                break
            except Gone:
                raise
            except KeyboardInterrupt:
                choice = ask(follower)
                if choice == "leave":
                    raise
                if choice == "stop":
                    jobs.stop(name)
                    stopped = True
    except BaseException:  # also what goes wrong while one is asked, or credentials that have expired
        if follower is None or follower.state is None or not follower.state.ended:
            tell(name)
        raise
    price = settings.price(*state.machines)
    try:
        tracked.end(
            {"Completed": "FINISHED", "Stopped": "KILLED"}.get(state.status, "FAILED"),
            seconds=state.seconds(time.time()),
            **({} if price is None else {"dollars": state.billed(time.time()) / HOUR * price}),
        )
    except UserError as fault:  # what the job has left is worth more than its curves
        say(f"{fault}; the figures of {name} are not whole there")
    if stopped:
        raise KeyboardInterrupt
    return state, tracked


def _gone(signum: int, frame: FrameType | None) -> None:
    raise Gone
