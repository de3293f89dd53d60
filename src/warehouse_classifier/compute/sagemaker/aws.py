"""AWS as the environment has it: clients, and its errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import ClientError

from warehouse_classifier.runtime.errors import UserError

REFUSED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
BUSY = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "ServiceUnavailable", "SlowDown",
}  # fmt: skip
SERVER_ERROR = 500  # HTTP statuses from here on are an error of AWS itself
DENIED = {"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"}


class Unreachable(UserError):
    """AWS does not answer now, and may do so later."""


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn the errors of boto3 into a UserError of one line. `what`: what is asked for, with which the line begins."""
    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.ProfileNotFound) as error:
        raise UserError(f"{what}: there are no AWS credentials ({error}); log in, or set AWS_PROFILE") from None
    except (exceptions.CredentialRetrievalError, exceptions.SSOError, exceptions.TokenRetrievalError) as error:
        raise UserError(f"{what}: the AWS credentials cannot be had ({_line(error)}); log in again") from None
    except ClientError as error:
        raise _explained(what, error) from None
    except (exceptions.ConnectTimeoutError, exceptions.EndpointConnectionError, exceptions.HTTPClientError) as error:
        raise Unreachable(f"{what}: AWS cannot be reached ({_line(error)})") from None
    except exceptions.BotoCoreError as error:
        raise UserError(f"{what}: {_line(error)}") from None


def _explained(what: str, error: ClientError) -> UserError:
    code, operation, message = code_of(error), error.operation_name, _line(error.response["Error"].get("Message", ""))
    if code in REFUSED:
        return UserError(f"{what}: the AWS credentials are refused ({code}: {message}); log in again")
    if code in DENIED:
        way_out = "README has the rights it takes, On rented machines"
        return UserError(f"{what}: {operation} is not allowed ({message}); {way_out}")
    if code in BUSY or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= SERVER_ERROR:
        return Unreachable(f"{what}: AWS does not answer {operation} now ({code}: {message})")
    return UserError(f"{what}: AWS refuses {operation} ({code}: {message})")


def _line(message: object) -> str:
    return " ".join(str(message).split())


def code_of(error: ClientError) -> str:
    """AWS's name for the error, such as AccessDenied."""
    return str(error.response.get("Error", {}).get("Code", ""))


def client(service: str, region: str, profile: str | None = None, attempts: int = 10, **options: Any) -> Any:
    """boto3's, with its `options`; ten attempts, so that a bad minute does not end the watch over a job of hours."""
    config = Config(retries={"mode": "standard", "max_attempts": attempts})
    with asking("your AWS account"):
        return boto3.Session(profile_name=profile).client(service, region_name=region, config=config, **options)
