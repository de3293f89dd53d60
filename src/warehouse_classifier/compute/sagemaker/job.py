"""Training jobs of SageMaker: their names, and what the service is asked of them."""

from typing import Any

from botocore.exceptions import ClientError

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.sagemaker.request import RUNS, request_for
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.stage_spec import StageSpec
from warehouse_classifier.runtime.errors import UserError

GAP = 3  # numbers in a row without a job end the search for the newest attempt


class Jobs:
    """The attempts at one stage with the very same inputs, code and parameters: jobs called `<stage>-<hash>-<attempt>`."""

    def __init__(self, spec: StageSpec, remote: Remote, settings: Settings) -> None:
        self.spec, self.remote, self.settings = spec, remote, settings
        digest = spec.with_params(remote.url, remote.section.get("endpointurl"))
        self.work = f"{spec.stage.replace('_', '-')[:40]}-{digest}"  # a job's name has 63 characters at most
        self.client = aws.client("sagemaker", settings.region)

    def name(self, attempt: int) -> str:
        """Of an attempt, from 1 on."""
        return f"{self.work}-{attempt}"

    def newest(self) -> tuple[int, State | None]:
        """The last attempt, and how it stands; (0, None) if there was none. Some before it may have been deleted.

        Raises UserError where SageMaker cannot be asked, as `state` does.
        """
        newest, newest_state, attempt = 0, None, 0
        while attempt < newest + GAP:
            attempt += 1
            if state := self.state(self.name(attempt)):
                newest, newest_state = attempt, state
        return newest, newest_state

    def state(self, name: str) -> State | None:
        """None if there is no such job."""
        with aws.asking("SageMaker"):
            try:
                return State(self.client.describe_training_job(TrainingJobName=name))
            except ClientError as error:
                if aws.code_of(error) == "ValidationException" and "not found" in str(error):
                    return None
                raise

    def create(self, name: str) -> None:
        """Raises UserError where SageMaker refuses it. That someone else was faster to create a job of this name is fine."""
        stage, settings = self.spec.stage, self.settings
        with aws.asking(f"{stage} on SageMaker"):
            try:
                self.client.create_training_job(**self.request(name))
            except ClientError as error:
                code, message = aws.code_of(error), str(error.response["Error"].get("Message", ""))
                if code == "ResourceInUse":
                    return
                if code == "ResourceLimitExceeded":
                    instance = settings.instance(stage)
                    raise UserError(
                        f"{stage}: the account has no quota for {instance.count} {instance.type}"
                        f"{' spot' if settings.spot else ''} ({message}); ask for it in Service Quotas,"
                        f" or set another sagemaker.instances.{stage}.type, or sagemaker.spot"
                    ) from None
                if "assume role" in message.lower():
                    raise UserError(f"{stage}: SageMaker cannot take the role {settings.role} ({message})") from None
                raise

    def stop(self, name: str) -> None:
        """Raises UserError where SageMaker cannot be asked."""
        with aws.asking("SageMaker"):
            try:
                self.client.stop_training_job(TrainingJobName=name)
            except ClientError as error:
                if aws.code_of(error) != "ValidationException":  # it has ended meanwhile
                    raise

    def request(self, name: str) -> dict[str, Any]:
        """What CreateTrainingJob is asked."""
        return request_for(name, self.work, self.spec, self.remote, self.settings)

    def address(self, *names: str) -> str:
        """s3:// address of what a job is given or leaves."""
        return self.remote.address(RUNS, *names)
