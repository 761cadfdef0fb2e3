"""Importing a table of rates: shown row by row with what it would do, then saved whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from config.base.admin.audited import AuditedAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import action, textarea
from config.base.audit import Actor
from config.base.fields import PlainTextInput

Row = TypeVar("Row", bound=models.Model)
LARGEST = 1_000_000  # bytes, of a file
OUTCOMES = {
    "new": "New",
    "changed": "Changes what is there",
    "unchanged": "There already",
    "refused": "Refused",
}


class TableForm(forms.Form):
    """A table as text or as a file."""

    table = PlainTextInput(
        required=False, max_length=LARGEST, label="Table",
        widget=textarea(rows=12, spellcheck="false"),
        help_text="The first line names the columns. Paste it here, or choose a file.",
    )  # fmt: skip
    file = forms.FileField(required=False, label="Or a CSV file", help_text="UTF-8, up to 1 MB.")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        file: UploadedFile[Any] | None = given.get("file")
        if file:
            given["table"] = _read(file)
        if not self.errors and not given.get("table", "").strip():
            raise ValidationError("Paste a table, or choose a file.")
        return given


class ImportingAdmin(AuditedAdmin[Row]):
    """A page of rates that can also be imported as a table.

    `read` says of a table what each row would do, `save` does it.
    """

    actions_list = ("import_table",)
    columns: ClassVar[str]
    """The first line of a table, and one that shows how it goes on."""
    what: ClassVar[str]
    """What its rows are: “tax rates”."""

    def read(self, text: str) -> Iterable[tuple[int, str, str, str]]:
        """Yield line, outcome, the row in words, and why it is refused."""
        raise NotImplementedError

    def save_table(self, text: str, *, actor: Actor) -> None:
        raise NotImplementedError

    def ready_made(self, name: str) -> str:
        """Return a table that is packaged under a name; empty if there is none."""
        return ""

    def has_import_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request) and self.has_change_permission(request)

    @action(
        description="Import a table", url_path="import", permissions=["import"], icon="upload_file"
    )
    def import_table(self, request: HttpRequest) -> HttpResponse:
        """Ask for a table, show what it would do, and do it once confirmed."""
        if request.method != "POST":
            table = self.ready_made(request.GET.get("table", ""))
            return self._asked(request, TableForm(initial={"table": table or self.columns}))
        form = TableForm(request.POST, request.FILES)
        if not form.is_valid():
            return self._asked(request, form)
        text = form.cleaned_data["table"].replace("\r\n", "\n")
        try:
            if "confirmed" in request.POST:
                self.save_table(text, actor=Actor.user(request.user))
                self.message_user(request, f"The {self.what} are imported.")
                return HttpResponseRedirect(self.url("changelist"))
            rows = list(self.read(text))
        except REFUSED as refusal:
            self.tell(request, refusal)
            return self._asked(request, TableForm(initial={"table": text}))
        return self._previewed(request, text, rows)

    def _asked(self, request: HttpRequest, form: TableForm) -> HttpResponse:
        context = {
            **self.page_context(request, f"Import {self.what}", None),
            "form": form,
            "columns": self.columns,
            "ready_made": self.ready_made_name,
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/import.html", context)

    ready_made_name: ClassVar[tuple[str, str] | None] = None
    """A packaged table: its name in the address, and in words."""

    def _previewed(
        self, request: HttpRequest, text: str, rows: Sequence[tuple[int, str, str, str]]
    ) -> HttpResponse:
        counts = dict.fromkeys(OUTCOMES, 0)
        for _, outcome, _, _ in rows:
            counts[outcome] += 1
        context = {
            **self.page_context(request, f"Import {self.what}", None),
            "rows": [
                {"line": line, "outcome": OUTCOMES[outcome], "said": said, "why": why,
                 "is_refused": outcome == "refused"}
                for line, outcome, said, why in rows
            ],
            "counts": [(OUTCOMES[outcome], count) for outcome, count in counts.items() if count],
            "may_import": not counts["refused"] and (counts["new"] or counts["changed"]),
            "refused": counts["refused"],
            "table": text,
            "back": self.url("import_table"),
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/import_preview.html", context)


def _read(file: UploadedFile[Any]) -> str:
    if (file.size or 0) > LARGEST:
        raise ValidationError({"file": "The file is larger than 1 MB."})
    try:
        return bytes(file.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationError({"file": "The file is not UTF-8: save it as UTF-8."}) from None
