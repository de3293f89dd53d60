"""Run a stage on SageMaker: send what it reads, follow the job, bring what it leaves.

One job does one work: whoever asks for the same (inputs, command, code, parameters, remote) while it runs follows it, and
whoever asks when it is done takes what it has left.
"""

import signal
import time
from types import FrameType

from warehouse_classifier.compute import model_registry, parameters, snapshot, stage_spec
from warehouse_classifier.compute.sagemaker import aws, code_archive, dvc_remote, outputs, preflight
from warehouse_classifier.compute.sagemaker.follow import Follower
from warehouse_classifier.compute.sagemaker.job import Jobs
from warehouse_classifier.compute.sagemaker.prompt import ask, say_it_goes_on
from warehouse_classifier.compute.sagemaker.request import CODE, RUNS
from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.sagemaker.status_line import say
from warehouse_classifier.compute.snapshot import Snapshot
from warehouse_classifier.compute.tracked_run import tracked_params
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root
from warehouse_classifier.tracking.mlflow_run import MlflowRun

REASONS = {  # why a job stopped, by its phase, where SageMaker gives no reason
    "MaxRuntimeExceeded": "it took longer than sagemaker.max_hours; the same command goes on from its checkpoint",
    "MaxWaitTimeExceeded": "it waited for a machine longer than sagemaker.max_wait_hours; the same command goes on from there",
}
RUN_STATUS = {"Completed": "FINISHED", "Stopped": "KILLED"}  # MLflow's for the job's
STOPPED = "somebody stopped it; the same command goes on from its checkpoint"


class Terminated(KeyboardInterrupt):
    """A SIGTERM: this process is to end, and there is nobody to ask about the job."""


def run(stage: str, argv: list[str]) -> None:
    """Raises UserError if the stage fails there or cannot be started, KeyboardInterrupt if nobody waits for it any more."""
    signal.signal(signal.SIGTERM, _terminate)
    tree = parameters.read()
    spec, settings = stage_spec.read(stage, argv, tree), Settings.load()
    remote = dvc_remote.read(settings.remote)
    preflight.check(spec, settings, tree)
    begun = snapshot.take(stage, argv, tree)
    refuse_other_inputs(spec, begun)
    jobs = Jobs(spec, remote, settings)
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
            outputs.tidy(jobs)  # to do it anew is to do it from the beginning
        attempt += 1
        start(jobs, jobs.name(attempt))
    name = jobs.name(attempt)
    state, tracked = followed(jobs, name)
    if state.status != "Completed":
        phase = f", {state.phase}" if state.phase != state.status else ""
        reason = state.reason or REASONS.get(state.phase, STOPPED)
        raise UserError(f"{stage} on SageMaker: {state.status}{phase} ({name}): {reason}")
    if (entry := outputs.read(jobs, name)) is None:
        raise UserError(f"{stage} on SageMaker: {name} is done, and its outcome is not in {jobs.address(name)}")
    return bring(jobs, entry, tracked, begun)


def refuse_other_inputs(spec: stage_spec.StageSpec, begun: Snapshot | None) -> None:
    """Raises UserError if an input here is not what dvc.lock says: a job gets that, and DVC would record this."""
    if others := [path for path, md5 in (begun.inputs if begun else {}).items() if spec.inputs[path] != md5]:
        raise UserError(
            f"{', '.join(others)} is not what dvc.lock says, and the job would get that;"
            " `dvc commit` keeps the change, `dvc checkout` undoes it"
        )


def start(jobs: Jobs, name: str) -> None:
    """Send what the remote lacks, and ask for the job. Raises UserError, also if the stage was edited meanwhile."""
    spec, remote = jobs.spec, jobs.remote
    archive = code_archive.pack(spec, remote)
    if stage_spec.read(spec.stage, spec.argv) != spec:
        raise UserError(f"{spec.stage}: what it is made of was edited as it was sent; start it again")
    if spec.inputs:
        say(f"{spec.stage}: sending what {remote.url} lacks of {', '.join(spec.inputs)}")
        dvc_remote.dvc("push", "--remote", remote.name, *spec.inputs)
    with aws.asking("the code for SageMaker"):
        client, key = remote.client(jobs.settings.region), remote.key(RUNS, name, CODE)
        client.put_object(Bucket=remote.bucket, Key=key, Body=archive)
    try:
        jobs.create(name)
    except KeyboardInterrupt:  # in this very moment: the job may be there or not
        say_it_goes_on(name)
        raise


def wanted(jobs: Jobs, name: str) -> outputs.LockEntry | None:
    """What a completed job has left; None if that is lost, or known here already: then the stage is to be run anew."""
    entry = outputs.read(jobs, name)
    if entry is None or outputs.is_known(jobs.spec.stage, entry) or not outputs.is_there(jobs, entry):
        return None
    return entry


def bring(jobs: Jobs, entry: outputs.LockEntry, tracked: MlflowRun, begun: Snapshot | None) -> None:
    """Put the outputs in place. Raises UserError if the stage was edited here meanwhile: then they stay in the remote."""
    snapshot.refuse_changes(begun)  # before anything is fetched, and after, for that may take minutes
    outputs.bring(jobs, entry)
    model_registry.models(tracked, jobs.spec.stage, jobs.spec.argv)
    snapshot.refuse_changes(begun)
    try:
        outputs.tidy(jobs)
    except UserError as error:  # the stage is done all the same
        say(f"{error}; its checkpoints stay in {jobs.address(jobs.work)}")


def followed(jobs: Jobs, name: str) -> tuple[State, MlflowRun]:
    """The job's last state and its run in MLflow, however often the user asks to leave.

    Raises KeyboardInterrupt if it is left or was stopped by the user, UserError if it is gone.
    """
    follower, stopped = None, False
    try:
        tracked = tracked_run(jobs, name)
        follower = Follower(jobs, name, tracked, root() / ".work" / "sagemaker" / f"{name}.lock")
        while True:
            try:
                state = follower.follow()
                break
            except Terminated:
                raise
            except KeyboardInterrupt:
                choice = ask(follower)
                if choice == "leave":
                    raise
                if choice == "stop":
                    jobs.stop(name)
                    stopped = True
    except BaseException:  # also what goes wrong while the user is asked, or credentials that have expired
        if follower is None or follower.state is None or not follower.state.ended:
            say_it_goes_on(name)
        raise
    try:
        tracked.end(RUN_STATUS.get(state.status, "FAILED"), **costs(state, jobs.settings))
    except UserError as error:  # what the job has left is worth more than its curves
        say(f"{error}; the figures of {name} are not whole there")
    if stopped:
        raise KeyboardInterrupt
    return state, tracked


def tracked_run(jobs: Jobs, name: str) -> MlflowRun:
    """The job's run in MLflow; its tags are of the job as it was started, perhaps with other settings than today's."""
    spec, state = jobs.spec, jobs.state(name) or State(jobs.request(name))
    machine, count = state.machines
    tags = {"runner": "sagemaker", "job": name, "instance": f"{count} x {machine}", "image": state.image}
    params = tracked_params(spec.stage, spec.argv[0], parameters.read())
    return MlflowRun(spec.stage, params, spec.digest, tags, jobs.settings.mlflow)


def costs(state: State, settings: Settings) -> dict[str, float]:
    """Seconds of a job and, where the price is known, dollars."""
    price, now = settings.price(*state.machines), time.time()
    dollars = {} if price is None else {"dollars": state.billed(now) / HOUR * price}
    return {"seconds": state.seconds(now), **dollars}


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated
