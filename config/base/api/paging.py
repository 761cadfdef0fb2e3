"""Lists in cursor pages, whose filters are spelled right or refused."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from config.base.api.problems import BadParameter


class CursorPages(CursorPagination):
    """Pages of `{"next", "previous", "results"}` by primary key, or by the view's `ordering`.

    `?limit=` is 50 unless given; more than 100 gives 100.
    """

    ordering = "pk"
    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "How many to return: 1 to 100; more gives 100."
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit")
        if text is None:
            return self.page_size
        if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text, re.ASCII):
            raise BadParameter({"limit": "Give a whole number from 1 to 100."})
        return min(int(text), self.max_page_size)

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        ordering = getattr(view, "ordering", None) or self.ordering
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == "limit":
                parameter["schema"] = {"type": "integer", "minimum": 1, "default": self.page_size}
        return parameters

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
        except NotFound as broken:
            raise _bad_cursor() from broken
        if cursor == (0, False, None):  # nothing in it: it would begin again at the first page
            raise _bad_cursor()
        return cursor

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, OverflowError, ValidationError) as broken:  # a forged position
            raise _bad_cursor() from broken


class Filters(filters.FilterSet):  # type: ignore[misc]
    """The base of the filtersets that views declare as `filterset_class`."""


class ListFilters(filters.DjangoFilterBackend):  # type: ignore[misc]
    """Apply the view's filterset to lists; refuse parameters that nothing reads.

    A misspelt filter would otherwise return everything.
    """

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: Any
    ) -> QuerySet[Any]:
        if getattr(view, "detail", False):
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        known = {"limit", "cursor"} | set(filterset.form.fields if filterset else ())
        refuse_unknown(request, known)
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


def refuse_unknown(request: Request, known: set[str]) -> None:
    """Refuse the call if it has a query parameter that is not `known`.

    :raises BadParameter: naming each one.
    """
    if unknown := [name for name in request.query_params if name not in known]:
        listed = ", ".join(sorted(known)) or "none"
        raise BadParameter(
            dict.fromkeys(unknown, f"There is no such parameter; there is {listed}."),
            code="unknown_parameter",
        )


def _bad_cursor() -> BadParameter:
    return BadParameter({"cursor": "This is no cursor; follow `next` and `previous`."})
