"""The page of work that is done part by part: how far it is, and driving it where no worker does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.base.admin.audited import ReadOnlyAdmin

Row = TypeVar("Row", bound=models.Model)


class Progress(NamedTuple):
    """How far a piece of work is, in words; `tag` is the class of its state."""

    status: str
    tag: str
    percent: int
    is_running: bool
    facts: Sequence[tuple[str, str]]
    trouble: str = ""
    """What stopped it for now, with its traceback."""
    warning: str = ""


class WatchedAdmin(ReadOnlyAdmin[Row]):
    """A page that says how far a row's work is, refreshed while it runs.

    Where no worker does it, the open page does, part by part.
    """

    change_form_template = "admin/billing/watched.html"
    start_permission: ClassVar[str]
    """What one must be allowed to call the workers again."""
    refreshed_template: ClassVar[str] = ""
    """What is shown below the facts and refreshed with them."""

    class Media:
        js = ("admin/plainbill-run.js",)

    @abstractmethod
    def heading(self, row: Row) -> str: ...

    @abstractmethod
    def progress_of(self, request: HttpRequest, row: Row) -> Progress: ...

    @abstractmethod
    def is_running(self, row: Row) -> bool: ...

    @abstractmethod
    def nudge(self, row: Row) -> None:
        """Tell the workers; without any, do the next part here and leave the rest to the page."""

    def refreshed(self, request: HttpRequest, row: Row) -> Mapping[str, Any]:
        """Return what else changes while it runs."""
        return {}

    def below(self, request: HttpRequest, row: Row) -> Mapping[str, Any]:
        """Return what stands below and does not change by itself."""
        return {}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ()

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Row | None = None,
    ) -> Any:
        assert obj is not None
        heading = self.heading(obj)
        context |= {
            "title": heading,
            "content_title": heading,
            "progress_url": self.url("progress", obj.pk),
            "continue_url": self.url("continue", obj.pk)
            if request.user.has_perm(self.start_permission)
            else "",
            "is_driven_here": settings.CELERY_TASK_ALWAYS_EAGER,
            **self._box(request, obj),
            **self.below(request, obj),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("<int:pk>/progress/", wrap(self.watch), name=f"{name}_progress"),
            path("<int:pk>/continue/", wrap(self.go_on), name=f"{name}_continue"),
            *super().get_urls(),
        ]

    def watch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer the part of the page that changes while it runs."""
        return render(
            request, "admin/billing/progress.html", self._box(request, self.row(request, pk))
        )

    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Do the next part, or nudge the workers to."""
        if not request.user.has_perm(self.start_permission):
            raise PermissionDenied
        row = self.row(request, pk)
        if request.method == "POST" and self.is_running(row):
            self.nudge(row)
        return HttpResponseRedirect(self.url("change", pk))

    def row(self, request: HttpRequest, pk: int) -> Row:
        row = self.visible_row(request, str(pk))
        if row is None:
            raise PermissionDenied
        return row

    def _box(self, request: HttpRequest, row: Row) -> dict[str, Any]:
        return {
            "progress": self.progress_of(request, row),
            "refreshed_template": self.refreshed_template,
            **self.refreshed(request, row),
        }


def bar(percent: int) -> SafeString:
    """Draw how far a row of a list is."""
    text = '<progress class="pb-progress" value="{}" max="100">{} %</progress>'
    return format_html(text, percent, percent)
