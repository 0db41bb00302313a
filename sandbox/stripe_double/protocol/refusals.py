"""The API's errors, in the words and shape of Stripe's."""

from collections.abc import Sequence

from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.request import Answer

_DOCS = "https://stripe.com/docs/error-codes/"


class Refusal(Exception):
    """Ends a request with an error of Stripe's; the front door adds where its log is."""

    def __init__(self, status: int, message: str, **fields: object) -> None:
        super().__init__(message)
        self.answer = refuse(status, message, **fields)


def refuse(status: int, message: str, **fields: object) -> Answer:
    error: JsonObject = {"message": message, "type": "invalid_request_error", **fields}
    if "code" in error:
        error["doc_url"] = _DOCS + str(error["code"]).replace("_", "-")
    return Answer(status=status, body=b"", error=error)


def unknown_parameters(names: Sequence[str]) -> Refusal:
    many = "s" if len(names) > 1 else ""
    return Refusal(
        400,
        f"Received unknown parameter{many}: {', '.join(names)}",
        code="parameter_unknown",
        param=names[0],
    )


def missing_parameter(name: str) -> Refusal:
    return Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def empty_parameter(name: str) -> Refusal:
    return Refusal(
        400,
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{name}' cannot be unset. You should remove '{name}' from your "
        "request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )


def invalid_integer(name: str, value: str) -> Refusal:
    return Refusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)


def invalid_choice(name: str, choices: Sequence[str]) -> Refusal:
    """Stripe names all choices, and gives this error no code."""
    *most, last = choices
    comma = "," if len(most) > 1 else ""
    return Refusal(
        400, f"Invalid {name}: must be one of {', '.join(most)}{comma} or {last}", param=name
    )


def both_cursors() -> Refusal:
    return Refusal(
        400, "Received both starting_after and ending_before parameters. Please pass in only one."
    )


def cannot_expand(path: str, *, in_list: bool) -> Refusal:
    hint = f" You may want to try expanding 'data.{path}' instead." if in_list else ""
    return Refusal(400, f"This property cannot be expanded ({path}).{hint}")


def missing(kind: str, name: str, param: str, *, in_path: bool = False) -> Refusal:
    """404 for an object named in the path, 400 for one named by a parameter."""
    return Refusal(
        404 if in_path else 400,
        f"No such {kind}: '{name}'",
        code="resource_missing",
        param=param,
    )


def no_key() -> Refusal:
    return Refusal(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization "
        "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
    )


def unknown_key(secret: str) -> Refusal:
    return Refusal(401, f"Invalid API Key provided: {secret[:8]}{'*' * 8}{secret[-4:]}")


def expired_key(secret: str) -> Refusal:
    return Refusal(
        401,
        f"Expired API Key provided: {secret[:8]}{'*' * 8}{secret[-4:]}",
        code="api_key_expired",
    )


def forbidden(key: str, account: str, permission: str) -> Refusal:
    """Stripe's message names the account and the key's tail; clients must not log it."""
    return Refusal(
        403,
        f"The provided key '{key}' does not have the required permissions for this "
        f"endpoint on account '{account}'. Having the 'rak_{permission}_read' permission "
        "would allow this request to continue.",
    )


def rate_limited(reason: str | None, should_retry: bool | None) -> Answer:
    """429; without a reason it is a lock that another request holds."""
    if reason is None:
        answer = refuse(
            429,
            "This object cannot be accessed right now because another API request or Stripe "
            "process is currently accessing it.",
            code="lock_timeout",
        )
    else:
        answer = refuse(
            429,
            "Request rate limit exceeded. You can learn more about rate limits here: "
            "https://stripe.com/docs/rate-limits.",
            code="rate_limit",
        )
        answer.headers["Stripe-Rate-Limited-Reason"] = reason
    if should_retry is not None:
        answer.headers["Stripe-Should-Retry"] = "true" if should_retry else "false"
    return answer


def unknown_url(method: str, path: str) -> Refusal:
    return Refusal(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we "
        "can help at https://support.stripe.com/.",
    )


def troubled(status: int, should_retry: bool | None, retry_after: int | None) -> Answer:
    """Any other status, with the error Stripe sends for it."""
    words = {
        401: ("Invalid API Key provided: sk_test_********able", {}),
        403: ("This account cannot currently make requests.", {}),
        400: ("Invalid request.", {}),
        404: ("No such subscription: 'sub_gone'", {"code": "resource_missing", "param": "id"}),
        409: ("There is currently another in-progress request.", {"type": "idempotency_error"}),
    }
    message, fields = words.get(
        status, ("An unknown error occurred. Please contact support.", {"type": "api_error"})
    )
    answer = refuse(status, message, **fields)
    if should_retry is not None:
        answer.headers["Stripe-Should-Retry"] = "true" if should_retry else "false"
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer
