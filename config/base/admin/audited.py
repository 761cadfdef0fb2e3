"""The base of every admin page: what it changes stands in the audit trail, in one transaction.

Owns how an edit is recorded, how a refusal is told, confirmation pages, panels and history. The
pages of an app say what they show and which service they call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from config.base import audit, records
from config.base.admin.complaints import REFUSED, complain, complaints, refused_form
from config.base.admin.theme import ModelAdmin
from config.base.admin.trail import entry_rows
from config.base.audit import Actor
from config.base.fields import validate_line, validate_text
from config.base.models import AuditEntry

Row = TypeVar("Row", bound=models.Model)


class Panel(NamedTuple):
    """A box under a page's form: plain values for a template."""

    title: str
    template: str
    context: Mapping[str, Any]


PanelMaker = Callable[[HttpRequest, Any], Panel | None]


class AuditedAdmin(ModelAdmin[Row]):
    """A page whose every edit is one transaction with its entry in the audit trail.

    `create` and `change` save a row and write its entry; an app overrides them with its services.
    What goes beyond the row itself (inlines, many-to-many) gets an entry of its own here.
    """

    panels: ClassVar[list[PanelMaker]] = []
    """Boxes under the form; higher apps append theirs in AppConfig.ready."""
    panels_first: ClassVar[bool] = False
    """Whether a row is read before it is edited: its boxes come first, the form is folded away."""
    empty_hint: ClassVar[str] = ""
    """What an empty list says to do next."""
    empty_link: ClassVar[tuple[str, str] | None] = None
    """Another way to begin, for who may add rows: its words, and the name of its address."""
    complaint_fields: ClassVar[Mapping[str, str]] = {}
    """The form's field for what a service calls otherwise."""
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    change_form_template = "admin/change_form_and_panels.html"

    def get_ordering(self, request: HttpRequest) -> Any:
        """Put the newest first; a list would by itself, but not what a search field looks up."""
        return super().get_ordering(request) or ("-pk",)

    def create(self, row: Row, *, actor: Actor) -> None:
        """Save a new row and record it."""
        row.save(force_insert=True)
        audit.record(
            actor=actor, action="created", subject=row, changes=audit.changes({}, audit.state(row))
        )

    def change(self, row: Row, *, fields: Mapping[str, Any], actor: Actor) -> None:
        """Save these fields of a row and record them."""
        locked = type(row)._base_manager.select_for_update().get(pk=row.pk)
        records.change(locked, fields=fields, actor=actor)

    # Django's hooks, in the order in which a form's POST calls them

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except REFUSED as refusal:
            if request.method != "POST":
                raise
            # The transaction is undone; show what was entered again, with the reason.
            request._complaints = complaints(refusal)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: Row | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form_class = super().get_form(request, obj, change=change, **kwargs)
        _refuse_unseen(form_class)
        if found := getattr(request, "_complaints", None):
            return refused_form(form_class, found, self.complaint_fields)
        return form_class

    def get_formsets_with_inlines(self, request: HttpRequest, obj: Row | None = None) -> Any:
        for formset, inline in super().get_formsets_with_inlines(request, obj):
            _refuse_unseen(formset.form)
            yield formset, inline

    def save_model(self, request: HttpRequest, obj: Row, form: Any, change: bool) -> None:
        if not change:
            self.create(obj, actor=Actor.user(request.user))
            return
        columns = {field.name for field in self.opts.concrete_fields}
        fields = {name: getattr(obj, name) for name in form.changed_data if name in columns}
        if fields:
            self.change(obj, fields=fields, actor=Actor.user(request.user))

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return what was changed beyond the row itself: {what: [before, after]}."""
        if formsets is None:  # Django's page for setting somebody's password
            return {"password": [None, "changed"]}
        return {**_many_to_many_changes(form), **_inline_changes(formsets)}

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self.log_change(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if message:
            actor = Actor.user(request.user)
            audit.record(actor=actor, action="changed", subject=obj, changes=message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for row in queryset:
            audit.record(
                actor=Actor.user(request.user),
                action="deleted",
                subject=row,
                changes=audit.changes(audit.state(row), {}),
            )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except REFUSED as refusal:
            self.tell(request, refusal)
            return HttpResponseRedirect(self.url("change", unquote(object_id)))

    def is_needed(self, row: Row) -> bool:
        """Say whether other rows stand on this one, so that deleting it is not even offered."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and not (obj is not None and self.is_needed(obj))

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer no deletion of many rows at once."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    # Pages

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Row | None = None,
    ) -> Any:
        made = [] if obj is None else [make(request, obj) for make in self.panels]
        context["panels"] = [panel for panel in made if panel is not None]
        context["panels_first"] = self.panels_first and obj is not None
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the row's entries in the audit trail, newest first."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.missing(request, object_id)
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        entries = AuditEntry.objects.filter(
            subject_type=self.opts.label_lower, subject_id=row.pk
        ).order_by("-id")
        page = Paginator(entries, 50).get_page(request.GET.get("p"))
        context = {
            **self.page_context(request, f"History of {row}", row),
            "page": page,
            "entries": [(entry, entry_rows(entry)) for entry in page],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/history.html", context)

    def confirm(
        self,
        request: HttpRequest,
        row: Row,
        *,
        title: str,
        button: str,
        sentences: Iterable[str] = (),
        template: str = "admin/confirm.html",
        danger: bool = False,
        **context: Any,
    ) -> HttpResponse:
        """Ask, in words, before something happens that can't be taken back; its POST does it."""
        values = {
            **self.page_context(request, title, row),
            "sentences": list(sentences),
            "button": button,
            "danger": danger,
            "back": self.url("change", row.pk),
            **context,
        }
        return TemplateResponse(request, template, values)

    def attempt(
        self, request: HttpRequest, what: Callable[[], Any], *, done: str, then: str
    ) -> HttpResponse:
        """Call a service; say that it is done, or why it was refused; go on to `then`."""
        if (refusal := _refusal(what)) is not None:
            self.tell(request, refusal)
        else:
            self.message_user(request, done, messages.SUCCESS)
        return HttpResponseRedirect(then)

    def carry_out(
        self,
        request: HttpRequest,
        form: forms.Form,
        what: Callable[[], Any],
        *,
        done: str,
        then: str,
    ) -> HttpResponse | None:
        """Do as `attempt` what a valid form asked for.

        None if it was refused: the form says why then, and is to be shown again with what was typed.
        """
        if (refusal := _refusal(what)) is not None:
            complain(form, complaints(refusal))
            return None
        self.message_user(request, done, messages.SUCCESS)
        return HttpResponseRedirect(then)

    def tell(self, request: HttpRequest, refusal: Exception) -> None:
        for _, message in complaints(refusal):
            self.message_user(request, message, messages.ERROR)

    def page_context(self, request: HttpRequest, title: str, row: Row | None) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "original": row,
            "object": row,
            "object_id": None if row is None else row.pk,
            "media": self.media,
            "has_view_permission": True,
        }

    def url(self, page: str, *args: Any) -> str:
        """Return the address of a page of this admin: `changelist`, `add`, `change`, …"""
        return reverse(
            f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}",
            args=args,
        )

    def visible_row(self, request: HttpRequest, object_id: str) -> Row | None:
        """Return the row of an action's address; None if there is none that they may see."""
        row = self.get_object(request, unquote(object_id))
        return row if row and self.has_view_or_change_permission(request, row) else None

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say that there is no such row, and go to the list."""
        said = f"There is no {self.opts.verbose_name} {object_id}; perhaps it was deleted."
        self.message_user(request, said, messages.WARNING)
        return HttpResponseRedirect(self.url("changelist"))


class ReadOnlyAdmin(AuditedAdmin[Row]):
    """A page that shows rows and changes none."""

    warn_unsaved_form = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _refuse_unseen(form_class: Any) -> None:
    """Let no text in that can't be seen and changes how the rest reads, as the API does not."""
    for field in form_class.base_fields.values():
        if isinstance(field, forms.CharField) and not isinstance(field.widget, forms.PasswordInput):
            is_long = isinstance(field.widget, forms.Textarea)
            validate = validate_text if is_long else validate_line
            if validate not in field.validators:
                field.validators = [*field.validators, validate]


def _many_to_many_changes(form: forms.ModelForm[Any]) -> dict[str, list[Any]]:
    names = {field.name for field in form.instance._meta.many_to_many}
    return {
        name: [
            sorted(str(row) for row in form.initial.get(name) or []),
            sorted(str(row) for row in form.cleaned_data[name]),
        ]
        for name in form.changed_data
        if name in names
    }


def _inline_changes(formsets: Iterable[Any]) -> dict[str, list[Any]]:
    changed: dict[str, list[Any]] = {}
    for formset in formsets:
        what = formset.model._meta.verbose_name
        owner = formset.fk.name
        for row in formset.new_objects:
            changed[f"{what} {row}"] = [None, audit.state(row, without=(owner,))]
        for row in formset.deleted_objects:
            changed[f"{what} {row}"] = [audit.state(row, without=(owner,)), None]
        for row, _ in formset.changed_objects:
            [form] = [form for form in formset.initial_forms if form.instance is row]
            after = audit.state(row)
            for name in form.changed_data:
                changed[f"{what} {row}: {name}"] = [form.initial.get(name), after.get(name)]
    return changed


def _refusal(what: Callable[[], Any]) -> Exception | None:
    """Call a service, all or nothing; return why it was refused."""
    try:
        with transaction.atomic():
            what()
    except REFUSED as refusal:
        return refusal
    return None
