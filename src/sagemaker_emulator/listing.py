"""ListTrainingJobs: sifted, sorted and cut as the service does it."""

from typing import Any

from sagemaker_emulator.limits import INVALID, Refusal

SORTED = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
SUMMED = (*SORTED.values(), "TrainingJobArn", "TrainingEndTime", "LastModifiedTime")


def page(descriptions: list[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """One page of all jobs, each as DescribeTrainingJob has it. Raises Refusal for a token that is none.

    As the service does: a page is cut first, and only then seen for the status that was asked for.
    """
    jobs = descriptions
    for moment in ("CreationTime", "LastModifiedTime"):
        after, before = request.get(f"{moment}After", 0), request.get(f"{moment}Before", float("inf"))
        jobs = [job for job in jobs if after <= job[moment] <= before]
    jobs = [job for job in jobs if request.get("NameContains", "") in job["TrainingJobName"]]
    if "WarmPoolStatusEquals" in request or "TrainingPlanArnEquals" in request:
        jobs = []  # the emulator has neither
    key = SORTED[request.get("SortBy", "CreationTime")]
    jobs.sort(key=lambda job: job[key], reverse=request.get("SortOrder") == "Descending")
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise Refusal(INVALID, "Invalid NextToken")
    begin, end = int(token), int(token) + request.get("MaxResults", 10)
    shown = [job for job in jobs[begin:end] if request.get("StatusEquals") in (None, job["TrainingJobStatus"])]
    response = {"TrainingJobSummaries": [{name: job[name] for name in SUMMED if name in job} for job in shown]}
    return {**response, "NextToken": str(end)} if end < len(jobs) else response
