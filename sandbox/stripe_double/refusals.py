"""The API's errors, in the words and shape of Stripe's."""

from sandbox.stripe_double.encoding import to_json
from sandbox.stripe_double.keys import Key
from sandbox.stripe_double.states import JsonObject
from sandbox.stripe_double.wire import Answer

_DOCS = "https://stripe.com/docs/error-codes/"


class Refusal(Exception):
    """Ends a request with an error of Stripe's."""

    def __init__(self, status: int, message: str, **fields: object) -> None:
        super().__init__(message)
        self.answer = refuse(status, message, **fields)


def refuse(status: int, message: str, **fields: object) -> Answer:
    error: JsonObject = {"message": message, "type": "invalid_request_error", **fields}
    if "code" in error:
        error["doc_url"] = _DOCS + str(error["code"]).replace("_", "-")
    return Answer(status=status, body=to_json({"error": dict(sorted(error.items()))}))


def missing(kind: str, name: str, param: str = "id") -> Refusal:
    """404 for an object named in the path, 400 for one named by a parameter."""
    return Refusal(
        404 if param == "id" else 400,
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


def forbidden(key: Key, permission: str) -> Refusal:
    """Stripe's message names the account and the key's tail; clients must not log it."""
    return Refusal(
        403,
        f"The provided key '{key.shown}' does not have the required permissions for this "
        f"endpoint on account '{key.account}'. Having the 'rak_{permission}_read' permission "
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


def troubled(status: int, should_retry: bool | None, retry_after: int | None) -> Answer:
    """Any other status, with the error Stripe sends for it."""
    words = {
        401: ("Invalid API Key provided: sk_test_********able", {}),
        403: ("This account cannot currently make requests.", {}),
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
