"""The OpenAPI description of what every endpoint shares."""

from drf_spectacular.openapi import AutoSchema


class Schema(AutoSchema):
    """Describe an endpoint."""
