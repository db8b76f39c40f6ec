"""Errors of a request, each with the status that the contract gives it."""

import grpc


class RequestError(Exception):
    """`code`: a `grpc.StatusCode`; the message is sent to the caller."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


def invalid(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def unavailable(message: str) -> RequestError:
    """The one status that clients retry."""
    return RequestError(grpc.StatusCode.UNAVAILABLE, message)
