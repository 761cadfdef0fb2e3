"""The worksheet of a value metric as finance sees it: three questions, a decision, a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from catalog.admin.examples import LOCALE
from catalog.models import Answer, Decision, MetricStatus, Question, ValueMetric
from catalog.wording import number
from catalog.worksheet import Answered, Worksheet, answer_questions, decide, worksheets
from config.base.admin.audited import AuditedAdmin, Panel
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import action, select, textarea
from config.base.audit import Actor
from config.base.fields import PlainTextInput

AT_ONCE = 8
TONES = {Answer.YES: "good", Answer.NO: "open", Answer.UNSURE: ""}


class AnswersForm(forms.Form):
    """The three questions, each with its answer, what that rests on, and notes."""

    def __init__(self, *args: Any, sheet: Worksheet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for question in Question:
            stands = sheet.answers.get(question)
            self.fields[f"{question}-answer"] = forms.ChoiceField(
                choices=[("", "Not answered"), *Answer.choices],
                required=False,
                initial=stands.answer if stands else "",
                widget=select(),
                label=question.label,
            )
            for name, label, text in (
                ("evidence", "Evidence", "What the answer rests on; a “no” needs it."),
                ("notes", "Notes", ""),
            ):
                self.fields[f"{question}-{name}"] = PlainTextInput(
                    max_length=5000,
                    required=False,
                    initial=getattr(stands, name) if stands else "",
                    widget=textarea(rows=2),
                    label=label,
                    help_text=text,
                )

    def answers(self) -> dict[Question, Answered]:
        """Return what was answered; a question left open is not among it."""
        said = self.cleaned_data
        return {
            question: Answered(
                Answer(said[f"{question}-answer"]),
                said[f"{question}-evidence"].strip(),
                said[f"{question}-notes"].strip(),
            )
            for question in Question
            if said[f"{question}-answer"]
        }


class DecisionForm(forms.Form):
    decision = forms.ChoiceField(choices=Decision.choices, widget=select(), label="Decision")
    reason = PlainTextInput(
        max_length=5000, widget=textarea(rows=3), label="Why",
        help_text="Stands in the history of the metric.",
    )  # fmt: skip


class WorksheetPages(AuditedAdmin[ValueMetric]):
    """What the admin of metrics offers around their worksheets."""

    def has_assess_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("catalog.change_valuemetric")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer a decision only as long as there is something to decide."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        decidable = ValueMetric.objects.filter(
            pk=object_id, status__in=[MetricStatus.CANDIDATE, MetricStatus.DEPRIORITISED]
        )
        return [one for one in offered if one.path != "decide" or decidable.exists()]

    @action(
        description="Answer the three questions…",
        url_path="worksheet",
        permissions=["assess"],
        icon="checklist",
    )
    def answer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the three questions; a metric that fails more than one is deprioritised."""
        metric = self.visible_row(request, object_id)
        if metric is None:
            return self.missing(request, object_id)
        [sheet] = worksheets([metric])
        form = AnswersForm(request.POST if request.method == "POST" else None, sheet=sheet)
        if form.is_valid():
            try:
                settled = answer_questions(
                    metric_id=metric.pk,
                    answers=form.answers(),
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                )
            except REFUSED as refusal:
                for path, message in complaints(refusal):
                    form.add_error("-".join(map(str, path)) or None, message)
            else:
                said = f"Saved. {_standing(settled)}"
                return self.attempt(
                    request, lambda: None, done=said, then=self.url("change", metric.pk)
                )
        return self.confirm(
            request,
            metric,
            title=f"Worksheet of {metric}",
            sentences=[
                "A metric that fails more than one of these is deprioritised. Nothing of it is "
                "shown to customers."
            ],
            button="Save the answers",
            template="admin/catalog/worksheet_form.html",
            groups=list(_groups(form)),
        )

    @action(description="Decide…", url_path="decide", permissions=["assess"], icon="gavel")
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask what becomes of the metric, and why."""
        metric = self.visible_row(request, object_id)
        if metric is None:
            return self.missing(request, object_id)
        form = DecisionForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            chosen = form.cleaned_data
            return self.attempt(
                request,
                lambda: decide(
                    metric_id=metric.pk,
                    decision=Decision(chosen["decision"]),
                    reason=chosen["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{Decision(chosen['decision']).label}.",
                then=self.url("change", metric.pk),
            )
        [sheet] = worksheets([metric])
        return self.confirm(
            request,
            metric,
            title=f"What becomes of {metric}?",
            sentences=[_standing(sheet)],
            button="Record the decision",
            template="admin/metering/form.html",
            form=form,
        )

    @admin.action(description="Compare side by side", permissions=["view"])
    def compare(self, request: HttpRequest, queryset: QuerySet[ValueMetric]) -> HttpResponse:
        """Show the worksheets of some metrics in columns."""
        metrics = list(queryset.order_by("name", "pk")[: AT_ONCE + 1])
        context = {
            **self.page_context(request, "Candidates side by side", None),
            "columns": [_column(sheet) for sheet in worksheets(metrics[:AT_ONCE])],
            "questions": [question.label for question in Question],
            "left_out": len(metrics) > AT_ONCE,
            "at_once": AT_ONCE,
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/catalog/compare.html", context)


def worksheet_panel(request: HttpRequest, metric: ValueMetric) -> Panel | None:
    """Show where a metric stands: its answers, what was decided, and when to look again."""
    [sheet] = worksheets([metric])
    return Panel("Worksheet", "admin/catalog/worksheet_panel.html", {**_column(sheet)})


def _column(sheet: Worksheet) -> dict[str, Any]:
    metric = sheet.metric
    return {
        "metric": metric,
        "internal_name": metric.internal_name,
        "kind": metric.get_kind_display(),
        "status": metric.get_status_display(),
        "is_down": metric.status == MetricStatus.DEPRIORITISED,
        "standing": _standing(sheet),
        "cost": "" if metric.unit_cost is None else number(metric.unit_cost, LOCALE),
        "trend": metric.get_cost_trend_display(),
        "review_on": metric.review_on,
        "answers": [_answer(sheet, question) for question in Question],
        "decisions": sheet.decisions[:10],
    }


def _answer(sheet: Worksheet, question: Question) -> dict[str, Any]:
    stands = sheet.answers.get(question)
    return {
        "question": question.label,
        "answer": stands.get_answer_display() if stands else "Not answered",
        "tone": TONES[Answer(stands.answer)] if stands else "",
        "evidence": stands.evidence if stands else "",
        "notes": stands.notes if stands else "",
        "by": f"{stands.answered_by}, {stands.answered_at:%-d %b %Y}" if stands else "",
    }


def _standing(sheet: Worksheet) -> str:
    """Say in a sentence what the answers amount to."""
    failed, open_ = len(sheet.failed), len(sheet.open)
    if open_ == len(Question):
        return "None of the three questions is answered yet."
    said = {0: "It fails none of the questions", 1: "It fails one question"}.get(
        failed, f"It fails {failed} of the three questions"
    )
    rest = {0: ".", 1: "; one is still open."}.get(open_, f"; {open_} are still open.")
    return said + rest


def _groups(form: AnswersForm) -> Iterator[dict[str, Any]]:
    for question in Question:
        yield {
            "title": question.label,
            "fields": [form[f"{question}-{name}"] for name in ("answer", "evidence", "notes")],
        }
