"""AWS as the environment has it: clients, and what it has to say in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from warehouse_classifier.runtime.errors import UserError

EXPIRED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
)
BUSY = (
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
)
SERVERS = 500  # and above: an error of theirs
DENIED = ("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation")


class Unreachable(UserError):
    """AWS does not answer now, and may do so later."""


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn what AWS answers into a UserError of one line. `what`: what is asked for, for people."""
    try:
        yield
    except (NoCredentialsError, ProfileNotFound) as error:
        raise UserError(f"{what}: there are no AWS credentials ({error}); log in, or set AWS_PROFILE") from None
    except (CredentialRetrievalError, SSOError, TokenRetrievalError) as error:
        raise UserError(
            f"{what}: the AWS credentials cannot be had ({' '.join(str(error).split())}); log in again"
        ) from None
    except ClientError as error:
        code, said = code_of(error), " ".join(str(error.response["Error"].get("Message", "")).split())
        if code in EXPIRED:
            raise UserError(f"{what}: the AWS credentials are refused ({code}: {said}); log in again") from None
        if code in DENIED:
            action = f"{error.operation_name} is not allowed"
            raise UserError(f"{what}: {action} ({said}); README has the rights it takes, On rented machines") from None
        if code in BUSY or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= SERVERS:
            raise Unreachable(f"{what}: AWS does not answer {error.operation_name} now ({code}: {said})") from None
        raise UserError(f"{what}: AWS refuses {error.operation_name} ({code}: {said})") from None
    except (ConnectTimeoutError, EndpointConnectionError, HTTPClientError) as error:
        raise Unreachable(f"{what}: AWS cannot be reached ({' '.join(str(error).split())})") from None
    except BotoCoreError as error:
        raise UserError(f"{what}: {' '.join(str(error).split())}") from None


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def client(service: str, region: str, profile: str | None = None, attempts: int = 10, **how: Any) -> Any:
    """`how`: as boto3's client has it. Many attempts: a job of hours should not be lost from sight by a bad minute."""
    config = Config(retries={"mode": "standard", "max_attempts": attempts})
    with asking("your AWS account"):
        return boto3.Session(profile_name=profile).client(service, region_name=region, config=config, **how)
