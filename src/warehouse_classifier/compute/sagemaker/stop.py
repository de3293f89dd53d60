"""Stop a job that was left running: `python -m warehouse_classifier.compute.sagemaker.stop <job>`."""

import sys

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import say_error


def main(words: list[str]) -> int:
    """`words`: the job's name. Returns the exit status; what is wrong is said in one line on stderr."""
    try:
        if len(words) != 1:
            raise UserError(
                "usage: python -m warehouse_classifier.compute.sagemaker.stop <job>, by the name that its launcher told"
            )
        with aws.asking(words[0]):
            aws.client("sagemaker", Settings.load().region).stop_training_job(TrainingJobName=words[0])
    except UserError as error:
        say_error(error)
        return 1
    print(f"{words[0]} is being stopped; it saves what is done, and the same stage goes on from there")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
