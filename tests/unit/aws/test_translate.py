"""AWS's errors in words."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from dayfly.aws.translate import is_transient, translate_error
from dayfly.errors import AwsError


def client_error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateStack")


def told(error: Exception) -> AwsError:
    return translate_error(error, service="cloudformation", operation="CreateStack")


def test_a_denied_call_is_told_with_the_line_that_allows_it() -> None:
    said = (
        "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: cloudformation:CreateStack "
        "on resource: arn:aws:cloudformation:eu-central-1:123456789012:stack/x/* because no policy allows it"
    )
    error = told(client_error("AccessDenied", said))
    assert "cloudformation:CreateStack" in error.what
    assert (
        '{"Effect": "Allow", "Action": "cloudformation:CreateStack", '
        '"Resource": "arn:aws:cloudformation:eu-central-1:123456789012:stack/x/*"}'
    ) in error.hint


def test_a_denied_call_whose_message_says_nothing_is_named_by_its_service() -> None:
    denied = client_error("AccessDeniedException", "denied")
    error = translate_error(denied, service="service-quotas", operation="GetServiceQuota")
    assert "servicequotas:GetServiceQuota" in error.hint


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_an_expired_session_names_the_login(code: str) -> None:
    assert "aws sso login" in told(client_error(code, "expired")).hint


def test_missing_credentials_name_how_to_get_some() -> None:
    assert "aws configure" in told(NoCredentialsError()).hint


def test_an_endpoint_out_of_reach_names_the_network() -> None:
    error = told(EndpointConnectionError(endpoint_url="https://x"))
    assert (error.code, error.what) == ("EndpointConnectionError", "AWS cannot be reached.")


def test_any_other_error_keeps_what_aws_said() -> None:
    error = told(client_error("LimitExceededException", "too many stacks"))
    assert (error.code, error.operation, error.why) == (
        "LimitExceededException",
        "CreateStack",
        "too many stacks",
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        ("SignatureDoesNotMatch", "Signature expired: 20261123T091500Z is now earlier than 20261123T101000Z"),
        ("InvalidSignatureException", "Signature not yet current: 20261123T111500Z is still later than ..."),
    ],
)
def test_a_wrong_clock_is_told_as_one(code: str, said: str) -> None:
    """Not as wrong credentials, which is what AWS calls it."""
    error = told(client_error(code, said))
    assert "clock" in error.what
    assert error.why == said


@pytest.mark.parametrize("code", ["Throttling", "ServiceUnavailable", "503", "ReadTimeoutError"])
def test_what_may_succeed_in_a_moment_is_told_apart(code: str) -> None:
    assert is_transient(told(client_error(code, "later")))
    assert not is_transient(told(client_error("ExpiredToken", "expired")))
