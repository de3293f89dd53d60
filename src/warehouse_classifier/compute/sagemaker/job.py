"""Training jobs of SageMaker: their names, and what the service is asked of them."""

from typing import Any

from botocore.exceptions import ClientError

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.sagemaker.request import address, request_for
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.stage_spec import StageSpec
from warehouse_classifier.runtime.errors import UserError

GAP = 3  # attempts in a row that are not there are the end of them


class Jobs:
    """The jobs that do the very work of one spec: `<stage>-<hash>-<attempt>`, one after the other."""

    def __init__(self, told: StageSpec, remote: Remote, settings: Settings) -> None:
        self.spec, self.remote, self.settings = told, remote, settings
        digest = told.with_params(remote.url, remote.told.get("endpointurl"))
        self.work = f"{told.stage.replace('_', '-')[:40]}-{digest}"  # names have 63 characters
        self.client = aws.client("sagemaker", settings.region)

    def name(self, attempt: int) -> str:
        """Of an attempt, from 1 on."""
        return f"{self.work}-{attempt}"

    def newest(self) -> tuple[int, State | None]:
        """The last attempt, and how it stands; (0, None) if there was none. Some before it may have been deleted."""
        attempt, newest, tried = 0, None, 0
        while tried < attempt + GAP:
            tried += 1
            if found := self.state(self.name(tried)):
                attempt, newest = tried, found
        return attempt, newest

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
        """Raises UserError where SageMaker does not want it. A job of this name that someone else was faster to create is fine."""
        stage, settings = self.spec.stage, self.settings
        with aws.asking(f"{stage} on SageMaker"):
            try:
                self.client.create_training_job(**self.request(name))
            except ClientError as error:
                code, said = aws.code_of(error), str(error.response["Error"].get("Message", ""))
                if code == "ResourceInUse":
                    return
                if code == "ResourceLimitExceeded":
                    instance = settings.instance(stage)
                    raise UserError(
                        f"{stage}: the account has no quota for {instance.count} {instance.type}"
                        f"{' spot' if settings.spot else ''} ({said}); ask for it in Service Quotas,"
                        f" or set another sagemaker.instances.{stage}.type, or sagemaker.spot"
                    ) from None
                if "assume role" in said.lower():
                    raise UserError(f"{stage}: SageMaker cannot take the role {settings.role} ({said})") from None
                raise

    def stop(self, name: str) -> None:
        """One that has ended meanwhile is fine. Raises UserError where SageMaker cannot be asked."""
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
        """Of what a job is given or leaves, below the remote's own address."""
        return address(self.remote, *names)
